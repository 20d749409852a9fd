"""The chunk stage: versions are stamped once, parts fit the log, and every bad event is set aside with its reason."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.chunk import ChunkStage, ChunkStageSettings, content_hash, in_parts
from consumers.fields import CollectionFields
from engines.blobs import ObstoreBlobStore
from engines.sqlite_catalog import SqliteCatalog
from engines.word_tokenizer import WordTokenizer
from schemas.chunk import Chunk, ChunkSet, Operation
from schemas.codec import decode_chunk_set, decode_indexed, encode_chunk_set
from schemas.errors import Fatal, Poison, Retryable
from schemas.generation import Chunking, CollectionRecord, VersionSource
from schemas.indexed import Outcome
from schemas.keys import DocumentKey, log_version
from schemas.metadata import FieldType
from streams.log import OutgoingRecord, Record
from streams.partitioner import partition_of
from streams.record_size import record_bytes
from streams.topics import collection_topics

PARTITIONS = 4
TEXT_LIMIT = 5_000


class Stages:
    """Makes chunk stages for collections of one catalog."""

    def __init__(self, directory: Path) -> None:
        self.catalog = SqliteCatalog(directory / "catalog.sqlite")
        self.blobs = ObstoreBlobStore(directory / "blobs")

    async def stage(self, name: str = "c", **fields: Any) -> ChunkStage:
        record = CollectionRecord(name=name, partitions=PARTITIONS, **fields)
        await self.catalog.ensure()
        await self.catalog.write(record, None)
        return ChunkStage(
            settings=ChunkStageSettings(
                chunks_topic="c.g1.chunks",
                indexed_topic="c.g1.indexed",
                partitions=PARTITIONS,
                chunking=Chunking(max_tokens=32, overlap_tokens=4),
                max_text_bytes=TEXT_LIMIT,
            ),
            fields=CollectionFields(self.catalog, record),
            tokenizer=WordTokenizer(),
            blobs=self.blobs,
            now_ms=lambda: 9_000,
        )


@pytest.fixture
async def stages(tmp_path: Path) -> AsyncIterator[Stages]:
    stages = Stages(tmp_path)
    yield stages
    await stages.catalog.close()
    await stages.blobs.close()


def record(
    value: object, *, key: bytes | None = b"default/a", offset: int = 10, partition: int | None = None
) -> Record:
    """A record as it stands in the log; a dict is written as JSON."""
    return Record(
        topic="c.documents",
        partition=partition_of(key or b"", PARTITIONS) if partition is None else partition,
        offset=offset,
        key=key,
        value=json.dumps(value).encode() if isinstance(value, dict) else value,  # type: ignore[arg-type]
        headers=(("traceparent", b"00-1"),),
        timestamp_ms=1_000,
    )


def upsert(**fields: Any) -> dict[str, Any]:
    """An event's JSON."""
    return {"schema": 1, "op": "upsert", "id": "a", "text": "Two rivers meet here."} | fields


async def chunk_sets(stage: ChunkStage, *records: Record) -> list[ChunkSet]:
    """Process, expecting no failure."""
    outputs = await stage.process(records)
    assert outputs.set_aside == []
    assert {outgoing.topic for outgoing in outputs.records} <= {"c.g1.chunks"}
    return [decode_chunk_set(outgoing.value or b"") for outgoing in outputs.records]


async def test_an_event_becomes_a_chunk_set_under_its_own_key(stages: Stages):
    """Title, metadata in the form engines compare, exact spans, and headers as they came."""
    stage = await stages.stage()
    metadata = {"year": 2026, "when": {"$date": "1970-01-01T00:00:01Z"}, "tags": ["a", "b"]}
    event = record(upsert(title="Rivers", metadata=metadata, source="file://x"), offset=7)

    outputs = await stage.process([event])

    [outgoing] = outputs.records
    assert (outgoing.key, outgoing.headers) == (b"default/a", (("traceparent", b"00-1"),))
    chunk_set = decode_chunk_set(outgoing.value or b"")
    assert chunk_set.document == DocumentKey("default", "a")
    assert (chunk_set.version, chunk_set.operation) == (log_version(1, 7), Operation.UPSERT)
    assert (chunk_set.title, chunk_set.source, chunk_set.appended_at_ms) == ("Rivers", "file://x", 1_000)
    assert chunk_set.metadata == {"year": 2026, "when": 1_000_000, "tags": ("a", "b")}
    assert (chunk_set.part, chunk_set.parts, chunk_set.row_count) == (0, 1, 1)
    [chunk] = chunk_set.chunks
    assert (chunk.text, chunk.start, chunk.end, chunk.prefix) == ("Two rivers meet here.", 0, 21, "Rivers")
    assert set(chunk_set.timings) == {"chunk"}


async def test_versions_follow_the_log_and_its_epoch(stages: Stages):
    """A replay of the same record gives the same version; a raised epoch is above every offset of the last."""
    stage = await stages.stage(epoch=2)
    [first] = await chunk_sets(stage, record(upsert(), offset=5))
    [again] = await chunk_sets(stage, record(upsert(), offset=5))
    [later] = await chunk_sets(stage, record(upsert(), offset=6))

    assert first.version == again.version == log_version(2, 5) < later.version
    assert first.version > log_version(1, 2**40)


async def test_versions_of_producers_are_carried(stages: Stages):
    """Whatever the offset is."""
    stage = await stages.stage(version_source=VersionSource.PRODUCER)

    [chunk_set] = await chunk_sets(stage, record(upsert(version=3), offset=99))

    assert chunk_set.version == 3


async def test_a_delete_and_a_tombstone_are_one_empty_part(stages: Stages):
    """Both travel the same way as content, so that they cannot overtake."""
    stage = await stages.stage()

    [deleted, tombstone] = await chunk_sets(
        stage, record({"schema": 1, "op": "delete", "id": "a"}, offset=1), record(None, offset=2)
    )

    assert deleted == ChunkSet(
        document=DocumentKey("default", "a"),
        version=log_version(1, 1),
        operation=Operation.DELETE,
        appended_at_ms=1_000,
    )
    assert tombstone == replace(deleted, version=log_version(1, 2))
    assert tombstone.is_last_part


async def test_content_in_any_form_gives_the_same_chunks(stages: Stages):
    """Text, base64 and a blob are three ways to carry the same bytes."""
    stage = await stages.stage()
    text = "Two rivers meet here."
    uri = await stages.blobs.put(text.encode())
    forms = [
        {"text": text},
        {"text": None, "content": base64.b64encode(text.encode()).decode()},
        {"text": None, "content_uri": uri, "content_sha256": hashlib.sha256(text.encode()).hexdigest()},
    ]

    sets = await chunk_sets(stage, *[record(upsert(**form), offset=n) for n, form in enumerate(forms)])

    assert len({chunk_set.content_hash for chunk_set in sets}) == 1
    assert len({chunk_set.chunks for chunk_set in sets}) == 1


BAD = {
    "no JSON": (record(b"{"), "invalid_json"),
    "no UTF-8": (record(b"\xff\xfe"), "invalid_json"),
    "no bytes": (record(b""), "invalid_json"),
    "not an object": (record(b"[]"), "undecodable"),
    "deeply nested": (record(b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "invalid_json"),
    "NaN": (record(b'{"schema":1,"op":"upsert","id":"a","text":"x","metadata":{"n":NaN}}'), "invalid_json"),
    "no schema": (record({"op": "upsert", "id": "a", "text": "x"}), "invalid_field"),
    "unknown schema": (record(upsert(schema=2)), "unknown_schema"),
    "unknown operation": (record(upsert(op="merge")), "unknown_operation"),
    "no id": (record({"schema": 1, "op": "upsert", "text": "x"}), "missing_field"),
    "no text": (record(upsert(text=None)), "invalid_field"),
    "white space only": (record(upsert(text=" \n\t ")), "invalid_field"),
    "NUL": (record(upsert(text="a\x00b")), "invalid_field"),
    "two bodies": (record(upsert(content="eA==")), "invalid_field"),
    "delete with content": (record(upsert(op="delete")), "invalid_field"),
    "no base64": (record(upsert(text=None, content="%")), "invalid_field"),
    "wrong type": (record(upsert(title=5)), "invalid_field"),
    "nested metadata": (record(upsert(metadata={"a": {"b": 1}})), "invalid_field"),
    "changed type": (record(upsert(metadata={"year": "2026"})), "field_type_changed"),
    "version of the log's": (record(upsert(version=5)), "version_not_expected"),
    "too large": (record(upsert(text="x " * TEXT_LIMIT)), "document_too_large"),
    "unknown kind": (record(upsert(media_type="image/png")), "unsupported_media_type"),
    "broken PDF": (record(upsert(text=None, content="eA==", media_type="application/pdf")), "malformed_pdf"),
    "no such blob": (
        record(upsert(text=None, content_uri="blob:" + "0" * 64, content_sha256="0" * 64)),
        "blob_missing",
    ),
    "another URI": (
        record(upsert(text=None, content_uri="file:///etc/passwd", content_sha256="0" * 64)),
        "invalid_blob_uri",
    ),
    "key of another": (record(upsert(id="b")), "key_mismatch"),
    "no key": (record(upsert(), key=None), "key_mismatch"),
    "other encoding": (record(upsert(), key=b"default/%61"), "key_mismatch"),
    "wrong partition": (record(upsert(), partition=(partition_of(b"default/a", 4) + 1) % 4), "partition_mismatch"),
    "tombstone in the wrong partition": (
        record(None, partition=(partition_of(b"default/a", 4) + 1) % 4),
        "partition_mismatch",
    ),
    "tombstone without a key": (record(None, key=None), "invalid_key"),
    "tombstone with another key": (record(None, key=b"whatever"), "invalid_key"),
    "tombstone with a key that is no text": (record(None, key=b"\xff/\xff"), "invalid_key"),
    "tombstone with an empty tenant": (record(None, key=b"/a"), "invalid_field"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_event_is_set_aside_with_its_reason_and_spares_its_neighbours(stages: Stages, name: str):
    """Each kind has its word and a sentence; the good ones around it go on in their order."""
    stage = await stages.stage(fields={"year": FieldType.NUMBER})
    bad, reason = BAD[name]
    before, after = record(upsert(), offset=1), record(upsert(text="Other words."), offset=20)

    outputs = await stage.process([before, bad, after])

    [(found, poison)] = outputs.set_aside
    assert found is bad
    assert poison.reason == reason
    assert len(str(poison)) > 20
    versions = [decode_chunk_set(outgoing.value or b"").version for outgoing in outputs.records]
    assert versions == [log_version(1, 1), log_version(1, 20)]


async def test_a_blob_that_is_not_what_the_event_says_is_refused(stages: Stages):
    """Content is checked against the event's own digest, not only the blob's name."""
    stage = await stages.stage()
    uri = await stages.blobs.put(b"other bytes")

    outputs = await stage.process([record(upsert(text=None, content_uri=uri, content_sha256="0" * 64))])

    [(_, poison)] = outputs.set_aside
    assert "content_sha256" in str(poison)


@pytest.mark.parametrize("event", [upsert(), upsert(op="delete", text=None)])
async def test_producers_that_must_give_versions_are_told_so(stages: Stages, event: dict[str, Any]):
    """An absent version is refused; so is a tombstone, which cannot have one."""
    stage = await stages.stage(version_source=VersionSource.PRODUCER)

    outputs = await stage.process([record(event), record(None, offset=11)])

    assert [poison.reason for _, poison in outputs.set_aside] == ["invalid_field", "unversioned_delete"]


async def fact_of(stage: ChunkStage, bad: Record) -> Any:
    """The fact about a record that was set aside."""
    outgoing = stage.failure(bad, Poison("bad", "it is bad"), "id-of-the-letter")
    assert isinstance(outgoing, OutgoingRecord)
    assert outgoing.topic == "c.g1.indexed"
    return decode_indexed(outgoing.value or b"")


async def test_a_failure_is_told_with_the_version_that_failed(stages: Stages):
    """By the log even where the bytes say nothing, so that a status can tell the failure from what came before."""
    stage = await stages.stage()

    fact = await fact_of(stage, record(b"{", offset=12))

    assert (fact.document, fact.outcome, fact.stage) == (DocumentKey("default", "a"), Outcome.FAILED, "chunk")
    assert (fact.version, fact.reason, fact.detail) == (log_version(1, 12), "bad", "it is bad")
    assert (fact.dead_letter_id, fact.appended_at_ms, fact.finished_at_ms) == ("id-of-the-letter", 1_000, 9_000)


async def test_a_failure_in_the_wrong_partition_has_no_version(stages: Stages):
    """Another partition's offset could stand above all versions the document will ever have."""
    stage = await stages.stage()

    assert (await fact_of(stage, BAD["wrong partition"][0])).version is None
    assert (await fact_of(stage, BAD["tombstone in the wrong partition"][0])).version is None


async def test_a_failure_of_a_producers_version(stages: Stages):
    """The event's own where it can be read, else none."""
    stage = await stages.stage(version_source=VersionSource.PRODUCER)

    assert (await fact_of(stage, record(upsert(version=8, media_type="image/png")))).version == 8
    assert (await fact_of(stage, record(b"{"))).version is None


@pytest.mark.parametrize("key", [None, b"", b"whatever", b"\xff/a"])
async def test_a_failure_that_names_no_document_is_no_fact(stages: Stages, key: bytes | None):
    """The dead letter alone tells of it."""
    stage = await stages.stage()

    assert stage.failure(record(b"{", key=key), Poison("bad", "it is bad"), "id") is None


async def test_a_blob_store_that_does_not_answer_makes_the_batch_wait(stages: Stages):
    """An outage is no reason to set anything aside."""

    class Down(ObstoreBlobStore):
        async def get(self, uri: str, *, limit_bytes: int) -> bytes:
            raise Retryable("the blob store does not answer")

    stage = await stages.stage()
    stage._blobs = Down("unused")

    with pytest.raises(Retryable):
        await stage.process([record(upsert(text=None, content_uri="blob:" + "0" * 64, content_sha256="0" * 64))])


async def test_a_dropped_collection_stops_the_stage(stages: Stages):
    """Metadata of a collection that is gone has nowhere to be remembered."""
    stage = await stages.stage()
    await stages.catalog._registers.drop()

    with pytest.raises(Fatal, match="no longer in the catalog"):
        await stage.process([record(upsert(metadata={"year": 1}))])


async def test_the_content_hash_is_of_what_rows_are_made_of(stages: Stages):
    """Version, time and metadata's order do not change it; words, title, metadata and source do."""
    stage = await stages.stage()

    async def hash_of(offset: int = 1, **fields: Any) -> str:
        [chunk_set] = await chunk_sets(stage, record(upsert(**fields), offset=offset))
        return chunk_set.content_hash

    metadata = {"metadata": {"a": 1, "b": 2}}
    first = await hash_of(**metadata)
    assert await hash_of(offset=2, metadata={"b": 2, "a": 1}) == first
    assert await hash_of(offset=3, occurred_at="2026-01-01T00:00:00Z", **metadata) == first
    others = [
        await hash_of(text="Two rivers met here.", **metadata),
        await hash_of(title="Rivers", **metadata),
        await hash_of(source="s", **metadata),
        await hash_of(metadata={"a": 1, "b": 3}),
        await hash_of(metadata={"a": 1}),
    ]
    assert len({first, *others}) == 6


def test_the_content_hash_is_the_same_on_every_machine():
    """Spelt out: another description would make every document new after an upgrade."""
    chunk = Chunk(ordinal=0, text="ä", prefix="t", start=0, end=1, heading_path=("h",), page=2)
    whole = ChunkSet(
        document=DocumentKey("t", "a"),
        version=1,
        operation=Operation.UPSERT,
        title="t",
        source="s",
        metadata={"n": 1, "l": ("x",)},
    )

    described = (
        '["t","s",{"l":["x"],"n":1},'
        '[{"ordinal":0,"text":"ä","prefix":"t","start":0,"end":1,"heading_path":["h"],"page":2}]]'
    )
    assert content_hash(whole, [chunk]) == hashlib.sha256(described.encode()).hexdigest()


WHOLE = ChunkSet(document=DocumentKey("t", "a"), version=1, operation=Operation.UPSERT)
sizes = st.lists(st.integers(0, 120_000), max_size=12)


@given(sizes)
def test_parts_carry_all_chunks_in_order_and_fit_the_log(lengths: list[int]):
    """Each part is as large as it may be and no larger, however long the chunks are."""
    chunks = [Chunk(ordinal=n, text="x" * length, prefix="", start=0, end=0) for n, length in enumerate(lengths)]

    parts = in_parts(replace(WHOLE, row_count=len(chunks)), chunks)

    assert [chunk for part in parts for chunk in part.chunks] == chunks
    assert [part.part for part in parts] == list(range(len(parts)))
    assert {part.parts for part in parts} == {len(parts)}
    assert [part.is_last_part for part in parts].count(True) == 1
    assert parts[-1].is_last_part
    assert {part.row_count for part in parts} == {len(chunks)}
    for part in parts:
        assert len(encode_chunk_set(part)) < 256 * 1024 + 8 * 1024 or len(part.chunks) == 1


@pytest.mark.parametrize("text", ["word", "ä" * 100, '"\\' * 100, "\x01" * 200])
def test_a_part_with_its_vectors_fits_the_topic(text: str):
    """Whatever the characters are and however deep the headings: 256 chunks at most, with 1,024 dimensions each."""
    headings = tuple("ä" * 200 for _ in range(8))
    chunks = [Chunk(ordinal=n, text=text, prefix="p", start=0, end=0, heading_path=headings) for n in range(1_000)]

    parts = in_parts(replace(WHOLE, row_count=1_000), chunks)

    limit = {spec.name: spec.max_record_bytes for spec in collection_topics("c", "g1", 1)}["c.g1.embeddings"]
    for part in parts:
        vectors = len(part.chunks) * 1_024 * 4
        outgoing = OutgoingRecord(topic="t", key=b"t/a", value=encode_chunk_set(part))
        assert record_bytes(outgoing) + vectors < limit


def test_a_version_without_chunks_is_one_empty_part():
    """It still ends, and so becomes visible."""
    [part] = in_parts(WHOLE, [])

    assert (part.chunks, part.parts, part.is_last_part) == ((), 1, True)
