"""Searching: embed, ask both legs under one deadline, fuse, check visibility, hydrate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from query_api.fusion import FusedRow, leg_ranks, reciprocal_rank_fusion
from query_api.legs import LegAnswers, ask_legs
from query_api.serving import Collections, Serving
from query_api.visibility import Found, Page, first_of_each_document, take_apart, visible_page
from schemas.embedding import Vectors
from schemas.errors import Fatal, Retryable
from schemas.keys import DocumentKey
from schemas.manifest import StoredManifest
from schemas.row import Row
from schemas.search import Hit, LegRank, LegState, SearchRequest, SearchResponse, Visibility

#: A document that is flipped again and again while a query runs is followed this often, then left out of the page.
_ASK_LIMIT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What to do when the manifests cannot be read: refuse, or answer with ``visibility: unverified``."""

    answer_unverified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    page: Page
    rows: Mapping[str, Row]
    legs: LegAnswers
    visibility: Visibility
    steps_ms: Mapping[str, float]

    def settled(self) -> bool:
        """Tell whether nothing moved while the attempt ran."""
        return not self.page.overtaken and all(item.key in self.rows for item in self.page.visible)


class Searcher:
    """Answers requests; holds no state between them."""

    def __init__(self, collections: Collections, settings: SearchSettings) -> None:
        self._collections = collections
        self._settings = settings

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Answer one request.

        Raises UnknownCollection, Poison for a request no engine can answer, and Retryable when every leg failed, a
        required one did, or visibility cannot be checked and unverified answers are off.
        """
        started = time.perf_counter()
        serving = await self._collections.serving(request.collection)
        # The first request of a process opens the collection and loads its model; the legs are not late for that.
        deadline = time.perf_counter() + request.deadline_ms / 1_000
        attempt = await self._attempt(serving, request, deadline, vector=None)
        seen: set[frozenset[tuple[DocumentKey, int]]] = set()
        for _ in range(_ASK_LIMIT - 1):
            # Rows that a crash left behind look overtaken for ever: the same versions are not asked for twice.
            if attempt.settled() or attempt.page.overtaken in seen or time.perf_counter() >= deadline:
                break
            if attempt.page.overtaken:
                seen.add(attempt.page.overtaken)
            attempt = await self._attempt(serving, request, deadline, vector=attempt.legs.vector)
        return _respond(request, serving, attempt, (time.perf_counter() - started) * 1_000)

    async def _attempt(
        self, serving: Serving, request: SearchRequest, deadline: float, *, vector: Vectors | None
    ) -> _Attempt:
        began = time.perf_counter()
        legs = await ask_legs(serving, request, seconds=deadline - began, vector=vector)
        _check_legs(request, legs)
        asked = time.perf_counter()
        weights = {name: leg.weight for name, leg in request.legs.items()}
        ranked = reciprocal_rank_fusion(legs.candidates, weights=weights, k=request.k)
        if request.collapse:
            ranked = first_of_each_document(ranked)
        fused = time.perf_counter()
        page, rows, visibility = await self._show(serving, request, ranked, legs)
        done = time.perf_counter()
        steps = {
            "embed": legs.embed_ms,
            "legs": (asked - began) * 1_000 - legs.embed_ms,
            "fuse": (fused - asked) * 1_000,
            "show": (done - fused) * 1_000,
        }
        return _Attempt(page=page, rows=rows, legs=legs, visibility=visibility, steps_ms=steps)

    async def _show(
        self, serving: Serving, request: SearchRequest, ranked: Sequence[FusedRow], legs: LegAnswers
    ) -> tuple[Page, dict[str, Row], Visibility]:
        """Check visibility and fetch the page's rows, both at once for the rows that will most likely be shown."""
        first = [row.key for row in ranked[: request.size]]
        try:
            rows, page = await asyncio.gather(
                _fetch(serving, first, legs), _visible(serving, ranked, size=request.size)
            )
        except Retryable:
            if not self._settings.answer_unverified:
                raise
            page = Page(visible=tuple(take_apart(ranked[: request.size])), overtaken=frozenset(), full=False)
            return page, await _fetch(serving, first, legs), Visibility.UNVERIFIED
        further = [item.key for item in page.visible if item.key not in rows and item.key not in set(first)]
        if further:
            rows |= await _fetch(serving, further, legs)
        return page, rows, Visibility.VERIFIED


async def _visible(serving: Serving, ranked: Sequence[FusedRow], *, size: int) -> Page:
    """Read manifests only for as many rows as fill the page."""
    found: list[Found] = []
    manifests: dict[DocumentKey, StoredManifest] = {}
    while True:
        further = take_apart(ranked[len(found) : max(2 * len(found), size + size // 2 + 1)])
        found += further
        unread = [
            document for document in dict.fromkeys(item.row.document for item in further) if document not in manifests
        ]
        if unread:
            manifests |= await serving.manifests.read(unread)
        page = visible_page(found, manifests, size=size)
        if page.full or len(found) == len(ranked):
            return page


async def _fetch(serving: Serving, keys: Sequence[str], legs: LegAnswers) -> dict[str, Row]:
    """Read rows from an engine that has just answered, or else from the other: each holds all of a row."""
    if not keys:
        return {}
    stores = [serving.texts, serving.vectors] if "sparse" in legs.candidates else [serving.vectors, serving.texts]
    try:
        return await stores[0].fetch(keys)
    except (Retryable, Fatal):
        return await stores[1].fetch(keys)


def _check_legs(request: SearchRequest, legs: LegAnswers) -> None:
    for name, leg in request.legs.items():
        status = legs.statuses[name]
        if leg.required and status.state is not LegState.OK:
            raise Retryable(f"the required leg '{name}' did not answer ({status.state.value}): {status.detail}")
    if not legs.candidates:
        states = "; ".join(f"{name}: {legs.statuses[name].detail}" for name in request.legs)
        raise Retryable(f"no leg answered: {states}")


def _respond(request: SearchRequest, serving: Serving, attempt: _Attempt, took_ms: float) -> SearchResponse:
    shown = [item for item in attempt.page.visible if item.key in attempt.rows]
    weights = {name: leg.weight for name, leg in request.legs.items()}
    ranks = leg_ranks([item.key for item in shown], attempt.legs.candidates, weights=weights, k=request.k)
    return SearchResponse(
        hits=tuple(_hit(item, attempt.rows[item.key], ranks[item.key]) for item in shown),
        legs=attempt.legs.statuses,
        degraded=tuple(name for name in request.legs if attempt.legs.statuses[name].state is not LegState.OK),
        generation=serving.generation,
        visibility=attempt.visibility,
        took_ms=took_ms,
        steps_ms=attempt.steps_ms,
    )


def _hit(item: Found, row: Row, legs: Mapping[str, LegRank]) -> Hit:
    return Hit(
        id=row.document.id,
        tenant=row.document.tenant,
        score=item.score,
        version=row.version,
        ordinal=row.ordinal,
        title=row.title,
        text=row.text,
        start=row.start,
        end=row.end,
        heading_path=row.heading_path,
        page=row.page,
        source=row.source,
        metadata=row.metadata,
        legs=legs,
    )
