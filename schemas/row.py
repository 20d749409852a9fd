"""Rows: what both engines store, one for each chunk of one document version, never changed once written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.chunk import Chunk, ChunkSet
from schemas.keys import DocumentKey, row_key
from schemas.metadata import FilterableValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One immutable row. Each engine keeps all of it, so that either can answer alone."""

    document: DocumentKey
    version: int
    ordinal: int
    title: str
    text: str
    prefix: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    metadata: Mapping[str, FilterableValue] = field(default_factory=dict)
    source: str = ""

    @property
    def key(self) -> str:
        """Return ``tenant/id@version#ordinal``."""
        return row_key(self.document, self.version, self.ordinal)

    def searchable_text(self) -> str:
        """Return the text whose terms the text index holds."""
        return f"{self.prefix}\n{self.text}" if self.prefix else self.text


def row_of(chunk: Chunk, chunk_set: ChunkSet) -> Row:
    """Make the row of one chunk."""
    return Row(
        document=chunk_set.document,
        version=chunk_set.version,
        ordinal=chunk.ordinal,
        title=chunk_set.title,
        text=chunk.text,
        prefix=chunk.prefix,
        start=chunk.start,
        end=chunk.end,
        heading_path=chunk.heading_path,
        page=chunk.page,
        metadata=chunk_set.metadata,
        source=chunk_set.source,
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that a leg found, with that leg's own score; higher is better in every engine."""

    key: str
    score: float
