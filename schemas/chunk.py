"""Chunks: the pieces of one document version that are embedded, indexed and shown, and the record that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.keys import DocumentKey
from schemas.metadata import FilterableValue


class Operation(StrEnum):
    """What an event does to its document."""

    UPSERT = "upsert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a document's extracted text; ``extracted[start:end] == text`` holds exactly."""

    ordinal: int
    text: str
    #: Title and headings, which stand in front of the text where it is embedded and where its terms are indexed.
    prefix: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None

    def searchable_text(self) -> str:
        """Return what the embedder and the text index read; what people are shown is ``text`` alone."""
        return f"{self.prefix}\n{self.text}" if self.prefix else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSet:
    """One part of one document version on its way to the index; a delete is one part without chunks.

    Parts of a version follow each other in one partition; the last one (``part == parts - 1``) makes it visible.
    """

    document: DocumentKey
    version: int
    operation: Operation
    #: SHA-256, as hexadecimal, over everything that rows are made of; empty for a delete.
    content_hash: str = ""
    title: str = ""
    metadata: Mapping[str, FilterableValue] = field(default_factory=dict)
    source: str = ""
    part: int = 0
    parts: int = 1
    #: The number of chunks in all parts together.
    row_count: int = 0
    chunks: tuple[Chunk, ...] = ()
    #: When the event was appended to the log, in milliseconds since 1970, as the log recorded it.
    appended_at_ms: int = 0
    #: Seconds each earlier stage spent on this version.
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_last_part(self) -> bool:
        """Tell whether this part completes its version."""
        return self.part == self.parts - 1
