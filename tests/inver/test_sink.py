"""The way in: each event has its own answer, and whatever was accepted stands in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inver.directory import CollectionDirectory
from query_api.serving import UnknownCollection
from query_api.writing import Accepted
from schemas.chunk import Operation
from schemas.document import DocumentEvent
from schemas.errors import Poison
from schemas.generation import VersionSource
from schemas.keys import DocumentKey, log_version
from schemas.status import DocumentState
from streams.topics import chunks_topic, documents_topic
from tests.inver.harness import Harness, open_harness

COLLECTION = "books"


@pytest.fixture
async def inver(tmp_path: Path) -> AsyncIterator[Harness]:
    async with open_harness(tmp_path, COLLECTION, collections={"partitions": 1}, max_text_bytes=10_000) as harness:
        yield harness


def upsert(identifier: str, **fields: object) -> DocumentEvent:
    """An upsert."""
    return DocumentEvent(key=DocumentKey("default", identifier), **({"text": "words"} | fields))  # type: ignore[arg-type]


async def submitted(inver: Harness, *events: DocumentEvent) -> list[Accepted | Poison]:
    """Hand events in."""
    return await inver.runtime.sink.submit(COLLECTION, events)


async def test_each_event_has_its_answer_in_order(inver: Harness):
    """Those that break a rule say which; the others stand in the log under the version they are told."""
    await inver.finished(await inver.put("typed", "words", metadata={"year": 2026}))
    # This process may know the collection as it was a second ago; the chunk stage would refuse the field then.
    await inver.runtime.directory.record(COLLECTION, fresh=True)
    results = await submitted(
        inver,
        upsert("a"),
        upsert("b", version=7),
        upsert(""),
        upsert("c", metadata={"year": "2026"}),
        upsert("d", text="x" * 10_001),
        upsert("a", text="newer"),
    )

    assert [result.reason if isinstance(result, Poison) else result.document.id for result in results] == [
        "a",
        "version_not_expected",
        "invalid_field",
        "field_type_changed",
        "document_too_large",
        "a",
    ]
    first, last = results[0], results[-1]
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert (first.version, last.version) == (log_version(1, 1), log_version(1, 2))
    assert (await inver.finished(last)).state is DocumentState.SEARCHABLE


async def test_an_event_the_log_refuses_does_not_take_its_neighbours_along(inver: Harness):
    """Metadata of megabytes fits no record: that event alone is answered with why."""
    names = {f"n{number}": ("x" * 8_000,) * 3 for number in range(100)}

    results = await submitted(inver, upsert("a"), upsert("b"), upsert("large", metadata=names), upsert("c"))

    assert [result.reason if isinstance(result, Poison) else "accepted" for result in results] == [
        "accepted",
        "accepted",
        "oversized",
        "accepted",
    ]
    log = await inver.runtime.wiring.log()
    assert await log.end_offsets(documents_topic(COLLECTION)) == {0: 3}


async def test_an_accepted_document_is_pending_at_once(inver: Harness):
    """Whoever asks right after the answer is told the truth, before any stage has run."""
    inver.runtime.pipeline.stop()
    [accepted] = await submitted(inver, upsert("a"))

    status = await inver.status("a")

    assert isinstance(accepted, Accepted)
    assert status is not None
    assert (status.state, status.version) == (DocumentState.PENDING, accepted.version)


async def test_deletes_do_not_make_a_collection(inver: Harness):
    """Other documents do, if that is allowed."""
    deletion = DocumentEvent(key=DocumentKey("default", "a"), operation=Operation.DELETE)
    with pytest.raises(UnknownCollection):
        await inver.runtime.sink.submit("new", [deletion])
    assert await inver.runtime.directory.find("new") is None

    [accepted] = await inver.runtime.sink.submit("new", [upsert("a")])

    assert isinstance(accepted, Accepted)
    assert await inver.runtime.directory.find("new") is not None


async def test_a_collection_whose_maker_died_before_its_topics_is_finished_by_the_next(inver: Harness):
    """The record is in the catalog, the topics are not: an event is accepted all the same."""
    log = await inver.runtime.wiring.log()
    inver.runtime.pipeline.stop()
    await inver.runtime.pipeline_task
    await log.delete_topics([documents_topic(COLLECTION), chunks_topic(COLLECTION, "g1")])
    directory = CollectionDirectory(inver.runtime.wiring)
    inver.runtime.sink._directory = directory

    [accepted] = await submitted(inver, upsert("a"))

    assert isinstance(accepted, Accepted)
    assert chunks_topic(COLLECTION, "g1") in await log.describe([chunks_topic(COLLECTION, "g1")])


async def test_creating_may_be_switched_off(tmp_path: Path):
    """Then an unknown name is a mistake."""
    async with open_harness(tmp_path, COLLECTION) as harness:
        harness.runtime.wiring.settings = harness.runtime.settings.model_copy(
            update={"collections": harness.runtime.settings.collections.model_copy(update={"create": False})}
        )
        with pytest.raises(UnknownCollection):
            await harness.runtime.sink.submit("new", [upsert("a")])


async def test_producers_versions_are_answered_as_they_were_given(tmp_path: Path):
    """Where producers give them, an event without one is refused."""
    source = VersionSource.PRODUCER
    async with open_harness(tmp_path, COLLECTION, collections={"version_source": source}) as harness:
        results = await harness.runtime.sink.submit(COLLECTION, [upsert("a", version=5), upsert("b")])

        assert results[0] == Accepted(DocumentKey("default", "a"), 5)
        assert isinstance(results[1], Poison)
