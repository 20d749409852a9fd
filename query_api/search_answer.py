"""A search as it is answered: the JSON of a SearchResponse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired

from typing_extensions import TypedDict

from query_api.metadata_answer import MetadataAnswer, metadata_answer
from schemas.metadata import FieldType
from schemas.search import Hit, LegRank, LegState, LegStatus, SearchResponse, Visibility


class LegRankAnswer(TypedDict):
    """Where a leg placed a hit; score and contribution come with ``explain``."""

    rank: int
    score: NotRequired[float]
    contribution: NotRequired[float]


class HitAnswer(TypedDict):
    """One hit: a document's best chunk, or any chunk where hits are not collapsed."""

    id: str
    tenant: str
    score: float
    version: int
    ordinal: int
    title: str
    text: str
    start: int
    end: int
    heading_path: list[str]
    page: int | None
    source: str
    metadata: MetadataAnswer
    legs: dict[str, LegRankAnswer]


class LegAnswer(TypedDict):
    """How a leg did; ``detail`` says what was wrong with it."""

    state: LegState
    candidates: int
    took_ms: float
    detail: NotRequired[str]


class SearchAnswer(TypedDict):
    """The hits, best first, and what stands behind them; ``degraded`` names legs that did not answer in full."""

    hits: list[HitAnswer]
    degraded: list[str]
    legs: dict[str, LegAnswer]
    generation: str
    visibility: Visibility
    took_ms: float
    steps_ms: NotRequired[dict[str, float]]


def search_answer(response: SearchResponse, *, fields: Mapping[str, FieldType], explain: bool = False) -> SearchAnswer:
    """Write a response; ``fields`` are the collection's, by which dates are told from numbers."""
    answer: SearchAnswer = {
        "hits": [_hit(hit, fields, explain=explain) for hit in response.hits],
        "degraded": list(response.degraded),
        "legs": {name: _leg(status) for name, status in response.legs.items()},
        "generation": response.generation,
        "visibility": response.visibility,
        "took_ms": round(response.took_ms, 3),
    }
    if explain:
        answer["steps_ms"] = {step: round(took_ms, 3) for step, took_ms in response.steps_ms.items()}
    return answer


def _leg(status: LegStatus) -> LegAnswer:
    answer: LegAnswer = {
        "state": status.state,
        "candidates": status.candidates,
        "took_ms": round(status.took_ms, 3),
    }
    if status.detail:
        answer["detail"] = status.detail
    return answer


def _hit(hit: Hit, fields: Mapping[str, FieldType], *, explain: bool) -> HitAnswer:
    return {
        "id": hit.id,
        "tenant": hit.tenant,
        "score": hit.score,
        "version": hit.version,
        "ordinal": hit.ordinal,
        "title": hit.title,
        "text": hit.text,
        "start": hit.start,
        "end": hit.end,
        "heading_path": list(hit.heading_path),
        "page": hit.page,
        "source": hit.source,
        "metadata": metadata_answer(hit.metadata, fields),
        "legs": {name: _rank(rank, explain=explain) for name, rank in hit.legs.items()},
    }


def _rank(rank: LegRank, *, explain: bool) -> LegRankAnswer:
    if explain:
        return {"rank": rank.rank, "score": rank.score, "contribution": rank.contribution}
    return {"rank": rank.rank}
