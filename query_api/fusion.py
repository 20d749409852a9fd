"""Reciprocal rank fusion: two ranked lists into one, by ranks alone.

``score(row) = Σ_leg weight_leg / (k + rank_leg(row))`` (Cormack, Clarke, Büttcher: "Reciprocal Rank Fusion outperforms
Condorcet and individual Rank Learning Methods", SIGIR 2009). Ranks are 1-based over a leg's whole list; a leg that
lacks a row adds 0; ties are broken by the best rank, then by the row key, so that the order is total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.row import Candidate
from schemas.search import LegRank

#: Relative distance below which two scores are one: rounding gives 1e-16, different ranks below 1,000 give over 1e-12.
_TIE: Final = 1e-14


@dataclass(frozen=True, slots=True)
class FusedRow:
    """A row's place in the fused list is its index there; this is its key and fused score."""

    key: str
    score: float


def reciprocal_rank_fusion(
    legs: Mapping[str, Sequence[Candidate]], *, weights: Mapping[str, float], k: int
) -> list[FusedRow]:
    """Fuse; the inputs are left as they are. A leg without a weight counts 1."""
    scores: dict[str, float] = {}
    best: dict[str, int] = {}
    for name in sorted(legs):
        weight = weights.get(name, 1.0)
        for rank, candidate in enumerate(legs[name], start=1):
            key = candidate.key
            scores[key] = scores.get(key, 0.0) + weight / (k + rank)
            if rank < best.get(key, rank + 1):
                best[key] = rank
    ordered = sorted(scores, key=lambda key: -scores[key])
    return [FusedRow(key, scores[key]) for key in _settle_ties(ordered, scores, best)]


def _settle_ties(ordered: list[str], scores: Mapping[str, float], best: Mapping[str, int]) -> list[str]:
    """Order equal scores by best rank, then key.

    Sums of other fractions that are equal on paper, as 1/70 and 1/105 + 1/210, differ in their last bits.
    """
    settled: list[str] = []
    tied: list[str] = []
    for key in ordered:
        if tied and scores[tied[-1]] - scores[key] > _TIE * scores[tied[-1]]:
            settled += tied if len(tied) == 1 else sorted(tied, key=lambda one: (best[one], one))
            tied = []
        tied.append(key)
    return settled + sorted(tied, key=lambda one: (best[one], one))


def leg_ranks(
    keys: Sequence[str], legs: Mapping[str, Sequence[Candidate]], *, weights: Mapping[str, float], k: int
) -> dict[str, dict[str, LegRank]]:
    """Say, for each of the keys, where each leg placed it and what that added to its fused score."""
    wanted = set(keys)
    ranks: dict[str, dict[str, LegRank]] = {key: {} for key in keys}
    for name, candidates in legs.items():
        weight = weights.get(name, 1.0)
        for rank, candidate in enumerate(candidates, start=1):
            if candidate.key in wanted:
                ranks[candidate.key][name] = LegRank(rank=rank, score=candidate.score, contribution=weight / (k + rank))
    return ranks
