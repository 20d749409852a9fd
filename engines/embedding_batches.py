"""Groups texts of like length into batches that the model pads little, and puts the results back in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from schemas.embedding import Vectors


def group_by_length(lengths: Sequence[int], *, token_budget: int) -> list[list[int]]:
    """Return groups of indices, longest texts first, that hold every index once.

    A group costs what it is padded to: its longest text times its texts. That stays within the budget, but for a text
    that is over it alone and makes a group of its own.
    """
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if groups and longest * (len(groups[-1]) + 1) <= token_budget:
            groups[-1].append(index)
        else:
            groups.append([index])
            longest = max(lengths[index], 1)
    return groups


def restore_order(groups: Sequence[Sequence[int]], blocks: Iterable[Vectors], *, dimension: int) -> Vectors:
    """Return one array in the order of the indices; ``blocks[n]`` holds a row for each index of ``groups[n]``."""
    ordered = np.empty((sum(map(len, groups)), dimension), dtype=np.float32)
    for group, block in zip(groups, blocks, strict=True):
        ordered[list(group)] = block
    return ordered
