"""What extraction yields: the text people are shown, and what the document said about its own structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.metadata import MetadataValue


class Heading(NamedTuple):
    """A heading and the offset at which its title stands in the text; level 1 is the outermost."""

    start: int
    level: int
    title: str


class Span(NamedTuple):
    """A part of the text, from ``start`` to before ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """One document's text. Headings, pages and spans are in the order of the text."""

    text: str
    title: str = ""
    headings: tuple[Heading, ...] = ()
    #: The offset at which each page starts, for kinds that have pages.
    pages: tuple[int, ...] | None = None
    #: Code and tables, whose lines are units of their own and hold no sentences.
    verbatim: tuple[Span, ...] = ()
    #: What the document says of itself, such as front matter.
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractLimits:
    """How much of a document is read before it is refused."""

    max_text_bytes: int = 32 * 1024 * 1024
    max_pages: int = 5_000
