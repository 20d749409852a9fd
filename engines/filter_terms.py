"""Writes metadata as exact terms, and conditions as sets of them, so that a text engine needs one keyword field.

One field of terms replaces a field per metadata name: no mapping grows with the names producers invent, and no name
can change its type. A document with ``{"lang": "en", "year": 2020}`` carries, among others, ``e:lang``, ``s:lang:en``
and ``e:year``. Names hold no colon, so a term has one reading.

Numbers become 72-bit integers in the same order: the sortable bits of the nearest double, then how far an integer
lies from it, because dates beyond the year 2255 have no exact double. Each number carries its integer at several
precisions, coarse to fine, so that a range is a set of at most some hundred terms however many values there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from schemas.filters import Range, Scalar
from schemas.metadata import FilterableValue

_SIGN_BIT: Final = 1 << 63
_ALL_BITS: Final = (1 << 64) - 1
_REST_BITS: Final = 8
_NUMBER_LIMIT: Final = 1 << (64 + _REST_BITS)
#: How many low bits each precision leaves out; finer steps where values of like size differ.
_SHIFTS: Final = (0, 8, 14, 20, 26, 32, 38, 44, 50, 56, 60, 64, 68)


class RangeTerms(NamedTuple):
    """A document lies in the range when it has any of the first terms and none of the second."""

    any_of: list[str]
    none_of: list[str]


def terms_of(metadata: Mapping[str, FilterableValue]) -> list[str]:
    """Return every term a document with this metadata carries."""
    return [term for name, value in metadata.items() for term in _terms(name, value)]


def exists_term(name: str) -> str:
    """Return the term of all documents that carry the name."""
    return f"e:{name}"


def equal_terms(name: str, value: Scalar) -> list[str]:
    """Return terms one of which every document has whose value, or list member, is equal."""
    if isinstance(value, bool):
        return [f"b:{name}:{value}"]
    if isinstance(value, str):
        return [single_string_term(name, value), f"l:{name}:{value}"]
    return [_number_term(name, 0, sortable(value))]


def single_string_term(name: str, value: str) -> str:
    """Return the term of a string that is no list member; longer strings' terms begin with it."""
    return f"s:{name}:{value}"


def range_terms(condition: Range) -> RangeTerms:
    """Return the terms that decide whether a document's number lies between the bounds."""
    # Bounds stand on the coarse side of their own value, because sets that begin or end there are far smaller.
    low, without_low = 0, False
    high, with_high = _NUMBER_LIMIT, False
    for bound, strict in ((condition.gte, False), (condition.gt, True)):
        if bound is not None:
            low, without_low = max((low, without_low), (sortable(bound), strict))
    for bound, equal in ((condition.lt, False), (condition.lte, True)):
        if bound is not None:
            high, with_high = min((high, with_high), (sortable(bound), equal))
    any_of = [_number_term(condition.field, shift, prefix) for shift, prefix in _cover(low, high)]
    if with_high and (low, without_low) <= (high, False):
        any_of.append(_number_term(condition.field, 0, high))
    none_of = [_number_term(condition.field, 0, low)] if without_low and any_of else []
    return RangeTerms(any_of, none_of)


def sortable(value: float) -> int:
    """Give a number a non-negative integer below 2**72, equal for equal numbers and otherwise in the same order."""
    double = float(value) + 0.0  # makes -0.0 the 0.0 it equals
    bits = int.from_bytes(struct.pack(">d", double), "big")
    ordered = bits ^ (_ALL_BITS if bits & _SIGN_BIT else _SIGN_BIT)
    rest = value - int(double) if isinstance(value, int) else 0
    return (ordered << _REST_BITS) + rest


def _terms(name: str, value: FilterableValue) -> Iterator[str]:
    if isinstance(value, tuple):
        if value:
            yield exists_term(name)
        yield from dict.fromkeys(f"l:{name}:{member}" for member in value)
        return
    yield exists_term(name)
    if isinstance(value, bool):
        yield f"b:{name}:{value}"
    elif isinstance(value, str):
        yield single_string_term(name, value)
    else:
        number = sortable(value)
        yield from (_number_term(name, shift, number >> shift) for shift in _SHIFTS)


def _number_term(name: str, shift: int, prefix: int) -> str:
    return f"n:{name}:{shift}:{prefix:x}"


def _cover(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield the fewest (shift, prefix) that together hold exactly the integers from ``low`` up to before ``high``."""
    for shift, coarser in zip(_SHIFTS, (*_SHIFTS[1:], None), strict=True):
        if low >= high:
            return
        siblings = 1 << (coarser - shift) if coarser is not None else _NUMBER_LIMIT
        while low < high and low % siblings:
            yield shift, low
            low += 1
        while low < high and high % siblings:
            high -= 1
            yield shift, high
        low //= siblings
        high //= siblings
