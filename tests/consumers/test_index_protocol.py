"""Two index stages, one of them a zombie at times, on engines that fail: whatever happens, documents stay whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, cast

import pytest
from hypothesis import settings

from consumers.index import IndexStage
from schemas.codec import decode_indexed
from schemas.errors import Retryable
from schemas.indexed import Outcome
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest
from streams.log import Record
from streams.worker import Outputs, Worker, WorkerSettings
from tests.consumers.index_history import FINGERPRINT, History, random_history
from tests.consumers.unreliable_engines import (
    ManifestServer,
    RowServer,
    Turns,
    UnreliableManifests,
    UnreliableTexts,
    UnreliableVectors,
)

SCHEDULES = 40 * settings().max_examples
SHARDS = 4
TROUBLED_STEPS = 60


#: The same few names at every step of thousands of schedules.
_row_keys = lru_cache(row_keys)


class Servers:
    """The engines, and the promises that hold at every moment."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.vectors, self.texts, self.manifests = RowServer(), RowServer(), ManifestServer()
        self._newest_seen: dict[DocumentKey, int] = {}

    def check(self, committed: int) -> None:
        """Whole or not at all, never older than before, and nothing lost that was committed."""
        for document in self.history.documents:
            manifest = self.manifests.manifest(document)
            version = 0 if manifest is None else manifest.version
            assert version >= self._newest_seen.get(document, 0), f"{document} went back"
            self._newest_seen[document] = version
            assert version >= self.history.newest[document][committed], f"{document} was lost"
            if manifest is not None and not manifest.deleted:
                self._check_visible(document, manifest)

    def _check_visible(self, document: DocumentKey, manifest: Manifest) -> None:
        content = self.history.contents[document, manifest.rows_version]
        assert content is not None
        assert (content.name, content.row_count) == (manifest.content_hash, manifest.row_count)
        keys = _row_keys(document, manifest.rows_version, manifest.row_count)
        for server in (self.vectors, self.texts):
            for ordinal, key in enumerate(keys):
                assert key in server.searchable, f"{key} is visible and not there: {manifest}"
                assert server.searchable[key].text == content.text(ordinal)

    def check_outcome(self) -> None:
        """The newest version that can be whole is what each document shows."""
        for document in self.history.documents:
            newest = self.history.newest[document][-1]
            manifest = self.manifests.manifest(document)
            if newest == 0:
                assert manifest is None or (manifest.version, manifest.deleted) == (0, True)
                continue
            content = self.history.contents[document, newest]
            assert manifest is not None
            assert (manifest.version, manifest.deleted) == (newest, content is None)
            assert manifest.content_hash == ("" if content is None else content.name)

    def check_rows(self) -> None:
        """Every row is one that a manifest lists: visible, or of a newer version that is not whole."""
        visible: set[str] = set()
        on_their_way: set[str] = set()
        for document in self.history.documents:
            manifest = self.manifests.manifest(document)
            if manifest is None:
                continue
            visible |= set(row_keys(document, manifest.rows_version, manifest.row_count))
            for listed in manifest.superseded:
                assert listed.version > manifest.version, f"rows of {listed} are still listed: {manifest}"
                on_their_way |= set(row_keys(document, listed.version, listed.row_count))
        for server in (self.vectors, self.texts):
            assert visible <= server.stored.keys() <= visible | on_their_way


@dataclass
class Node:
    """One process: a stage, and the batch in its hands."""

    stage: IndexStage
    task: asyncio.Task[Outputs] | None = None
    begin: int = 0
    end: int = 0
    #: Whether the partition has been this node's own since the batch was polled.
    owns: bool = False


class Schedule:
    """Decides, from one seed, what is in the log, whose turn it is, what fails, and who owns the partition."""

    def __init__(self, seed: int, *, size: int) -> None:
        self.random = Random(seed)
        self.history = random_history(self.random, versions=size)
        self.records = [entry.record(offset) for offset, entry in enumerate(self.history.entries)]
        self.servers = Servers(self.history)
        self.turns = Turns(self.random)
        self.nodes = [self._node(name) for name in ("left", "right")]
        self.owner = self.nodes[0]
        self.committed = 0
        self.outputs: list[Outputs] = []
        self.zombies_gave_up = False

    def _node(self, name: str) -> Node:
        servers, turns = self.servers, self.turns
        stage = IndexStage(
            vectors=cast("Any", UnreliableVectors(servers.vectors, turns, name)),
            texts=cast("Any", UnreliableTexts(servers.texts, turns, name)),
            manifests=cast("Any", UnreliableManifests(servers.manifests, turns, name)),
            model_fingerprint=FINGERPRINT,
            indexed_topic="c.g1.indexed",
            now_ms=lambda: 0,
        )
        return Node(stage)

    async def run(self) -> None:
        """Trouble first, then peace until everything is committed."""
        for _ in range(TROUBLED_STEPS):
            await self.step(trouble=True)
        while self.committed < len(self.records) or any(node.task for node in self.nodes):
            await self.step(trouble=False)
        self.servers.check_outcome()
        if not self.zombies_gave_up:
            self.servers.check_rows()
        # What a process left behind that nobody repeats is found by the next one that reads the log again.
        self.committed = 0
        while self.committed < len(self.records) or any(node.task for node in self.nodes):
            await self.step(trouble=False)
        self.servers.check_outcome()
        self.servers.check_rows()

    async def step(self, *, trouble: bool) -> None:
        """Let one thing happen, and see that every promise still holds."""
        chance = self.random.random()
        if trouble and chance < 0.03:
            self._rebalance()
        elif trouble and chance < 0.05:
            await self._kill(self.random.choice(self.nodes))
        elif chance < 0.10:
            self.random.choice([self.servers.vectors, self.servers.texts]).refresh()
        else:
            self._poll()
            self.turns.let_one_go(fault_rate=0.08 if trouble else 0.0)
        for _ in range(3):
            await asyncio.sleep(0)
        for node in self.nodes:
            self._settle(node)
        self.servers.check(self.committed)

    def _rebalance(self) -> None:
        self.owner.owns = False
        self.owner = self.random.choice(self.nodes)

    async def _kill(self, node: Node) -> None:
        if node.task is not None:
            node.task.cancel()
            await asyncio.gather(node.task, return_exceptions=True)
            self._drop(node)

    def _drop(self, node: Node) -> None:
        """Forget the batch; the partition's owner reads it again, if it is not committed."""
        if not node.owns:
            self.zombies_gave_up = True
        node.task = None

    def _poll(self) -> None:
        node = self.owner
        if node.task is None and self.committed < len(self.records):
            node.begin = self.committed
            node.end = min(len(self.records), node.begin + self.random.randint(1, 5))
            node.owns = True
            self._start(node)

    def _start(self, node: Node) -> None:
        node.task = asyncio.create_task(process(node.stage, self.records[node.begin : node.end]))

    def _settle(self, node: Node) -> None:
        if node.task is None or not node.task.done():
            return
        try:
            outputs = node.task.result()
        except Retryable:
            if node.owns:
                self._start(node)
            else:
                self._drop(node)
            return
        self._check_outputs(self.records[node.begin : node.end], outputs)
        node.task = None
        if node.owns:
            self.committed = node.end

    def _check_outputs(self, batch: Sequence[Record], outputs: Outputs) -> None:
        """Every version that ends in the batch has its fact or its dead letter, and none has both."""
        set_aside = {
            (self.history.entries[record.offset].document, self.history.entries[record.offset].version): poison.reason
            for record, poison in outputs.set_aside
        }
        assert len({record.offset for record, _ in outputs.set_aside}) == len(outputs.set_aside)
        assert set(set_aside.values()) <= {"part_missing", "unindexable"}
        facts = {(fact.document, fact.version) for fact in map(_fact, outputs.records)}
        ended = [self.history.entries[record.offset] for record in batch]
        for entry in ended:
            identity = (entry.document, entry.version)
            if entry.is_last_part:
                assert identity in facts or identity in set_aside
        for fact in map(_fact, outputs.records):
            if fact.outcome is Outcome.SEARCHABLE:
                assert fact.version is not None
                assert (fact.document, fact.version) in self.history.whole_after


def _fact(record: Any) -> Any:
    return decode_indexed(record.value)


async def process(stage: IndexStage, batch: Sequence[Record]) -> Outputs:
    """Cut a batch in two where it fails as a whole, exactly as the loop does."""
    settings = WorkerSettings(topics=("t",), group="g", dead_letters_topic="d")
    worker = Worker(log=cast("Any", None), stage=stage, settings=settings, observer=cast("Any", None))
    return await worker._process_or_bisect(batch)


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_documents_stay_whole_under_every_schedule(shard: int):
    """Crashes, lost answers, half-done calls, zombies and repeated or lost parts never show, and leave nothing behind.

    At each step: what a manifest lists is searchable in both engines in full, no version goes back, and what was
    committed took effect. In the end: exactly the rows that manifests list, of the versions the log says.
    """
    for seed in range(shard, SCHEDULES, SHARDS):
        size = 1 + 6 * seed // SCHEDULES
        try:
            await Schedule(seed, size=size).run()
        except Exception as error:
            raise AssertionError(f"schedule {seed} of size {size}: {error}") from error
