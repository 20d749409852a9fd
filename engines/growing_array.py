"""A numpy array that is only ever appended to: views taken before stay valid and never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Element = TypeVar("Element", bound=np.generic)

_SMALLEST_CAPACITY: Final = 16


class GrowingArray(Generic[Element]):
    """Rows of one type and width; doubles its room when full, so that n appends copy O(n) in all."""

    def __init__(self, dtype: type[Element], width: int | None = None) -> None:
        self._shape: tuple[int, ...] = () if width is None else (width,)
        self._room: NDArray[Element] = np.empty((0, *self._shape), dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, values: NDArray[np.generic] | Sequence[int]) -> None:
        """Append rows."""
        needed = self._length + len(values)
        if needed > len(self._room):
            # Views of the old room stay as they are: a search that began before goes on reading it.
            grown = np.empty((max(_SMALLEST_CAPACITY, needed, 2 * len(self._room)), *self._shape), self._room.dtype)
            grown[: self._length] = self.view()
            self._room = grown
        self._room[self._length : needed] = values
        self._length = needed

    def view(self) -> NDArray[Element]:
        """Return the rows so far, without copying."""
        return self._room[: self._length]
