"""Grouping texts by length loses none, wastes little, and can be undone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.embedding_batches import group_by_length, restore_order

LENGTHS = st.lists(st.integers(0, 600), max_size=120)
BUDGETS = st.integers(1, 5_000)


@given(lengths=LENGTHS, budget=BUDGETS)
def test_every_text_is_in_exactly_one_group(lengths: list[int], budget: int) -> None:
    """No text is lost, none is computed twice, no group is empty."""
    groups = group_by_length(lengths, token_budget=budget)

    assert list(range(len(lengths))) == sorted(index for group in groups for index in group)
    assert all(groups)


@given(lengths=LENGTHS, budget=BUDGETS)
def test_a_padded_group_stays_within_the_budget(lengths: list[int], budget: int) -> None:
    """Only a single text may be over it."""
    for group in group_by_length(lengths, token_budget=budget):
        assert len(group) == 1 or max(lengths[index] for index in group) * len(group) <= budget


@given(lengths=LENGTHS, budget=BUDGETS)
def test_groups_go_from_long_to_short(lengths: list[int], budget: int) -> None:
    """Texts of like length share a group, so little is padded; equal lengths keep their order."""
    order = [index for group in group_by_length(lengths, token_budget=budget) for index in group]

    assert sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)) == order


@given(lengths=LENGTHS, budget=BUDGETS)
def test_restoring_undoes_the_grouping(lengths: list[int], budget: int) -> None:
    """Row n belongs to text n again."""
    groups = group_by_length(lengths, token_budget=budget)
    blocks = [np.array([[index, lengths[index]] for index in group], dtype=np.float32) for group in groups]

    restored = restore_order(groups, blocks, dimension=2)

    assert [[index, length] for index, length in enumerate(lengths)] == restored.tolist()
    assert (len(lengths), 2) == restored.shape
    assert np.float32 == restored.dtype


def test_a_larger_budget_never_makes_more_groups() -> None:
    """The budget is what decides how many there are."""
    lengths = [128] * 64

    assert len(group_by_length(lengths, token_budget=128)) == 64
    assert len(group_by_length(lengths, token_budget=2_048)) == 4
    assert len(group_by_length(lengths, token_budget=128 * 64)) == 1
