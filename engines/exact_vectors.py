"""VectorIndex without a server: rows in one SQLite file, which is the truth, and an exact matrix in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final, TypeVar

import numpy as np

from engines import exact_rows
from engines.exact_matrix import ExactMatrix
from engines.sqlite import SqliteDatabase
from engines.vector_checks import check_query, check_rows
from schemas.embedding import Vectors
from schemas.errors import Fatal
from schemas.filters import Filter
from schemas.row import Candidate, Row

Result = TypeVar("Result")

#: One search shares its multiplying among all cores; a second one fills the gaps between.
_THREADS: Final = 2
_SCANNED_AT_ONCE: Final = 1_000


class ExactVectorIndex:
    """One generation in one file. The first call opens it and loads the matrix; one process at a time may have it.

    A write is on disk and in the matrix when it returns, in this order; so ``make_searchable`` has nothing to wait
    for. The matrix takes 4 bytes per dimension and row.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        self._database = SqliteDatabase(path, exact_rows.SCHEMA)
        self._loaded = False
        # Which file was opened, by device and number.
        self._identity: tuple[int, int] | None = None
        # Keeps the file and the matrix in step: they take the same writes in the same order.
        self._writing = asyncio.Lock()
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="exact-vectors")
        self._multipliers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="exact-multiplier")
        self._matrix = ExactMatrix(dimension, self._multipliers)

    async def ensure(self) -> None:
        """Open or create the file and load the matrix. Raises Fatal where the file holds another dimension."""
        if not self._loaded:
            await self._finish(self._load())

    async def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Store rows in one transaction, then show them."""
        check_rows(rows, vectors, self._dimension)
        # Of rows with the same key the last one counts.
        position_of = {row.key: position for position, row in enumerate(rows)}
        chosen = [rows[position] for position in position_of.values()]
        matrix = np.ascontiguousarray(vectors[list(position_of.values())], np.float32)
        metadata = [row.metadata for row in chosen]
        await self._write(
            lambda connection: exact_rows.store(connection, chosen, matrix),
            lambda: self._matrix.upsert(list(position_of), metadata, matrix),
        )

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete in one transaction, then hide."""
        await self._write(
            lambda connection: exact_rows.remove(connection, keys), lambda: self._matrix.delete(list(keys))
        )

    async def make_searchable(self, keys: Sequence[str]) -> None:
        """Return at once: a write that has returned is in the matrix."""

    async def search(
        self, vector: Vectors, *, tenant: str, window: int, condition: Filter | None = None
    ) -> list[Candidate]:
        """Compare with every row of the tenant that meets the condition, off the loop."""
        check_query(vector, self._dimension)
        await self.ensure()
        query = np.ascontiguousarray(vector, np.float32)
        return await self._in_thread(lambda: self._matrix.search(query, tenant, window, condition))

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Ask the file."""
        return await self._read(lambda connection: exact_rows.missing(connection, keys))

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Read from the file."""
        return await self._read(lambda connection: exact_rows.fetch(connection, keys))

    async def scan(self) -> AsyncIterator[str]:
        """Read page after page by key: one that is rewritten meanwhile keeps its place."""
        last = ""
        while page := await self._read(partial(exact_rows.page_of_keys, after=last, limit=_SCANNED_AT_ONCE)):
            for key in page:
                yield key
            last = page[-1]

    async def count(self) -> int:
        """Ask the file."""
        return await self._read(exact_rows.count)

    async def drop(self) -> None:
        """Delete the file; a later call begins a new, empty one."""
        await self._finish(self._drop())

    async def ping(self) -> None:
        """Return when the file can be read."""
        await self._read(lambda connection: connection.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """Finish running writes and release file and threads; a closed index stays closed."""
        async with self._writing:
            await self._database.close()
            self._threads.shutdown(wait=False)
            self._multipliers.shutdown(wait=False)

    async def _read(self, work: Callable[[Connection], Result]) -> Result:
        await self.ensure()
        return await self._database.read(work)

    async def _write(self, store: Callable[[Connection], None], show: Callable[[], None]) -> None:
        await self.ensure()
        await self._finish(self._store_and_show(store, show))

    async def _store_and_show(self, store: Callable[[Connection], None], show: Callable[[], None]) -> None:
        async with self._writing:
            await self._database.write(store)
            await self._in_thread(self._refuse_lost_file)
            await self._in_thread(show)

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        # A caller that is cancelled between file and matrix must not leave them apart.
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        await asyncio.shield(task)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _load(self) -> None:
        async with self._writing:
            if self._loaded:
                return
            dimension = await self._database.write(
                lambda connection: exact_rows.remember_dimension(connection, self._dimension)
            )
            if dimension != self._dimension:
                raise Fatal(
                    f"{self._path} holds vectors of dimension {dimension} and the model gives {self._dimension}: "
                    "build a new generation for another model"
                )
            self._identity = await self._in_thread(self._file_identity)
            self._matrix = await self._database.read(self._read_matrix)
            self._loaded = True

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _refuse_lost_file(self) -> None:
        # SQLite goes on writing into a file that was deleted or moved, and reports success.
        if self._file_identity() != self._identity:
            raise Fatal(
                f"{self._path} was removed or replaced while in use; what was written since is not in it: "
                "stop Inver, put the file back or rebuild the generation from the log"
            )

    def _read_matrix(self, connection: Connection) -> ExactMatrix:
        matrix = ExactMatrix(self._dimension, self._multipliers)
        for loaded in exact_rows.load(connection, self._dimension):
            matrix.upsert(loaded.keys, loaded.metadata, loaded.vectors)
        return matrix

    async def _drop(self) -> None:
        async with self._writing:
            await self._database.close()
            self._matrix = ExactMatrix(self._dimension, self._multipliers)
            self._loaded = False
            await self._in_thread(self._delete_files)
            self._database = SqliteDatabase(self._path, exact_rows.SCHEMA)

    def _delete_files(self) -> None:
        for suffix in ("-wal", "-shm", ""):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
