"""The index stage: makes document versions visible in both engines at once, by one manifest write.

The numbered steps are those of the index protocol; their order is the promise. A crash between any two of them is
repaired by redelivery, because rows belong to one version and the manifest alone decides which version is seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Final, NamedTuple

import numpy as np

from consumers.facts import fact_record, failed_fact
from consumers.index_plan import (
    Incoming,
    Plan,
    cleared,
    incomplete,
    plan_document,
    superseded_keys,
    unfinished,
    without_target,
)
from engines.ports import ManifestChange, ManifestStore, TextIndex, VectorIndex
from schemas.codec import decode_embedded_chunk_set
from schemas.errors import DecodeError, Fatal, Poison, Retryable
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from schemas.manifest import Manifest
from schemas.row import row_of
from streams.log import OutgoingRecord, Record
from streams.worker import Outputs

Arrivals = dict[DocumentKey, list[Incoming]]


class _Absent(NamedTuple):
    """Keys that are not stored, by engine."""

    dense: set[str]
    sparse: set[str]


_DECISION_ATTEMPTS: Final = 16


class IndexStage:
    """Drives the index protocol for a batch of document versions, newest per document."""

    name = "index"

    def __init__(
        self,
        *,
        vectors: VectorIndex,
        texts: TextIndex,
        manifests: ManifestStore,
        model_fingerprint: str,
        indexed_topic: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._vectors = vectors
        self._texts = texts
        self._manifests = manifests
        self._model_fingerprint = model_fingerprint
        self._indexed_topic = indexed_topic
        self._now_ms = now_ms

    async def process(self, batch: Sequence[Record]) -> Outputs:
        """Run the protocol once; step 6 (append the facts, commit the offsets) is the worker's."""
        started = time.perf_counter()
        arrivals, set_aside = self._decode(batch)
        finished: list[tuple[Incoming, Outcome]] = []
        # Deciding again for want of a part takes one version out of the batch each time; that alone ends by itself.
        for _ in range(_DECISION_ATTEMPTS + len(batch)):
            plans, undecided = await self._run(arrivals)
            for plan in plans:
                finished += plan.finished
                set_aside += [(item.record, poison) for item, poison in plan.refused]
            arrivals = undecided
            if not arrivals:
                seconds = time.perf_counter() - started
                facts = [self._fact(item, outcome, seconds) for item, outcome in finished]
                return Outputs(records=[fact_record(fact, self._indexed_topic) for fact in facts], set_aside=set_aside)
        raise Retryable(f"manifests were changed by other writers {_DECISION_ATTEMPTS} times in a row")

    async def _run(self, arrivals: Arrivals) -> tuple[list[Plan], Arrivals]:
        """Carry each document as far as it goes; return the plans that held and what must be decided again."""
        # 1. Read the manifests; plan what is newer, drop what is not.
        stored = await self._manifests.read(list(arrivals))
        plans = [plan_document(document, items, stored.get(document)) for document, items in arrivals.items()]
        # 2. and 3. Write the rows of what is newer to both engines, and wait until both would return them.
        try:
            await self._write_rows(plans)
        except Poison:
            # Of a larger batch the loop tries each record again; this one it sets aside.
            if sum(map(len, arrivals.values())) == 1:
                await self._list_unfinished(plans)
            raise
        plans, undecided = await self._refuse_incomplete(plans, arrivals)
        # 4. Advance the manifests: the moment of truth.
        plans, tokens = await self._advance(plans, arrivals, undecided)
        # 5. Delete what no manifest lists any more.
        await self._delete_rows(plans, tokens)
        return plans, undecided

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        """Tell that a document version failed here."""
        try:
            version: int | None = decode_embedded_chunk_set(record.value or b"").chunk_set.version
        except DecodeError:
            version = None
        fact = failed_fact(record, poison, dead_letter_id, stage=self.name, version=version, now_ms=self._now_ms())
        return None if fact is None else fact_record(fact, self._indexed_topic)

    def _decode(self, batch: Sequence[Record]) -> tuple[Arrivals, list[tuple[Record, Poison]]]:
        arrivals: Arrivals = {}
        set_aside: list[tuple[Record, Poison]] = []
        for record in batch:
            try:
                embedded = decode_embedded_chunk_set(record.value or b"")
            except DecodeError as error:
                set_aside.append((record, error))
                continue
            if embedded.model_fingerprint != self._model_fingerprint:
                raise Fatal(
                    f"vectors of model {embedded.model_fingerprint!r} arrived for an index of "
                    f"{self._model_fingerprint!r}: start the embed stage with this generation's model"
                )
            arrivals.setdefault(embedded.chunk_set.document, []).append(Incoming(record, embedded))
        return arrivals, set_aside

    async def _write_rows(self, plans: Sequence[Plan]) -> None:
        items = [item for plan in plans for item in plan.to_write if item.chunk_set.chunks]
        rows = [row_of(chunk, item.chunk_set) for item in items for chunk in item.chunk_set.chunks]
        if not rows:
            return
        vectors = np.concatenate([item.embedded.vectors for item in items])
        keys = [row.key for row in rows]

        async def write_dense() -> None:
            await self._vectors.upsert(rows, vectors)
            await self._vectors.make_searchable(keys)

        async def write_sparse() -> None:
            await self._texts.upsert(rows)
            await self._texts.make_searchable(keys)

        await _both(write_dense(), write_sparse())

    async def _list_unfinished(self, plans: Sequence[Plan]) -> None:
        """List rows that one engine took before the other refused theirs, so that the next version removes them."""
        changes = [change for plan in plans if (change := unfinished(plan)) is not None]
        if None in await self._manifests.advance(changes):
            raise Retryable("a manifest was changed by another writer while rows of a refused version were listed")

    async def _refuse_incomplete(self, plans: Sequence[Plan], arrivals: Arrivals) -> tuple[list[Plan], Arrivals]:
        """Let a version become visible only if every part's rows are in: a part may have gone to the dead letters."""
        wanted = [key for plan in plans for key in plan.must_exist]
        if not wanted:
            return list(plans), {}
        absent = await self._absent(wanted)
        kept: list[Plan] = []
        undecided: Arrivals = {}
        for plan in plans:
            poison = incomplete(plan, absent.dense | absent.sparse)
            if poison is None or plan.target is None:
                kept.append(plan)
                continue
            kept.append(without_target(plan, poison))
            failed = (plan.target.chunk_set.version, plan.target.chunk_set.content_hash)
            rest = [
                item
                for item in arrivals[plan.document]
                if (item.chunk_set.version, item.chunk_set.content_hash) != failed
            ]
            if rest:
                undecided[plan.document] = rest
        # Stored is not searchable: another writer may have brought these rows a moment ago.
        present = [key for plan in kept for key in plan.must_exist]
        if present:
            await _both(self._vectors.make_searchable(present), self._texts.make_searchable(present))
        return kept, undecided

    async def _advance(
        self, plans: Sequence[Plan], arrivals: Arrivals, undecided: Arrivals
    ) -> tuple[list[Plan], dict[DocumentKey, tuple[Manifest, str]]]:
        """Write the manifests; documents where another writer was first are added to ``undecided``."""
        moving = [plan for plan in plans if plan.change is not None]
        results = await self._manifests.advance([plan.change for plan in moving if plan.change is not None])
        tokens: dict[DocumentKey, tuple[Manifest, str]] = {}
        for plan, token in zip(moving, results, strict=True):
            if token is None:
                undecided[plan.document] = arrivals[plan.document]
            elif plan.change is not None:
                tokens[plan.document] = (plan.change.manifest, token)
        return [plan for plan in plans if plan.change is None or plan.document in tokens], tokens

    async def _delete_rows(self, plans: Sequence[Plan], tokens: dict[DocumentKey, tuple[Manifest, str]]) -> None:
        for plan in plans:
            if plan.leftovers is not None:
                tokens[plan.document] = (plan.leftovers.manifest, plan.leftovers.token)
        superseded = {document: superseded_keys(manifest, document) for document, (manifest, _) in tokens.items()}
        keys = [key for listed in superseded.values() for key in listed]
        keys += await self._present(dict.fromkeys(key for plan in plans for key in plan.garbage))
        if keys:
            await _both(self._vectors.delete(keys), self._texts.delete(keys))
        changes = [
            ManifestChange(document=document, manifest=cleared(manifest), expected=token)
            for document, (manifest, token) in tokens.items()
            if superseded[document]
        ]
        if changes:
            # A refusal means that a newer writer took the list over together with the manifest: nothing is lost.
            await self._manifests.advance(changes)

    async def _present(self, keys: Collection[str]) -> list[str]:
        """Return those that are in either engine; almost always none, and reading is cheaper than deleting nothing."""
        if not keys:
            return []
        absent = await self._absent(list(keys))
        return [key for key in keys if key not in absent.dense or key not in absent.sparse]

    async def _absent(self, keys: Sequence[str]) -> _Absent:
        return _Absent(*await asyncio.gather(self._vectors.missing(keys), self._texts.missing(keys)))

    def _fact(self, item: Incoming, outcome: Outcome, seconds: float) -> Indexed:
        version = item.chunk_set
        return Indexed(
            document=version.document,
            version=version.version,
            outcome=outcome,
            row_count=version.row_count,
            stage=self.name,
            appended_at_ms=version.appended_at_ms,
            finished_at_ms=self._now_ms(),
            timings={**version.timings, self.name: seconds},
        )


async def _both(dense: Coroutine[None, None, None], sparse: Coroutine[None, None, None]) -> None:
    """Run both to their end, then raise what weighs most: what stops before what waits before what sets aside."""
    results = await asyncio.gather(dense, sparse, return_exceptions=True)
    failures = [result for result in results if result is not None]
    for kind in (Fatal, Retryable, Poison, BaseException):
        for failure in failures:
            if isinstance(failure, kind):
                raise failure
