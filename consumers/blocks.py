"""Where text may be cut: between blocks, list items, lines of code and sentences, each with how good a cut it is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from consumers.extract.extracted import Span
from consumers.sentences import sentence_starts

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n\s*")
_LINE: Final = re.compile(r"\n[^\S\n]*(?=\S)")
_ITEM: Final = re.compile(r"\n[^\S\n]*(?=(?:[-*+•‣◦▪–]|\d{1,3}[.)]|[A-Za-z][.)])[^\S\n]+\S)")


class Strength(IntEnum):
    """How good a cut is."""

    SENTENCE = 1
    """Between sentences, or between lines of code or a table."""
    ITEM = 2
    """Between list items, or at a blank line inside code."""
    BLOCK = 3
    """Between paragraphs, lists, tables and code."""


class Boundary(NamedTuple):
    """A place to cut: the offset of the first visible character after it."""

    position: int
    strength: Strength


def boundaries(text: str, start: int, end: int, verbatim: Sequence[Span]) -> list[Boundary]:
    """List the boundaries strictly inside ``text[start:end]``, in order."""
    found: dict[int, Strength] = {}
    place = start
    for span in _inside(verbatim, start, end):
        _add(found, _prose(text, place, span.start))
        _add(found, [Boundary(span.start, Strength.BLOCK)])
        _add(found, _lines(text, span))
        place = span.end
        following = _BLANK_LINE.match(text, place)
        if following is not None:
            _add(found, [Boundary(following.end(), Strength.BLOCK)])
    _add(found, _prose(text, place, end))
    return [Boundary(position, found[position]) for position in sorted(found) if start < position < end]


def _prose(text: str, start: int, end: int) -> Iterator[Boundary]:
    for position in sentence_starts(text, start, end):
        yield Boundary(position, Strength.SENTENCE)
    for match in _ITEM.finditer(text, start, end):
        yield Boundary(match.end(), Strength.ITEM)
    for match in _BLANK_LINE.finditer(text, start, end):
        yield Boundary(match.end(), Strength.BLOCK)


def _lines(text: str, span: Span) -> Iterator[Boundary]:
    for match in _LINE.finditer(text, span.start, span.end):
        yield Boundary(match.end(), Strength.SENTENCE)
    for match in _BLANK_LINE.finditer(text, span.start, span.end):
        yield Boundary(match.end(), Strength.ITEM)


def _add(found: dict[int, Strength], more: Sequence[Boundary] | Iterator[Boundary]) -> None:
    for position, strength in more:
        found[position] = max(strength, found.get(position, strength))


def _inside(spans: Sequence[Span], start: int, end: int) -> Iterator[Span]:
    index = bisect_right(spans, start, key=lambda span: span.end)
    while index < len(spans) and spans[index].start < end:
        yield Span(max(spans[index].start, start), min(spans[index].end, end))
        index += 1
