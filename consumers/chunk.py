"""The chunk stage: document events in, chunk sets out; here a version is stamped, once, and carried from then on."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from consumers.extract.extracted import ExtractLimits
from consumers.extract.registry import extract
from consumers.facts import fact_record, failed_fact
from consumers.fields import CollectionFields
from consumers.split import split
from engines.ports import BlobStore, Tokenizer
from schemas.chunk import Chunk, ChunkSet, Operation
from schemas.codec import decode_document_event, encode_chunk_set
from schemas.document import DocumentEvent
from schemas.errors import DecodeError, InvalidField, Poison
from schemas.generation import Chunking
from schemas.keys import DocumentKey, validate_key
from schemas.metadata import check_metadata_size, filterable
from schemas.rules import event_version, tombstone_version
from streams.log import OutgoingRecord, Record
from streams.partitioner import partition_of
from streams.worker import Outputs

#: A part stays below 256 KiB of text and below 256 vectors, so that it fits the log with either.
_PART_TEXT_BYTES: Final = 256 * 1024
_PART_CHUNKS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStageSettings:
    """What the stage must know about its collection and its limits."""

    chunks_topic: str
    indexed_topic: str
    partitions: int
    chunking: Chunking
    max_text_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamped:
    event: DocumentEvent
    version: int


class ChunkStage:
    """Turns each event into the parts of one document version, or sets it aside with the reason."""

    name = "chunk"

    def __init__(
        self,
        *,
        settings: ChunkStageSettings,
        fields: CollectionFields,
        tokenizer: Tokenizer,
        blobs: BlobStore,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._fields = fields
        self._tokenizer = tokenizer
        self._blobs = blobs
        self._now_ms = now_ms

    async def process(self, batch: Sequence[Record]) -> Outputs:
        """Stamp, extract and split every event; a bad one is set aside alone."""
        records: list[OutgoingRecord] = []
        set_aside: list[tuple[Record, Poison]] = []
        for record in batch:
            try:
                records += await self._process_one(record)
            except Poison as poison:
                set_aside.append((record, poison))
        return Outputs(records=records, set_aside=set_aside)

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        """Tell that a document version failed here."""
        try:
            version: int | None = self._stamp(record).version
        except Poison:
            version = self._version_by_offset(record)
        fact = failed_fact(record, poison, dead_letter_id, stage=self.name, version=version, now_ms=self._now_ms())
        return None if fact is None else fact_record(fact, self._settings.indexed_topic)

    async def _process_one(self, record: Record) -> list[OutgoingRecord]:
        started = time.perf_counter()
        stamped = self._stamp(record)
        event = stamped.event
        if event.operation is Operation.DELETE:
            deletion = ChunkSet(
                document=event.key,
                version=stamped.version,
                operation=Operation.DELETE,
                appended_at_ms=record.timestamp_ms,
            )
            return [self._outgoing(record, deletion)]
        content = await self._content(event)
        # Parsing and splitting hold the interpreter for long; queries in the same process must go on meanwhile.
        extracted = await asyncio.to_thread(
            extract, content, event.media_type, limits=ExtractLimits(max_text_bytes=self._settings.max_text_bytes)
        )
        metadata = {**extracted.metadata, **event.metadata}
        check_metadata_size(metadata)
        await self._fields.admit(metadata)
        title = event.title or extracted.title
        chunks = await asyncio.to_thread(
            split, extracted, title=title, chunking=self._settings.chunking, tokenizer=self._tokenizer
        )
        whole = ChunkSet(
            document=event.key,
            version=stamped.version,
            operation=Operation.UPSERT,
            title=title,
            metadata=filterable(metadata),
            source=event.source,
            row_count=len(chunks),
            appended_at_ms=record.timestamp_ms,
            timings={self.name: time.perf_counter() - started},
        )
        whole = replace(whole, content_hash=content_hash(whole, chunks))
        return [self._outgoing(record, part) for part in in_parts(whole, chunks)]

    def _stamp(self, record: Record) -> _Stamped:
        if record.value is None:
            key = _record_key(record)
            self._check_placement(record, key)
            version = tombstone_version(self._fields.record, record.offset)
            return _Stamped(event=DocumentEvent(key=key, operation=Operation.DELETE), version=version)
        event = decode_document_event(record.value)
        self._check_placement(record, event.key)
        return _Stamped(event=event, version=event_version(event.version, self._fields.record, record.offset))

    def _check_placement(self, record: Record, key: DocumentKey) -> None:
        """A record under another key or partition would let two consumers race on one document."""
        expected = key.encoded().encode()
        if record.key != expected:
            raise InvalidField(
                "key",
                record.key,
                f"the record key must be tenant and id, each percent-encoded: {expected.decode()!r}",
                reason="key_mismatch",
            )
        partition = partition_of(expected, self._settings.partitions)
        if record.partition != partition:
            raise InvalidField(
                "partition",
                record.partition,
                f"Kafka's standard partitioner puts this key into {partition}; with librdkafka set "
                "partitioner=murmur2_random",
                reason="partition_mismatch",
            )

    def _version_by_offset(self, record: Record) -> int | None:
        if record.partition != partition_of(record.key or b"", self._settings.partitions):
            # Another partition's offset says nothing about the order of this document's versions.
            return None
        try:
            return tombstone_version(self._fields.record, record.offset)
        except Poison:
            return None

    async def _content(self, event: DocumentEvent) -> bytes:
        if event.text is not None:
            return event.text.encode()
        if event.content is not None:
            return event.content
        uri = event.content_uri or ""
        content = await self._blobs.get(uri, limit_bytes=self._settings.max_text_bytes)
        digest = hashlib.sha256(content).hexdigest()
        if digest != event.content_sha256:
            raise InvalidField("content_sha256", event.content_sha256, f"the content behind {uri!r} has {digest}")
        return content

    def _outgoing(self, record: Record, chunk_set: ChunkSet) -> OutgoingRecord:
        return OutgoingRecord(
            topic=self._settings.chunks_topic,
            key=chunk_set.document.encoded().encode(),
            value=encode_chunk_set(chunk_set),
            headers=record.headers,
        )


def content_hash(whole: ChunkSet, chunks: Sequence[Chunk]) -> str:
    """Hash everything that rows are made of, so that a version with the same hash needs no new rows."""
    described = orjson.dumps([whole.title, whole.source, whole.metadata, list(chunks)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(described).hexdigest()


def in_parts(whole: ChunkSet, chunks: Sequence[Chunk]) -> list[ChunkSet]:
    """Cut a version into parts that fit the log, in order; a version without chunks is one empty part."""
    groups: list[list[Chunk]] = [[]]
    size = 0
    for chunk in chunks:
        chunk_bytes = len(orjson.dumps([chunk.text, chunk.prefix, chunk.heading_path]))
        if groups[-1] and (size + chunk_bytes > _PART_TEXT_BYTES or len(groups[-1]) >= _PART_CHUNKS):
            groups.append([])
            size = 0
        groups[-1].append(chunk)
        size += chunk_bytes
    return [replace(whole, part=part, parts=len(groups), chunks=tuple(group)) for part, group in enumerate(groups)]


def _record_key(record: Record) -> DocumentKey:
    try:
        key = DocumentKey.decode((record.key or b"").decode())
    except UnicodeDecodeError:
        raise DecodeError(f"record key {record.key!r} is not UTF-8", reason="invalid_key") from None
    validate_key(key)
    return key
