"""An embedder that keeps vectors in a file by the hash of their text, so that a replay does not compute them again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import structlog

from engines.cached_vectors import (
    SCHEMA,
    empty_write_ahead_log,
    forget_vectors,
    hash_text,
    load_vectors,
    store_vectors,
)
from engines.ports import Embedder
from engines.sqlite import SqliteDatabase
from schemas.embedding import Vectors
from schemas.errors import Fatal, Retryable

Result = TypeVar("Result")

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_logger = structlog.get_logger(__name__)


class CachingEmbedder:
    """An Embedder that asks another one only for documents it has not seen; queries always go to the other.

    The file is a convenience: where it fails, vectors are computed, and an event says so. Each vector carries a
    checksum over itself, its text's hash and its model; one that does not match is computed again. The file stays
    near ``limit_bytes``: what was unused for longest goes first. Several processes may share it.
    """

    def __init__(self, embedder: Embedder, path: Path, limit_bytes: int) -> None:
        self._embedder = embedder
        self._path = path
        self._limit_bytes = limit_bytes
        self._database = SqliteDatabase(path, SCHEMA)
        self._starting_anew = asyncio.Lock()
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape (texts, dimension), embedding each distinct unknown text once."""
        if not texts:
            return await self._embedder.embed_documents(texts)
        hashes = [hash_text(text) for text in texts]
        load = partial(load_vectors, fingerprint=self.fingerprint, dimension=self.dimension, hashes=set(hashes))
        known = await self._attempt(lambda database: database.read(load)) or {}
        unknown = {key: text for key, text in zip(hashes, texts, strict=True) if key not in known}
        fresh: dict[bytes, Vectors] = {}
        if unknown:
            fresh = dict(zip(unknown, await self._embedder.embed_documents(list(unknown.values())), strict=True))
        store = partial(
            store_vectors, fingerprint=self.fingerprint, fresh=fresh, reused=set(known), limit_bytes=self._limit_bytes
        )
        await self._attempt(lambda database: database.write(store))
        return np.stack([known[key] if key in known else fresh[key] for key in hashes])

    async def embed_query(self, text: str) -> Vectors:
        """Return an array of shape (dimension,). What people ask is not kept."""
        return await self._embedder.embed_query(text)

    async def forget(self, texts: Sequence[str]) -> None:
        """Erase the vectors of these texts, of every model, from the disk. Raises Retryable where that fails."""
        await self.forget_hashes([hash_text(text) for text in texts])

    async def forget_hashes(self, hashes: Sequence[bytes]) -> None:
        """Erase the vectors of the texts with these SHA-256 digests, of every model, from the disk."""
        database = self._database
        try:
            await database.write(partial(forget_vectors, hashes=hashes))
        except Fatal as error:
            if not _is_damage(error.__cause__):
                raise
            await self._start_anew(database, error)
        await asyncio.to_thread(self._set_aside().unlink, missing_ok=True)
        # Until it is emptied, the write-ahead log still holds what was erased.
        if not await self._database.read(empty_write_ahead_log):
            raise Retryable(f"{self._path} is in use, so erased vectors are still in its write-ahead log; try again")

    async def close(self) -> None:
        """Close the file and the other embedder."""
        await self._database.close()
        await self._embedder.close()

    async def _attempt(self, call: Callable[[SqliteDatabase], Awaitable[Result]]) -> Result | None:
        database = self._database
        try:
            return await call(database)
        except Retryable as error:
            _logger.warning("embedding_cache.unavailable", path=str(self._path), error=str(error))
        except Fatal as error:
            if not _is_damage(error.__cause__):
                raise
            await self._start_anew(database, error)
        return None

    async def _start_anew(self, damaged: SqliteDatabase, error: Fatal) -> None:
        async with self._starting_anew:
            if self._database is not damaged:
                return  # Another call has done it.
            _logger.warning(
                "embedding_cache.started_anew", error=str(error), damaged_file_kept_as=str(self._set_aside())
            )
            await damaged.close()
            await asyncio.to_thread(self._move_away)
            self._database = SqliteDatabase(self._path, SCHEMA)

    def _move_away(self) -> None:
        with suppress(FileNotFoundError):  # Another process was first.
            self._path.replace(self._set_aside())
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _set_aside(self) -> Path:
        return self._path.with_name(f"{self._path.name}.damaged")


def _is_damage(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _DAMAGED
