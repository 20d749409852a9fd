"""A whole Inver in this process, on any profile, with short ways to put documents in and to see what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inver.runtime import ALL_STAGES, Runtime, open_runtime
from inver.settings import load_settings
from query_api.search import Searcher, SearchSettings
from query_api.writing import Accepted
from schemas.codec import decode_dead_letter
from schemas.dead_letter import DeadLetter
from schemas.document import DocumentEvent
from schemas.keys import DocumentKey
from schemas.search import LEG_NAMES, LegRequest, SearchRequest, SearchResponse
from schemas.status import DocumentState, DocumentStatus
from streams.log import OutgoingRecord, TopicPartition
from streams.topics import dead_letters_topic, documents_topic

DEADLINE_SECONDS = 60.0


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Ask until the answer is truthy; fail with what was waited for when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Harness:
    """One running Inver and one collection in it."""

    runtime: Runtime
    collection: str

    async def put(self, identifier: str, text: str, **fields: Any) -> Accepted:
        """Send one document; returns when it stands in the log."""
        key = DocumentKey(fields.pop("tenant", "default"), identifier)
        return await self.send(DocumentEvent(key=key, text=text, **fields))

    async def send(self, event: DocumentEvent) -> Accepted:
        """Send one event, which must be accepted."""
        [result] = await self.runtime.sink.submit(self.collection, [event])
        assert isinstance(result, Accepted), result
        return result

    async def finished(self, accepted: Accepted) -> DocumentStatus:
        """Wait until a version is finished, whatever became of it."""
        statuses = await self.runtime.wiring.statuses()

        async def status() -> DocumentStatus | None:
            known = (await statuses.read(self.collection, [accepted.document])).get(accepted.document)
            if known is None or known.version is None or known.version < accepted.version:
                return None
            return None if known.state is DocumentState.PENDING else known

        return await until(status, f"{accepted} to finish")

    async def status(self, identifier: str) -> DocumentStatus | None:
        """Read a document's status."""
        key = DocumentKey("default", identifier)
        return (await (await self.runtime.wiring.statuses()).read(self.collection, [key])).get(key)

    async def search(self, query: str, legs: tuple[str, ...] = LEG_NAMES, **fields: Any) -> SearchResponse:
        """Ask the legs named."""
        request = SearchRequest(
            collection=self.collection, query=query, legs={name: LegRequest() for name in legs}, **fields
        )
        return await Searcher(self.runtime.directory, SearchSettings()).search(request)

    async def append(self, key: bytes, value: bytes | None) -> int:
        """Put raw bytes into the documents topic, as any Kafka client could; return the offset."""
        log = await self.runtime.wiring.log()
        [position] = await log.append([OutgoingRecord(topic=documents_topic(self.collection), key=key, value=value)])
        return position.offset

    async def dead_letters(self) -> list[DeadLetter]:
        """Read all dead letters."""
        log = await self.runtime.wiring.log()
        topic = dead_letters_topic(self.collection)
        letters = []
        for partition, end in (await log.end_offsets(topic)).items():
            records = log.read_range(TopicPartition(topic, partition), 0, end)
            letters += [decode_dead_letter(record.value or b"") async for record in records]
        return letters


@asynccontextmanager
async def open_harness(directory: Path, collection: str, **settings: Any) -> AsyncIterator[Harness]:
    """Open a whole Inver with the model that is none."""
    chosen = load_settings(
        data_directory=directory,
        cache_directory=directory / "cache",
        embedding={"model": "hash", "cache_bytes": 0, **settings.pop("embedding", {})},
        **settings,
    )
    async with open_runtime(chosen, ALL_STAGES) as runtime:
        await runtime.directory.ensure(collection)
        runtime.pipeline.look_again()
        yield Harness(runtime, collection)
