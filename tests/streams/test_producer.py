"""The producer: the right key, the order given, and content too large for the log in the blob store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.blobs import ObstoreBlobStore
from schemas.chunk import Operation
from schemas.codec import decode_document_event
from schemas.document import DocumentEvent
from schemas.errors import InvalidField, Poison, Retryable
from schemas.keys import DocumentKey
from streams.log import Record, TopicPartition
from streams.partitioner import partition_of
from streams.producer import DocumentProducer
from streams.sqlite_log import SqliteLog
from streams.topics import DOCUMENT_LIMIT_BYTES, collection_topics, documents_topic

COLLECTION = "books"
PARTITIONS = 3


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.sqlite")
    await log.create_topics(collection_topics(COLLECTION, "g1", PARTITIONS))
    yield log
    await log.close()


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[ObstoreBlobStore]:
    blobs = ObstoreBlobStore(tmp_path / "blobs")
    yield blobs
    await blobs.close()


async def appended(log: SqliteLog) -> list[Record]:
    """Read what is in the documents topic."""
    topic = documents_topic(COLLECTION)
    return [
        record
        for partition, end in (await log.end_offsets(topic)).items()
        async for record in log.read_range(TopicPartition(topic, partition), 0, end)
    ]


def event(identifier: str = "a", **fields: object) -> DocumentEvent:
    """An upsert, unless told otherwise."""
    return DocumentEvent(key=DocumentKey("default", identifier), **({"text": "some words"} | fields))  # type: ignore[arg-type]


async def test_events_stand_under_their_encoded_key_in_the_order_given(log: SqliteLog, blobs: ObstoreBlobStore):
    """One document's events share a partition, the standard one, and keep their order; headers travel along."""
    producer = DocumentProducer(log, store_blob=blobs.put)
    events = [event("a b/ä", text=f"version {number}") for number in range(5)]

    positions = await producer.send(COLLECTION, events, headers=(("traceparent", b"00-1"),))

    records = await appended(log)
    assert [record.offset for record in records] == [position.offset for position in positions] == list(range(5))
    assert {record.key for record in records} == {b"default/a%20b%2F%C3%A4"}
    assert {record.partition for record in records} == {partition_of(b"default/a%20b%2F%C3%A4", PARTITIONS)}
    assert {record.headers for record in records} == {(("traceparent", b"00-1"),)}
    assert [decode_document_event(record.value or b"") for record in records] == events


async def test_nothing_is_sent_for_no_events(log: SqliteLog, blobs: ObstoreBlobStore):
    """An empty request is answered without the log."""
    assert await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, []) == []


async def test_a_delete_travels_like_an_upsert(log: SqliteLog, blobs: ObstoreBlobStore):
    """It is an event of its own in the same place, so that it cannot overtake."""
    deletion = DocumentEvent(key=DocumentKey("default", "a"), operation=Operation.DELETE)
    await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [event("a"), deletion])

    assert [decode_document_event(record.value or b"").operation for record in await appended(log)] == [
        Operation.UPSERT,
        Operation.DELETE,
    ]


@pytest.mark.parametrize(
    "large",
    [
        {"text": "ä" * DOCUMENT_LIMIT_BYTES},
        {"text": '"' * (DOCUMENT_LIMIT_BYTES - 100)},
        {"text": None, "content": bytes(DOCUMENT_LIMIT_BYTES + 1), "media_type": "application/pdf"},
        {"text": None, "content": bytes(DOCUMENT_LIMIT_BYTES - 100), "media_type": "application/pdf"},
    ],
    ids=["text", "text that JSON makes longer", "content", "content that base64 makes longer"],
)
async def test_content_too_large_for_the_log_goes_by_claim_check(
    log: SqliteLog, blobs: ObstoreBlobStore, large: dict[str, object]
):
    """The event keeps everything but its body, which the blob store gives back byte for byte."""
    sent = event(title="Title", metadata={"year": 2026}, **large)

    await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [sent])

    [record] = await appended(log)
    assert len(record.value or b"") < 1_000
    claim = decode_document_event(record.value or b"")
    body = sent.content if sent.text is None else sent.text.encode()
    assert body is not None
    assert (claim.text, claim.content) == (None, None)
    assert claim.content_sha256 == hashlib.sha256(body).hexdigest()
    assert (claim.title, claim.metadata, claim.media_type) == ("Title", {"year": 2026}, sent.media_type)
    assert await blobs.get(claim.content_uri or "", limit_bytes=len(body)) == body


async def test_content_that_fits_stays_in_the_log(log: SqliteLog, tmp_path: Path):
    """Up to 1 MiB, with everything around it, no blob is written."""
    blobs = ObstoreBlobStore(tmp_path / "unused")
    sent = event(text="x" * (DOCUMENT_LIMIT_BYTES - 1_000))

    await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [sent])

    [record] = await appended(log)
    assert decode_document_event(record.value or b"") == sent
    assert not (tmp_path / "unused").exists()


async def test_an_event_that_names_a_blob_is_sent_as_it_is(log: SqliteLog, blobs: ObstoreBlobStore):
    """The producer does not read what it did not write."""
    claim = event(text=None, content_uri="blob:" + "0" * 64, content_sha256="0" * 64)

    await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [claim])

    [record] = await appended(log)
    assert decode_document_event(record.value or b"") == claim


@pytest.mark.parametrize("identifier", ["", "a\x00b", "\ud800", "x" * 401])
async def test_a_key_no_engine_could_hold_is_refused_before_anything_is_sent(
    log: SqliteLog, blobs: ObstoreBlobStore, identifier: str
):
    """One bad event in a request leaves no trace of the others."""
    with pytest.raises(InvalidField):
        await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [event("good"), event(identifier)])

    assert await appended(log) == []


async def test_an_event_too_large_without_its_body_is_refused_before_anything_is_sent(
    log: SqliteLog, blobs: ObstoreBlobStore
):
    """Metadata does not go to the blob store; the log refuses it with both sizes."""
    names = {f"n{number}": ("x" * 8_000,) * 3 for number in range(100)}

    with pytest.raises(Poison, match=r"more than topic 'books\.documents' takes"):
        await DocumentProducer(log, store_blob=blobs.put).send(
            COLLECTION, [event("good"), event("bad", metadata=names)]
        )

    assert await appended(log) == []


async def test_a_blob_store_that_does_not_answer_leaves_nothing_in_the_log(log: SqliteLog):
    """The claim is never there before its content."""

    async def down(content: bytes) -> str:
        raise Retryable("the blob store does not answer")

    with pytest.raises(Retryable):
        await DocumentProducer(log, store_blob=down).send(
            COLLECTION, [event("good"), event("large", text=None, content=bytes(2 * DOCUMENT_LIMIT_BYTES))]
        )

    assert await appended(log) == []


async def test_the_body_is_what_base64_carries(log: SqliteLog, blobs: ObstoreBlobStore):
    """Any Kafka client can read what the producer wrote."""
    await DocumentProducer(log, store_blob=blobs.put).send(COLLECTION, [event(text=None, content=b"\xff\x00")])

    [record] = await appended(log)
    assert base64.b64encode(b"\xff\x00") in (record.value or b"")
