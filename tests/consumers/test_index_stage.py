"""The index stage step by step: what an interruption at one certain moment leaves, and what is told of each version."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import numpy as np
import pytest

from consumers.index import IndexStage
from schemas.codec import decode_indexed, encode_embedded_chunk_set
from schemas.embedding import EmbeddedChunkSet
from schemas.errors import Fatal, Poison, Retryable
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import RowsOfVersion
from streams.log import Record
from streams.worker import Outputs
from tests.consumers.index_history import FINGERPRINT, Content, Entry
from tests.consumers.unreliable_engines import (
    Fate,
    ManifestServer,
    RowServer,
    Turns,
    UnreliableManifests,
    UnreliableTexts,
    UnreliableVectors,
)

KEY = DocumentKey("t", "a")
ONE, TWO = Content(name="one", rows_by_part=(2,)), Content(name="two", rows_by_part=(1,))
LONG = Content(name="long", rows_by_part=(2, 1))


class Calm(Turns):
    """Nobody waits and nothing fails, unless a call is named: that one is never answered."""

    def __init__(self) -> None:
        super().__init__(Random(0))
        self.silent = False

    async def wait(self, caller: str) -> Fate:
        if self.silent:
            await asyncio.get_running_loop().create_future()
        return Fate.DONE


@dataclass
class Index:
    """Servers, and a stage that asks them."""

    vectors: RowServer = field(default_factory=RowServer)
    texts: RowServer = field(default_factory=RowServer)
    manifests: ManifestServer = field(default_factory=ManifestServer)
    turns: Calm = field(default_factory=Calm)
    manifest_turns: Calm = field(default_factory=Calm)

    def stage(self) -> IndexStage:
        return IndexStage(
            vectors=cast("Any", UnreliableVectors(self.vectors, self.turns, "")),
            texts=cast("Any", UnreliableTexts(self.texts, self.turns, "")),
            manifests=cast("Any", UnreliableManifests(self.manifests, self.manifest_turns, "")),
            model_fingerprint=FINGERPRINT,
            indexed_topic="c.g1.indexed",
            now_ms=lambda: 9_000,
        )

    async def process(self, *records: Record) -> Outputs:
        return await self.stage().process(records)

    async def killed_before_the_manifest(self, *records: Record) -> None:
        """Process until everything but the manifest is written, and die."""
        task = asyncio.create_task(self.process(*records))
        await asyncio.sleep(0)
        self.manifest_turns.silent = True
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.manifest_turns.silent = False

    def stored(self) -> set[str]:
        assert self.vectors.stored.keys() == self.texts.stored.keys()
        return set(self.vectors.stored)


def part(version: int, content: Content | None, number: int = 0, *, offset: int = 0) -> Record:
    """One part's record."""
    return Entry(document=KEY, version=version, content=content, part=number).record(offset)


def facts(outputs: Outputs) -> list[Indexed]:
    """What is told."""
    return [decode_indexed(outgoing.value or b"") for outgoing in outputs.records]


async def test_each_version_of_a_batch_is_told_what_became_of_it():
    """The newest is searchable, older ones are stale, the same content again is unchanged, and a delete deletes."""
    index = Index()

    outputs = await index.process(part(1, ONE), part(2, None), part(3, TWO))
    assert [(fact.version, fact.outcome) for fact in facts(outputs)] == [
        (1, Outcome.STALE),
        (2, Outcome.STALE),
        (3, Outcome.SEARCHABLE),
    ]
    assert facts(outputs)[-1].row_count == 1
    assert {fact.finished_at_ms for fact in facts(outputs)} == {9_000}
    [unchanged] = facts(await index.process(part(4, TWO)))
    assert unchanged.outcome is Outcome.UNCHANGED
    [deleted] = facts(await index.process(part(5, None)))
    assert deleted.outcome is Outcome.DELETED
    assert index.stored() == set()


async def test_rows_that_another_writer_stored_are_made_searchable_before_they_are_shown():
    """Stored is not searchable: what a zombie has just written must be seen by searches before the manifest moves."""
    index, other = Index(), Index()
    await other.process(part(1, LONG, 0))
    for mine, theirs in ((index.vectors, other.vectors), (index.texts, other.texts)):
        mine.stored.update(theirs.stored)

    [fact] = facts(await index.process(part(1, LONG, 1)))

    assert fact.outcome is Outcome.SEARCHABLE
    for server in (index.vectors, index.texts):
        assert server.searchable.keys() == set(row_keys(KEY, 1, 3))


async def test_rows_of_a_writer_that_died_are_discarded_when_their_version_turns_out_to_be_stale():
    """It wrote the newest of its batch; the next one gets that version together with a newer one."""
    index = Index()
    await index.killed_before_the_manifest(part(1, ONE))
    assert index.stored() == set(row_keys(KEY, 1, 2))

    await index.process(part(1, ONE), part(2, TWO))

    assert index.stored() == set(row_keys(KEY, 2, 1))


async def test_rows_of_a_writer_that_died_are_discarded_when_their_version_changes_nothing():
    """It took versions 1 and 2 of one content together; the next one takes them one by one."""
    index = Index()
    await index.killed_before_the_manifest(part(1, ONE), part(2, ONE))
    assert index.stored() == set(row_keys(KEY, 2, 2))

    await index.process(part(1, ONE))
    [fact] = facts(await index.process(part(2, ONE)))

    assert fact.outcome is Outcome.UNCHANGED
    assert index.stored() == set(row_keys(KEY, 1, 2))


async def test_a_version_in_parts_is_listed_until_it_is_whole():
    """Nothing of it is shown before; then all of it is, and the list is empty."""
    index = Index()
    await index.process(part(1, LONG, 0))
    begun = index.manifests.manifest(KEY)
    assert begun is not None
    assert (begun.version, begun.deleted, begun.superseded) == (0, True, (RowsOfVersion(1, 3),))

    await index.process(part(1, LONG, 1))

    whole = index.manifests.manifest(KEY)
    assert whole is not None
    assert (whole.version, whole.rows_version, whole.row_count, whole.superseded) == (1, 1, 3, ())


async def test_a_version_that_lost_a_part_is_refused_and_its_rows_go_with_the_next_one():
    """The old version keeps serving meanwhile."""
    index = Index()
    await index.process(part(1, ONE))

    outputs = await index.process(part(2, LONG, 1, offset=7))

    [(record, poison)] = outputs.set_aside
    assert (record.offset, poison.reason) == (7, "part_missing")
    assert facts(outputs) == []
    manifest = index.manifests.manifest(KEY)
    assert manifest is not None
    assert (manifest.version, manifest.rows_version) == (1, 1)
    await index.process(part(3, TWO))
    assert index.stored() == set(row_keys(KEY, 3, 1))


async def test_an_older_version_of_the_same_batch_takes_effect_where_the_newest_cannot():
    """It would have been skipped as stale."""
    index = Index()

    outputs = await index.process(part(1, ONE), part(2, LONG, 1))

    assert [poison.reason for _, poison in outputs.set_aside] == ["part_missing"]
    assert [(fact.version, fact.outcome) for fact in facts(outputs)] == [(1, Outcome.SEARCHABLE)]
    manifest = index.manifests.manifest(KEY)
    assert manifest is not None
    assert manifest.version == 1


async def test_many_versions_that_lost_a_part_do_not_make_the_batch_wait():
    """Each is refused on its own, however many there are."""
    index = Index()

    outputs = await index.process(*[part(version, LONG, 1, offset=version) for version in range(1, 60)])

    assert len(outputs.set_aside) == 59
    assert {poison.reason for _, poison in outputs.set_aside} == {"part_missing"}


async def test_a_row_one_engine_refuses_leaves_nothing_behind_in_the_other():
    """What the other took is listed, and goes with the next version."""
    index = Index()
    bad = Content(name="bad", rows_by_part=(2,), refused_row=1)
    with pytest.raises(Poison, match=r"t/a@1#1"):
        await index.process(part(1, bad))
    assert set(index.vectors.stored) == set(row_keys(KEY, 1, 2))

    await index.process(part(2, TWO))

    assert index.stored() == set(row_keys(KEY, 2, 1))


async def test_vectors_of_another_model_stop_the_stage():
    """They are not comparable: nothing is written."""
    index = Index()
    chunk_set = Entry(document=KEY, version=1, content=ONE).chunk_set()
    other = EmbeddedChunkSet(chunk_set, "another-model", np.zeros((2, 2), np.float32))
    record = Record(
        topic="t", partition=0, offset=0, key=b"t/a", value=encode_embedded_chunk_set(other), headers=(), timestamp_ms=1
    )

    with pytest.raises(Fatal, match="'another-model' arrived for an index of 'model-of-the-tests'"):
        await index.process(part(2, ONE), record)

    assert index.stored() == set()


async def test_bytes_that_are_no_chunk_set_are_set_aside_alone():
    """The neighbours are searchable; the fact about it names the document, if the key does."""
    index = Index()
    bad = Record(topic="t", partition=0, offset=3, key=b"t/b", value=b"\x00", headers=(), timestamp_ms=5)

    outputs = await index.process(part(1, ONE), bad)

    [(record, poison)] = outputs.set_aside
    assert (record.offset, poison.reason) == (3, "undecodable")
    assert [fact.outcome for fact in facts(outputs)] == [Outcome.SEARCHABLE]
    told = index.stage().failure(bad, poison, "letter")
    assert told is not None
    fact = decode_indexed(told.value or b"")
    assert (fact.document, fact.version, fact.outcome) == (DocumentKey("t", "b"), None, Outcome.FAILED)


async def test_a_manifest_that_others_change_all_the_time_makes_the_batch_wait():
    """It is tried again later rather than for ever."""
    index = Index()

    class Contended(ManifestServer):
        def advance(self, change: Any) -> str | None:
            return None

    index.manifests = Contended()
    with pytest.raises(Retryable, match="changed by other writers"):
        await index.process(part(1, ONE))
