"""The statements of the vector cache: look up, keep, evict and erase, each on one open connection."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from engines.sqlite import SqliteSchema
from schemas.embedding import Vectors

SCHEMA: Final = SqliteSchema(
    name="cached vectors",
    application_id=0x49_4E_56_56,  # "INVV"
    migrations=(
        (
            "CREATE TABLE models (number INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE)",
            """
            CREATE TABLE vectors (
              id INTEGER PRIMARY KEY, text_hash BLOB NOT NULL, model INTEGER NOT NULL, vector BLOB NOT NULL,
              checksum INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE (text_hash, model)
            )
            """,
            "CREATE INDEX vectors_by_use ON vectors (used)",
            # Counts batches, which is enough to tell what was used long ago.
            "CREATE TABLE clock (tick INTEGER NOT NULL)",
            "INSERT INTO clock VALUES (0)",
        ),
    ),
    remedy="delete it: everything in it can be computed again",
)
#: The part of all vectors that goes at once, so that not every batch has to evict.
_EVICTED_PART: Final = 10


def hash_text(text: str) -> bytes:
    """Return what the cache knows a text by."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def load_vectors(
    connection: sqlite3.Connection, *, fingerprint: str, dimension: int, hashes: Iterable[bytes]
) -> dict[bytes, Vectors]:
    """Return the vectors that are there, by hash; one that its checksum does not vouch for is left out."""
    found = {}
    query = (
        "SELECT vector, checksum FROM vectors"
        " WHERE text_hash = ? AND model = (SELECT number FROM models WHERE fingerprint = ?)"
    )
    for text_hash in hashes:
        row = connection.execute(query, (text_hash, fingerprint)).fetchone()
        if row is not None and len(row[0]) == 4 * dimension and row[1] == _checksum(text_hash, fingerprint, row[0]):
            found[text_hash] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
    return found


def store_vectors(
    connection: sqlite3.Connection,
    *,
    fingerprint: str,
    fresh: Mapping[bytes, Vectors],
    reused: Iterable[bytes],
    limit_bytes: int,
) -> None:
    """Keep fresh vectors, note which others were used, and evict where the file has grown over its limit."""
    connection.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (fingerprint,))
    (model,) = connection.execute("SELECT number FROM models WHERE fingerprint = ?", (fingerprint,)).fetchone()
    (tick,) = connection.execute("UPDATE clock SET tick = tick + 1 RETURNING tick").fetchone()
    rows = []
    for text_hash, vector in fresh.items():
        content = vector.astype("<f4").tobytes()
        rows.append((text_hash, model, content, _checksum(text_hash, fingerprint, content), tick))
    connection.executemany(
        "INSERT OR REPLACE INTO vectors (text_hash, model, vector, checksum, used) VALUES (?, ?, ?, ?, ?)", rows
    )
    used = [(tick, text_hash, model) for text_hash in reused]
    connection.executemany("UPDATE vectors SET used = ? WHERE text_hash = ? AND model = ?", used)
    while _used_bytes(connection) > limit_bytes and _evict_some(connection):
        pass


def forget_vectors(connection: sqlite3.Connection, *, hashes: Sequence[bytes]) -> None:
    """Erase the vectors of these texts, of every model, and overwrite where they stood."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.executemany("DELETE FROM vectors WHERE text_hash = ?", [(text_hash,) for text_hash in hashes])


def empty_write_ahead_log(connection: sqlite3.Connection) -> bool:
    """Fold the log into the file and empty it; tell whether nobody stood in the way."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def _evict_some(connection: sqlite3.Connection) -> bool:
    (kept,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
    oldest = "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)"
    return connection.execute(oldest, (kept // _EVICTED_PART + 1,)).rowcount > 0


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _checksum(text_hash: bytes, fingerprint: str, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(fingerprint.encode(), zlib.crc32(text_hash)))
