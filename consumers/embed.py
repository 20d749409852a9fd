"""The embed stage: chunk sets in, the same with one vector per chunk out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from consumers.facts import fact_record, failed_fact
from engines.ports import Embedder
from schemas.chunk import ChunkSet
from schemas.codec import decode_chunk_set, encode_embedded_chunk_set
from schemas.embedding import EmbeddedChunkSet
from schemas.errors import DecodeError, Poison
from streams.log import OutgoingRecord, Record
from streams.worker import Outputs


class EmbedStage:
    """Embeds every chunk of a batch in one call, so that the embedder can pack them by length."""

    name = "embed"

    def __init__(
        self, *, embedder: Embedder, embeddings_topic: str, indexed_topic: str, now_ms: Callable[[], int]
    ) -> None:
        self._embedder = embedder
        self._embeddings_topic = embeddings_topic
        self._indexed_topic = indexed_topic
        self._now_ms = now_ms

    async def process(self, batch: Sequence[Record]) -> Outputs:
        """Embed; deletes pass through without vectors, in their place in the order."""
        chunk_sets: list[tuple[Record, ChunkSet]] = []
        set_aside: list[tuple[Record, Poison]] = []
        for record in batch:
            try:
                chunk_sets.append((record, decode_chunk_set(record.value or b"")))
            except DecodeError as error:
                set_aside.append((record, error))
        started = time.perf_counter()
        texts = [chunk.searchable_text() for _, chunk_set in chunk_sets for chunk in chunk_set.chunks]
        vectors = (
            await self._embedder.embed_documents(texts)
            if texts
            else np.empty((0, self._embedder.dimension), dtype=np.float32)
        )
        seconds = time.perf_counter() - started
        records: list[OutgoingRecord] = []
        begin = 0
        for record, chunk_set in chunk_sets:
            end = begin + len(chunk_set.chunks)
            timed = replace(chunk_set, timings={**chunk_set.timings, self.name: seconds})
            embedded = EmbeddedChunkSet(timed, self._embedder.fingerprint, vectors[begin:end])
            records.append(
                OutgoingRecord(
                    topic=self._embeddings_topic,
                    key=chunk_set.document.encoded().encode(),
                    value=encode_embedded_chunk_set(embedded),
                    headers=record.headers,
                )
            )
            begin = end
        return Outputs(records=records, set_aside=set_aside)

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        """Tell that a document version failed here."""
        try:
            version: int | None = decode_chunk_set(record.value or b"").version
        except DecodeError:
            version = None
        fact = failed_fact(record, poison, dead_letter_id, stage=self.name, version=version, now_ms=self._now_ms())
        return None if fact is None else fact_record(fact, self._indexed_topic)
