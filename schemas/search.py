"""Searching: what is asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.filters import Filter
from schemas.metadata import FilterableValue

DENSE: Final = "dense"
SPARSE: Final = "sparse"
LEG_NAMES: Final = (DENSE, SPARSE)
RRF_K: Final = 60
WINDOW: Final = 200


class LegState(StrEnum):
    """What became of a leg; the vocabulary is closed."""

    OK = "ok"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    SKIPPED = "skipped"
    """Not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRequest:
    """How one leg takes part."""

    window: int = WINDOW
    weight: float = 1.0
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One question to one collection. ``legs`` names the engines to ask; a leg that is absent is skipped."""

    collection: str
    query: str
    tenant: str = "default"
    size: int = 10
    legs: Mapping[str, LegRequest] = field(default_factory=lambda: {name: LegRequest() for name in LEG_NAMES})
    k: int = RRF_K
    filter: Filter | None = None
    #: One hit per document (its best chunk) instead of one per chunk.
    collapse: bool = True
    explain: bool = False
    deadline_ms: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRank:
    """Where one leg placed a row: its 1-based rank over the leg's whole list, its own score, and what it added."""

    rank: int
    score: float
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One answer: the document's own text, as it is in the visible version."""

    id: str
    tenant: str
    score: float
    version: int
    ordinal: int
    title: str
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    source: str = ""
    metadata: Mapping[str, FilterableValue] = field(default_factory=dict)
    legs: Mapping[str, LegRank] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegStatus:
    """How one leg did in this search."""

    state: LegState
    candidates: int = 0
    took_ms: float = 0.0
    detail: str = ""


class Visibility(StrEnum):
    """Whether manifests vouched for the hits."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResponse:
    """The hits, best first, and what stands behind them."""

    hits: tuple[Hit, ...]
    legs: Mapping[str, LegStatus]
    #: Legs that were asked for and did not answer in full, by name; empty means a whole answer.
    degraded: tuple[str, ...]
    generation: str
    visibility: Visibility = Visibility.VERIFIED
    took_ms: float = 0.0
    #: Milliseconds by step: ``embed``, ``legs``, ``fuse``, ``show`` (visibility and rows, read together).
    steps_ms: Mapping[str, float] = field(default_factory=dict)
