"""How the embedded vector engine lays its rows out in SQLite, and the statements that read and write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from engines.sqlite import SqliteSchema
from schemas.embedding import Vectors
from schemas.keys import parse_row_key
from schemas.metadata import FilterableValue
from schemas.row import Row

#: What is needed to search stands first, so that loading never reads the pages on which long texts overflow.
SCHEMA: Final = SqliteSchema(
    name="vectors",
    application_id=0x496E7645,
    migrations=(
        (
            "CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
            (
                "CREATE TABLE vector_row (key TEXT NOT NULL UNIQUE, metadata BLOB NOT NULL, vector BLOB NOT NULL,"
                " title TEXT NOT NULL, prefix TEXT NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL,"
                ' "end" INTEGER NOT NULL, heading_path BLOB NOT NULL, page INTEGER, source TEXT NOT NULL)'
            ),
        ),
    ),
    remedy="delete the file and rebuild the generation from the log",
)
_LOADED_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Some rows as the matrix needs them, in step."""

    keys: list[str]
    metadata: list[Mapping[str, FilterableValue]]
    vectors: Vectors


def remember_dimension(connection: Connection, dimension: int) -> int:
    """Return the dimension the file was made for; a new file is made for this one."""
    connection.execute("INSERT INTO setting VALUES ('dimension', ?) ON CONFLICT DO NOTHING", (dimension,))
    return int(connection.execute("SELECT value FROM setting WHERE name = 'dimension'").fetchone()[0])


def store(connection: Connection, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
    """Write rows, over those of the same keys."""
    little_endian = vectors.astype("<f4", copy=False)
    connection.executemany(
        "INSERT INTO vector_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " metadata = excluded.metadata, vector = excluded.vector, title = excluded.title, prefix = excluded.prefix,"
        ' text = excluded.text, start = excluded.start, "end" = excluded."end", heading_path = excluded.heading_path,'
        " page = excluded.page, source = excluded.source",
        (_stored(row, vector.tobytes()) for row, vector in zip(rows, little_endian, strict=True)),
    )


def _stored(row: Row, vector: bytes) -> tuple[object, ...]:
    return (
        row.key,
        orjson.dumps(row.metadata),
        vector,
        row.title,
        row.prefix,
        row.text,
        row.start,
        row.end,
        orjson.dumps(row.heading_path),
        row.page,
        row.source,
    )


def remove(connection: Connection, keys: Sequence[str]) -> None:
    """Delete keys; absent ones are no error."""
    connection.execute("DELETE FROM vector_row WHERE key IN (SELECT value FROM json_each(?))", (orjson.dumps(keys),))


def missing(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that are not stored."""
    found = connection.execute(
        "SELECT key FROM vector_row WHERE key IN (SELECT value FROM json_each(?))", (orjson.dumps(keys),)
    )
    return set(keys).difference(key for (key,) in found)


def fetch(connection: Connection, keys: Sequence[str]) -> dict[str, Row]:
    """Return the rows that are there."""
    found = connection.execute(
        'SELECT key, metadata, title, prefix, text, start, "end", heading_path, page, source'
        " FROM vector_row WHERE key IN (SELECT value FROM json_each(?))",
        (orjson.dumps(keys),),
    )
    return {record[0]: _row(record) for record in found}


def _row(record: tuple[Any, ...]) -> Row:
    key, metadata, title, prefix, text, start, end, heading_path, page, source = record
    parsed = parse_row_key(key)
    return Row(
        document=parsed.document,
        version=parsed.version,
        ordinal=parsed.ordinal,
        title=title,
        text=text,
        prefix=prefix,
        start=start,
        end=end,
        heading_path=tuple(orjson.loads(heading_path)),
        page=page,
        metadata=_metadata(metadata),
        source=source,
    )


def _metadata(stored: bytes) -> dict[str, FilterableValue]:
    # JSON has no tuples; every list in metadata was one.
    return {name: tuple(value) if isinstance(value, list) else value for name, value in orjson.loads(stored).items()}


def page_of_keys(connection: Connection, after: str, limit: int) -> list[str]:
    """Return the next keys in their order."""
    found = connection.execute("SELECT key FROM vector_row WHERE key > ? ORDER BY key LIMIT ?", (after, limit))
    return [key for (key,) in found]


def count(connection: Connection) -> int:
    """Return the number of rows."""
    return int(connection.execute("SELECT count(*) FROM vector_row").fetchone()[0])


def load(connection: Connection, dimension: int) -> Iterator[Loaded]:
    """Read everything that searching needs."""
    found = connection.execute("SELECT key, metadata, vector FROM vector_row ORDER BY rowid")
    while records := found.fetchmany(_LOADED_AT_ONCE):
        keys, metadata, vectors = zip(*records, strict=True)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(len(keys), dimension)
        yield Loaded(keys=list(keys), metadata=[_metadata(m) for m in metadata], vectors=matrix.astype(np.float32))
