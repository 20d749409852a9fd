"""Reciprocal rank fusion: its formula, its order, and what must not change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from query_api.fusion import FusedRow, leg_ranks, reciprocal_rank_fusion
from schemas.row import Candidate

_KEYS = st.text(alphabet="abcdefgh", min_size=1, max_size=2)
_LEG = st.lists(_KEYS, unique=True, max_size=12).map(lambda keys: [Candidate(key, 1.0) for key in keys])
_LEGS = st.fixed_dictionaries({"dense": _LEG, "sparse": _LEG})
_K = st.integers(1, 100)


def _fuse(legs: Mapping[str, Sequence[Candidate]], k: int = 60, **weights: float) -> list[FusedRow]:
    return reciprocal_rank_fusion(legs, weights=weights, k=k)


def _by_the_book(legs: Mapping[str, Sequence[Candidate]], k: int) -> list[str]:
    """Cormack, Clarke, Büttcher 2009, in exact arithmetic, straight from the formula."""
    keys = {candidate.key for candidates in legs.values() for candidate in candidates}
    ranks = {
        key: [
            1 + [c.key for c in candidates].index(key)
            for candidates in legs.values()
            if key in [c.key for c in candidates]
        ]
        for key in keys
    }
    return sorted(keys, key=lambda key: (-sum(Fraction(1, k + rank) for rank in ranks[key]), min(ranks[key]), key))


@given(_LEGS, _K)
def test_order_equals_an_independent_implementation(legs: dict[str, list[Candidate]], k: int) -> None:
    """The fused order is the formula's, ties broken by best rank, then key."""
    assert [row.key for row in _fuse(legs, k)] == _by_the_book(legs, k)


def test_ranks_begin_at_one_and_a_missing_leg_adds_nothing() -> None:
    """A row at the top of one leg alone has exactly 1 / (k + 1)."""
    fused = _fuse({"dense": [Candidate("a", 0.9), Candidate("b", 0.8)], "sparse": [Candidate("b", 7.0)]}, k=60)

    assert fused == [FusedRow("b", 1 / 62 + 1 / 61), FusedRow("a", 1 / 61)]


def test_weights_scale_a_leg() -> None:
    """A leg of weight 2 counts twice; one without a weight counts once."""
    legs = {"dense": [Candidate("a", 1.0)], "sparse": [Candidate("b", 1.0)]}

    assert _fuse(legs, sparse=2.0) == [FusedRow("b", 2 / 61), FusedRow("a", 1 / 61)]


@given(_LEGS, _K)
def test_inputs_stay_as_they_are(legs: dict[str, list[Candidate]], k: int) -> None:
    """Fusing changes neither the mapping nor the lists."""
    before = deepcopy(legs)
    _fuse(legs, k)

    assert legs == before


@given(_LEGS, _K)
def test_order_of_the_legs_does_not_matter(legs: dict[str, list[Candidate]], k: int) -> None:
    """Whichever engine answers first, the scores are the same to the last bit."""
    assert _fuse(legs, k) == _fuse(dict(reversed(legs.items())), k)


@given(_LEGS, _K)
def test_leg_scores_do_not_matter(legs: dict[str, list[Candidate]], k: int) -> None:
    """Only ranks count: BM25 scores and cosines are not comparable."""
    other = {name: [Candidate(c.key, -5.0) for c in candidates] for name, candidates in legs.items()}

    assert _fuse(legs, k) == _fuse(other, k)


@given(_LEGS, _K)
def test_the_order_is_total(legs: dict[str, list[Candidate]], k: int) -> None:
    """No key twice, none lost, and every neighbour pair is strictly ordered."""
    fused = _fuse(legs, k)

    keys = [row.key for row in fused]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {candidate.key for candidates in legs.values() for candidate in candidates}
    assert [row.score for row in fused] == sorted((row.score for row in fused), reverse=True)


@given(_LEGS, _K, st.data())
def test_a_better_rank_never_lowers_a_row(legs: dict[str, list[Candidate]], k: int, data: st.DataObject) -> None:
    """Moving a row up in one leg does not move it down in the fused list."""
    candidates = legs["dense"]
    if len(candidates) < 2:
        return
    place = data.draw(st.integers(1, len(candidates) - 1))
    key = candidates[place].key
    moved = [candidates[place], *candidates[:place], *candidates[place + 1 :]]

    before = [row.key for row in _fuse(legs, k)].index(key)
    after = [row.key for row in _fuse({**legs, "dense": moved}, k)].index(key)
    assert after <= before


@given(_LEGS, _K)
def test_explanation_adds_up_to_the_score(legs: dict[str, list[Candidate]], k: int) -> None:
    """What the legs are said to have added is the fused score."""
    fused = _fuse(legs, k, dense=0.7)
    ranks = leg_ranks([row.key for row in fused], legs, weights={"dense": 0.7}, k=k)

    for row in fused:
        assert abs(sum(rank.contribution for rank in ranks[row.key].values()) - row.score) < 1e-12
        for name, rank in ranks[row.key].items():
            assert legs[name][rank.rank - 1].key == row.key


def test_scores_that_are_equal_on_paper_are_a_tie() -> None:
    """1/70 equals 1/105 + 1/210, though not in floating point: the better rank goes first, whatever the keys."""
    dense = [Candidate(f"d{rank:03}", 1.0) for rank in range(1, 151)]
    sparse = [Candidate(f"s{rank:03}", 1.0) for rank in range(1, 151)]
    dense[9] = Candidate("z", 1.0)
    dense[44] = Candidate("a", 1.0)
    sparse[149] = Candidate("a", 1.0)

    order = [row.key for row in reciprocal_rank_fusion({"dense": dense, "sparse": sparse}, weights={}, k=60)]

    assert order.index("z") < order.index("a")
