"""One SQLite file, opened on first use, with one thread that writes and one that reads, so the loop never waits."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from schemas.errors import Fatal, InverError, Retryable

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

#: How long a writer in another process is waited for.
BUSY_TIMEOUT_SECONDS: Final = 5.0
_OPENING_PAUSE_SECONDS: Final = 0.005
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: Busy, read-only, full or failing disks: the port's "the same call may succeed later".
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteSchema:
    """What a file holds, and how older files become newer ones."""

    #: What people call the content, such as ``manifests``.
    name: str
    #: Written into the file's header, so that one store never opens another store's file.
    application_id: int
    #: ``migrations[n]`` takes a file from version n to n + 1; a released one is never edited.
    migrations: tuple[tuple[str, ...], ...]
    #: What to do when the file is damaged, as the end of a sentence.
    remedy: str


class SqliteDatabase:
    """One file. Constructing it does nothing; the first call opens, creates or migrates it."""

    def __init__(self, path: Path, schema: SqliteSchema) -> None:
        self._path = path
        self._schema = schema
        self._opening = threading.Lock()
        self._writer = _Lane(f"{schema.name}-writer", self._connect)
        self._reader = _Lane(f"{schema.name}-reader", self._connect)

    async def write(self, work: Work[Result]) -> Result:
        """Run the work in one transaction: on disk when this returns, undone when the work raises.

        A cancelled call may have been written. Raises Retryable or Fatal.
        """
        return await self._run(self._writer, partial(_in_transaction, work))

    async def read(self, work: Work[Result]) -> Result:
        """Run the work beside any writer. Each of its statements sees every write that has returned."""
        return await self._run(self._reader, work)

    async def close(self) -> None:
        """Close the file; harmless when it is closed or was never opened."""
        await self._reader.close()
        await self._writer.close()

    async def _run(self, lane: _Lane, work: Work[Result]) -> Result:
        if lane.closed:
            raise Fatal(f"{self._path} was closed; a closed store stays closed, make a new one")
        try:
            return await lane.run(work)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise Retryable(f"no space left to create {self._path}; free some") from error
            raise Fatal(f"{self._path} cannot be created: {error}; choose another data directory") from error

    def _connect(self) -> sqlite3.Connection:
        with self._opening:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare_when_free(connection)
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare_when_free(self, connection: sqlite3.Connection) -> None:
        # SQLite's own waiting does not help here: openers that turn a new file into a WAL file wait for each other.
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while True:
            try:
                self._prepare(connection)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_OPENING_PAUSE_SECONDS)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Only a file without tables takes this one; it gives space back when a store is dropped.
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        # The default of WAL files, NORMAL, may lose acknowledged writes when the power fails.
        connection.execute("PRAGMA synchronous = FULL")
        self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        newest = len(self._schema.migrations)
        if self._version(connection) < newest:
            _in_transaction(self._apply_missing, connection)
        version = self._version(connection)
        if version > newest:
            raise Fatal(
                f"{self._path} holds {self._schema.name} of version {version} and this Inver reads up to {newest}; "
                "start the newer Inver that wrote it"
            )

    def _apply_missing(self, connection: sqlite3.Connection) -> None:
        # Asked again inside the transaction, because another process may have migrated the file meanwhile.
        missing = self._schema.migrations[self._version(connection) :]
        if not missing:
            return
        for statements in missing:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {self._schema.application_id}")
        connection.execute(f"PRAGMA user_version = {len(self._schema.migrations)}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != self._schema.application_id and (version or application or tables):
            raise Fatal(
                f"{self._path} is a database of something else, not Inver's {self._schema.name}; name another file"
            )
        return version

    def _translate(self, error: sqlite3.Error) -> InverError:
        extended = getattr(error, "sqlite_errorcode", None)
        code = extended & 0xFF if isinstance(extended, int) else None
        if code in _DAMAGED:
            return Fatal(f"{self._path} is damaged ({error}): stop Inver, {self._schema.remedy}")
        if code in _PASSING:
            return Retryable(f"{self._path} cannot be used now ({error}); is the disk full, read-only or busy?")
        if code == sqlite3.SQLITE_CANTOPEN:
            return Fatal(f"{self._path} cannot be opened ({error}); check that it is a file this user may write")
        return Fatal(f"{self._path} cannot be used: {type(error).__name__}: {error}")


class _Lane:
    """One connection and the only thread that uses it."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self.closed = False

    async def run(self, work: Work[Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    def _run(self, work: Work[Result]) -> Result:
        if self._connection is None:
            self._connection = self._connect()
        return work(self._connection)

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _in_transaction(work: Work[Result], connection: sqlite3.Connection) -> Result:
    # IMMEDIATE: a transaction that reads first and writes later could otherwise fail half-way, without waiting.
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result
