"""Headings to sections: the stretches of text that chunks never cross, and the path of headings above each."""

from __future__ import annotations

from typing import Final, NamedTuple

from consumers.extract.extracted import Extracted, Heading

#: Every chunk carries its path: a heading of a megabyte would be stored a thousand times.
_TITLE_LIMIT_CHARACTERS: Final = 200
_PATH_LIMIT: Final = 8


class Section(NamedTuple):
    """A stretch of text, from its heading to the next, and the headings above it without the document's title."""

    start: int
    end: int
    path: tuple[str, ...]


def sections_of(extracted: Extracted, title: str) -> list[Section]:
    """Cut at every heading. A heading without text of its own goes with the section after it."""
    sections: list[Section] = []
    open_headings: list[Heading] = []
    start = 0
    path: tuple[str, ...] = ()
    for heading in extracted.headings:
        if not _is_bare(extracted.text[start : heading.start], open_headings):
            sections.append(Section(start, heading.start, path))
            start = heading.start
        while open_headings and open_headings[-1].level >= heading.level:
            open_headings.pop()
        open_headings.append(heading)
        path = _path(open_headings, title)
    sections.append(Section(start, len(extracted.text), path))
    return sections


def _is_bare(text: str, open_headings: list[Heading]) -> bool:
    """Tell whether a stretch holds nothing but the headings above it."""
    titles = sum(len(heading.title) for heading in open_headings)
    if len(text) > 2 * titles + 4 * len(open_headings) + 64:
        return False
    lines = {" ".join(line.split()) for line in text.split("\n")} - {""}
    return lines <= {heading.title for heading in open_headings}


def _path(open_headings: list[Heading], title: str) -> tuple[str, ...]:
    folded = " ".join(title.split()).casefold()
    titles = [heading.title for heading in open_headings if heading.title.casefold() != folded]
    return tuple(_shortened(title) for title in titles[-_PATH_LIMIT:])


def _shortened(title: str) -> str:
    return title if len(title) <= _TITLE_LIMIT_CHARACTERS else f"{title[: _TITLE_LIMIT_CHARACTERS - 1]}…"
