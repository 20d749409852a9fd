"""Ingesting: documents to the API in batches, then waiting until each is searchable or has failed with its reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from inver.client import Client, collection_path, post_json
from inver.sources import SourceDocument
from schemas.errors import Poison

_BATCH_DOCUMENTS: Final = 200
_BATCH_BYTES: Final = 8 * 1024 * 1024
_STATUS_IDS: Final = 1_000
_FIRST_WAIT_SECONDS: Final = 0.02
_LONGEST_WAIT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that did not become searchable, and why."""

    id: str
    reason: str


@dataclass(slots=True)
class IngestReport:
    """Counts so far. ``accepted`` stand in the log; of these, ``searchable`` are done and ``failed`` say why not."""

    accepted: int = 0
    searchable: int = 0
    failed: list[Failure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return {
            "accepted": self.accepted,
            "searchable": self.searchable,
            "failed": [{"id": failure.id, "reason": failure.reason} for failure in self.failed],
        }


Progress = Callable[[IngestReport], None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The newest version sent of a document, and how many events that stands for."""

    version: int
    events: int


class Ingest:
    """One run: submits, then waits. The pipeline works on the first documents while later ones are submitted."""

    def __init__(self, client: Client, *, collection: str, tenant: str, progress: Progress) -> None:
        self._client = client
        self._collection = collection
        self._tenant = tenant
        self._progress = progress
        #: By tenant and id, because a line may name a tenant of its own.
        self._waiting: dict[tuple[str, str], _Wanted] = {}
        self.report = IngestReport()

    async def submit(self, documents: Iterable[SourceDocument]) -> None:
        """Put everything into the log; what is refused is reported at once."""
        for batch in _batches(documents, self._refuse):
            await self._submit_batch(batch)
            await self._settle()

    async def wait(self) -> None:
        """Return when every accepted document is finished."""
        wait_seconds = _FIRST_WAIT_SECONDS
        while self._waiting:
            before = len(self._waiting)
            await self._settle()
            wait_seconds = (
                _FIRST_WAIT_SECONDS if len(self._waiting) < before else min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            )
            if self._waiting:
                await asyncio.sleep(wait_seconds)

    def _refuse(self, document: SourceDocument) -> None:
        self.report.failed.append(Failure(document.id, str(document.failure)))
        self._progress(self.report)

    async def _submit_batch(self, batch: list[tuple[str, bytes]]) -> None:
        lines = b"\n".join(line for _, line in batch)
        path = collection_path(self._collection, "documents")
        try:
            answer = await self._client.request("POST", path, lines, "application/x-ndjson")
        except Poison as poison:
            # A document too large for a request is always alone in it, and must not stop its neighbours.
            if poison.reason != "body_too_large" or len(batch) > 1:
                raise
            self.report.failed.append(Failure(batch[0][0], str(poison)))
            self._progress(self.report)
            return
        for (identifier, _), item in zip(batch, answer["items"], strict=True):
            if "version" in item:
                self.report.accepted += 1
                document = (str(item.get("tenant", self._tenant)), str(item["id"]))
                earlier = self._waiting.get(document, _Wanted(0, 0))
                self._waiting[document] = _Wanted(int(item["version"]), earlier.events + 1)
            else:
                problem = item.get("problem", {})
                self.report.failed.append(Failure(identifier, str(problem.get("detail", "refused"))))
        self._progress(self.report)

    async def _settle(self) -> None:
        """Ask about the oldest that are waiting."""
        if not self._waiting:
            return
        tenant = next(iter(self._waiting))[0]
        of_tenant = (identifier for owner, identifier in self._waiting if owner == tenant)
        identifiers = list(islice(of_tenant, _STATUS_IDS))
        answer = await post_json(
            self._client, collection_path(self._collection, "status"), {"ids": identifiers, "tenant": tenant}
        )
        for status in answer["statuses"]:
            document = (tenant, str(status["id"]))
            wanted, version, state = self._waiting[document], status["version"], status["state"]
            if version is None or version < wanted.version or state in ("pending", "unknown"):
                continue
            del self._waiting[document]
            if state == "failed":
                detail = str(status["detail"] or status["reason"])
                self.report.failed.append(Failure(document[1], detail.partition("\n")[0]))
            else:
                self.report.searchable += wanted.events
        self._progress(self.report)


def _batches(
    documents: Iterable[SourceDocument], refuse: Callable[[SourceDocument], None]
) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for document in documents:
        if document.event is None:
            refuse(document)
            continue
        line = json.dumps(document.event).encode()
        if batch and (size + len(line) > _BATCH_BYTES or len(batch) == _BATCH_DOCUMENTS):
            yield batch
            batch, size = [], 0
        batch.append((document.id, line))
        size += len(line)
    if batch:
        yield batch
