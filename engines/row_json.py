"""Writes a row as JSON, and reads it back unchanged, for engines that store rows whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.keys import parse_row_key
from schemas.row import Row


def row_to_json(row: Row) -> dict[str, object]:
    """Write everything but the key, which the engine holds itself."""
    return {
        "title": row.title,
        "text": row.text,
        "prefix": row.prefix,
        "start": row.start,
        "end": row.end,
        "heading_path": row.heading_path,
        "page": row.page,
        "metadata": row.metadata,
        "source": row.source,
    }


def row_from_json(key: str, stored: Mapping[str, Any]) -> Row:
    """Read what ``row_to_json`` wrote."""
    parsed = parse_row_key(key)
    return Row(
        document=parsed.document,
        version=parsed.version,
        ordinal=parsed.ordinal,
        title=stored["title"],
        text=stored["text"],
        prefix=stored["prefix"],
        start=stored["start"],
        end=stored["end"],
        heading_path=tuple(stored["heading_path"]),
        page=stored["page"],
        # JSON has no tuples; every list in metadata was one.
        metadata={name: tuple(v) if isinstance(v, list) else v for name, v in stored["metadata"].items()},
        source=stored["source"],
    )
