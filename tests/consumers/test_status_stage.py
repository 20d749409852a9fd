"""The status stage: what the log says is remembered, and nothing that could hide what comes later."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumers.facts import fact_record
from consumers.status import StatusStage
from engines.sqlite_status import SqliteStatusStore
from schemas.generation import CollectionRecord, VersionSource
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey, log_version
from schemas.status import DocumentState, DocumentStatus
from streams.log import Record
from streams.partitioner import partition_of

KEY = DocumentKey("default", "a")
PLACE = partition_of(b"default/a", 4)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStatusStore]:
    store = SqliteStatusStore(tmp_path / "status.sqlite")
    yield store
    await store.close()


def stage_of(store: SqliteStatusStore, source: VersionSource = VersionSource.LOG) -> StatusStage:
    """A stage of a collection with four partitions."""
    return StatusStage(store=store, record=CollectionRecord(name="c", partitions=4, version_source=source))


def record(value: bytes | None, *, offset: int, partition: int = PLACE, key: bytes | None = b"default/a") -> Record:
    """An event in the documents topic; it is appended as many milliseconds after 1970 as its offset says."""
    return Record(
        topic="c.documents",
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=(),
        timestamp_ms=1_000 + offset,
    )


def fact(version: int | None, outcome: Outcome, *, at_ms: int) -> Record:
    """A fact in the indexed topic."""
    indexed = Indexed(document=KEY, version=version, outcome=outcome, appended_at_ms=at_ms, finished_at_ms=at_ms + 5)
    outgoing = fact_record(indexed, "c.g1.indexed")
    return Record(
        topic="c.g1.indexed",
        partition=PLACE,
        offset=0,
        key=outgoing.key,
        value=outgoing.value,
        headers=(),
        timestamp_ms=at_ms,
    )


async def status(store: SqliteStatusStore) -> DocumentStatus | None:
    """What is known of the document."""
    return (await store.read("c", [KEY])).get(KEY)


def event(**fields: object) -> bytes:
    """An upsert's bytes."""
    return json.dumps({"schema": 1, "op": "upsert", "id": "a", "text": "words"} | fields).encode()


async def test_a_document_is_pending_until_its_version_is_finished(store: SqliteStatusStore):
    """The version is the one the chunk stage will stamp."""
    stage = stage_of(store)
    await stage.process([record(event(), offset=3)])
    pending = await status(store)
    await stage.process([fact(log_version(1, 3), Outcome.SEARCHABLE, at_ms=1_003)])
    finished = await status(store)

    assert pending is not None
    assert finished is not None
    assert (pending.state, pending.version) == (DocumentState.PENDING, log_version(1, 3))
    assert (finished.state, finished.searchable_version) == (DocumentState.SEARCHABLE, log_version(1, 3))


async def test_a_record_in_the_wrong_partition_does_not_hide_what_comes_later(store: SqliteStatusStore):
    """Its offset is no version of the document: later versions, lower than it, are seen."""
    stage = stage_of(store)
    wrong = (PLACE + 1) % 4
    await stage.process([record(event(), offset=1_000_000, partition=wrong)])
    assert await status(store) is None

    await stage.process([record(event(), offset=5), fact(log_version(1, 5), Outcome.SEARCHABLE, at_ms=1_005)])
    found = await status(store)
    assert found is not None
    assert (found.state, found.version) == (DocumentState.SEARCHABLE, log_version(1, 5))


async def test_a_tombstone_without_a_version_does_not_hide_what_comes_later(store: SqliteStatusStore):
    """Where producers give versions, an offset is none."""
    stage = stage_of(store, VersionSource.PRODUCER)
    await stage.process([record(event(version=7), offset=1), fact(7, Outcome.SEARCHABLE, at_ms=1_001)])
    await stage.process([record(None, offset=2), fact(None, Outcome.FAILED, at_ms=1_002)])
    failed = await status(store)
    await stage.process([record(event(version=8), offset=3), fact(8, Outcome.SEARCHABLE, at_ms=1_003)])
    found = await status(store)

    assert failed is not None
    assert (failed.state, failed.searchable_version) == (DocumentState.FAILED, 7)
    assert found is not None
    assert (found.state, found.version) == (DocumentState.SEARCHABLE, 8)


@pytest.mark.parametrize("key", [None, b"", b"whatever", b"\xff/a"])
async def test_a_record_that_names_no_document_is_left_to_the_chunk_stage(store: SqliteStatusStore, key: bytes | None):
    """It is neither remembered nor set aside twice."""
    place = partition_of(key or b"", 4)

    outputs = await stage_of(store).process([record(event(), offset=1, key=key, partition=place)])

    assert (outputs.records, outputs.set_aside) == ((), ())
    assert await store.counts("c") == {} or not any((await store.counts("c")).values())


async def test_bytes_that_cannot_be_read_are_still_an_event_of_their_document(store: SqliteStatusStore):
    """It is pending until the chunk stage tells of its failure, under the same version."""
    stage = stage_of(store)
    await stage.process([record(b"{", offset=4)])
    pending = await status(store)
    await stage.process([fact(log_version(1, 4), Outcome.FAILED, at_ms=1_004)])
    failed = await status(store)

    assert pending is not None
    assert failed is not None
    assert (pending.state, failed.state) == (DocumentState.PENDING, DocumentState.FAILED)
