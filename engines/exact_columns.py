"""Metadata of many rows, one dictionary-encoded column per name, so that a filter is a few numpy operations."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from engines.growing_array import GrowingArray
from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range, Scalar
from schemas.metadata import FilterableValue

Mask = NDArray[np.bool_]


class MetadataColumns:
    """The metadata of rows 0 to n-1, and the filters over it. Rows are appended, never changed."""

    def __init__(self) -> None:
        self._columns: defaultdict[str, _Column] = defaultdict(_Column)

    def append(self, first_slot: int, metadata: Sequence[Mapping[str, FilterableValue]]) -> None:
        """Add rows, the first of which has the number ``first_slot``."""
        added: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for slot, names in enumerate(metadata, first_slot):
            for name, value in names.items():
                # An empty list is the same as absence.
                if value != ():
                    slots, codes = added[name]
                    slots.append(slot)
                    codes.append(self._columns[name].code(value))
        for name, (slots, codes) in added.items():
            self._columns[name].extend(slots, codes)

    def mask(self, condition: Filter, length: int) -> Mask:
        """Decide the filter for rows 0 to length-1, as ``schemas.filters.evaluate`` does."""
        match condition:
            case And(conditions):
                return reduce(np.logical_and, (self.mask(c, length) for c in conditions), np.ones(length, np.bool_))
            case Or(conditions):
                return reduce(np.logical_or, (self.mask(c, length) for c in conditions), np.zeros(length, np.bool_))
            case Not(inner):
                return ~self.mask(inner, length)
            case Equal() | In() | Range() | Exists() | Prefix():
                column = self._columns.get(condition.field)
                return np.zeros(length, np.bool_) if column is None else column.mask(condition, length)
            case _:
                assert_never(condition)

    def compacted(self, alive: Mask) -> MetadataColumns:
        """Return the columns of the rows that are alive, numbered anew without gaps."""
        renumbered = np.cumsum(alive) - 1
        result = MetadataColumns()
        for name, column in self._columns.items():
            kept = column.compacted(alive, renumbered)
            if kept is not None:
                result._columns[name] = kept
        return result


class _Column:
    """One name: every distinct value once, and for each row that carries the name, its value's code."""

    def __init__(self) -> None:
        self._values: list[FilterableValue] = []
        self._code_of: dict[object, int] = {}
        self._codes_by_member: defaultdict[str, list[int]] = defaultdict(list)
        self._strings = _Ordered()
        self._numbers = _Ordered()
        self._slots = GrowingArray(np.int32)
        self._codes = GrowingArray(np.int32)

    def code(self, value: FilterableValue) -> int:
        term = _term(value)
        code = self._code_of.get(term)
        if code is None:
            code = self._code_of[term] = len(self._values)
            self._values.append(value)
            if isinstance(value, tuple):
                for member in set(value):
                    self._codes_by_member[member].append(code)
            elif isinstance(value, str):
                self._strings.add(value, code)
            elif not isinstance(value, bool):
                self._numbers.add(value, code)
        return code

    def extend(self, slots: list[int], codes: list[int]) -> None:
        self._slots.extend(slots)
        self._codes.extend(codes)

    def mask(self, condition: Equal | In | Range | Exists | Prefix, length: int) -> Mask:
        match condition:
            case Exists():
                slots = self._slots.view()
            case Equal(_, value):
                slots = self._carrying(self._equal(value))
            case In(_, values):
                slots = self._carrying([code for value in values for code in self._equal(value)])
            case Range():
                slots = self._carrying(self._numbers.within(condition))
            case Prefix(_, prefix):
                slots = self._carrying(self._strings.beginning_with(prefix))
            case _:
                assert_never(condition)
        mask = np.zeros(length, np.bool_)
        mask[slots] = True
        return mask

    def _equal(self, value: Scalar) -> list[int]:
        code = self._code_of.get(_term(value))
        codes = [] if code is None else [code]
        return codes + self._codes_by_member.get(value, []) if isinstance(value, str) else codes

    def _carrying(self, codes: list[int] | NDArray[np.int32]) -> NDArray[np.int32]:
        if len(codes) == 1:
            chosen = self._codes.view() == codes[0]
        else:
            wanted = np.zeros(len(self._values), np.bool_)
            wanted[codes] = True
            chosen = wanted[self._codes.view()]
        slots: NDArray[np.int32] = self._slots.view()[chosen]
        return slots

    def compacted(self, alive: Mask, renumbered: NDArray[np.int64]) -> _Column | None:
        slots, codes = self._slots.view(), self._codes.view()
        kept = alive[slots]
        used, new_codes = np.unique(codes[kept], return_inverse=True)
        if not len(used):
            return None
        result = _Column()
        for code in used.tolist():
            result.code(self._values[code])
        result._slots.extend(renumbered[slots[kept]])
        result._codes.extend(new_codes)
        return result


class _Ordered:
    """Distinct values of one kind in order, sorted only when asked: most names are never compared by order."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._codes: NDArray[np.int32] = np.empty(0, np.int32)
        self._unsorted: list[tuple[Any, int]] = []

    def add(self, value: float | str, code: int) -> None:
        self._unsorted.append((value, code))

    def within(self, bounds: Range) -> NDArray[np.int32]:
        """Return the codes of the numbers within; Python compares an int with a float exactly."""
        self._sort()
        low, high = 0, len(self._values)
        if bounds.gt is not None:
            low = max(low, bisect_right(self._values, bounds.gt))
        if bounds.gte is not None:
            low = max(low, bisect_left(self._values, bounds.gte))
        if bounds.lt is not None:
            high = min(high, bisect_left(self._values, bounds.lt))
        if bounds.lte is not None:
            high = min(high, bisect_right(self._values, bounds.lte))
        return self._codes[low:high]

    def beginning_with(self, prefix: str) -> NDArray[np.int32]:
        """Return the codes of the strings that begin so: they stand side by side."""
        self._sort()
        size = len(prefix)
        low = bisect_left(self._values, prefix)
        high = bisect_right(self._values, prefix, lo=low, key=lambda value: value[:size])
        return self._codes[low:high]

    def _sort(self) -> None:
        if self._unsorted:
            pairs = [*zip(self._values, self._codes.tolist(), strict=True), *self._unsorted]
            pairs.sort()
            self._values = [value for value, _ in pairs]
            self._codes = np.fromiter((code for _, code in pairs), np.int32, len(pairs))
            self._unsorted = []


def _term(value: FilterableValue) -> object:
    """Give equal values of one kind one dictionary key: Python takes 1 and 1.0 for the same, but True as well."""
    return (value,) if isinstance(value, bool) else value
