"""The SQLite file behind the embedded log: its schema, one writer thread that groups commits, and its readers."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from schemas.errors import Fatal, InverError, Retryable

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
#: A record's rowid is ``partition_id << OFFSET_BITS | offset``: one B-tree, each partition a run that grows at its end.
OFFSET_BITS: Final = 40

_SCHEMA: Final = f"""
CREATE TABLE topics (
    topic_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    compacted INTEGER NOT NULL,
    retention_ms INTEGER,
    delete_retention_ms INTEGER NOT NULL,
    max_record_bytes INTEGER NOT NULL
);
CREATE TABLE partitions (
    partition_id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic_id INTEGER,
    number INTEGER NOT NULL,
    end_offset INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX partitions_by_topic ON partitions (topic_id, number);
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    key BLOB NOT NULL,
    headers BLOB,
    value BLOB
);
CREATE TABLE commits (
    group_name TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset INTEGER,
    PRIMARY KEY (group_name, partition_id)
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""

#: Conditions that pass: space is freed, another process lets go of the file, the disk answers again.
_PASSING: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_INTERRUPT")
#: Appends beyond this wait for the next transaction, so that one commit's latency stays bounded.
_JOBS_PER_TRANSACTION: Final = 256
_READERS: Final = 2


def translate(error: sqlite3.Error, path: Path) -> InverError:
    """Map SQLite's error to what the caller has to do."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name.startswith(_PASSING):
        return Retryable(f"the log {path} can't be used now: {name} {error}; check free space and the disk")
    return Fatal(f"the log {path} is unusable: {name} {error}; restore it or choose another data directory")


def open_connection(path: Path) -> sqlite3.Connection:
    """Open the file; the caller decides on which thread it is used."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    # An append is acknowledged after its COMMIT, so the write-ahead log must be on the disk by then.
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the schema in an empty file. Raises Fatal for a file of a newer Inver or of something else."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise Fatal(f"the log {path} has schema {version}, newer than {SCHEMA_VERSION}: use the newer Inver")
    if version == SCHEMA_VERSION:
        return
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Fatal(f"{path} is a SQLite file but no Inver log: choose another data directory")
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")


@dataclass(slots=True)
class _Job:
    """One caller's work inside the next transaction."""

    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any] = field(default_factory=Future)


class SqliteDatabase:
    """One writing connection on its own thread, a few reading ones on theirs; the event loop never waits for a disk.

    Work handed in while a commit is under way shares the next transaction and its one fsync; each piece has a
    savepoint, so that its failure undoes nobody else's.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, blocking. Raises Retryable or Fatal."""
        self._path = path
        try:
            self._writer = open_connection(path)
            prepare(self._writer, path)
            # Erased documents must not stay readable in freed pages.
            self._writer.execute("PRAGMA secure_delete = ON")
            connections = [open_connection(path) for _ in range(_READERS)]
        except sqlite3.Error as error:
            raise translate(error, path) from error
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._idle.put(connection)
        self._executor = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-log-reader")
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="sqlite-log-writer", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run the work in the next transaction; the future resolves when that is durable."""
        self._refuse_closed()
        job = _Job(work)
        self._jobs.put(job)
        return asyncio.wrap_future(job.future)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work on a reading connection; it sees every commit made before."""
        self._refuse_closed()
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, work)

    async def close(self) -> None:
        """Finish what was handed in and close the file."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._close)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Fatal(f"the log {self._path} is closed: open it again")

    def _close(self) -> None:
        self._thread.join()
        self._executor.shutdown()
        while not self._idle.empty():
            self._idle.get().close()
        self._writer.close()

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        finally:
            self._idle.put(connection)

    def _serve(self) -> None:
        open_for_work = True
        while open_for_work:
            jobs: list[_Job] = []
            job = self._jobs.get()
            with suppress(queue.Empty):
                while job is not None:
                    if job.future.set_running_or_notify_cancel():
                        jobs.append(job)
                    if len(jobs) == _JOBS_PER_TRANSACTION:
                        break
                    job = self._jobs.get_nowait()
            open_for_work = job is not None
            self._transact(jobs)

    def _transact(self, jobs: list[_Job]) -> None:
        results: list[Any] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            results.extend(self._attempt(job) for job in jobs)
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            failure = translate(error, self._path)
            failure.__cause__ = error
            results = [failure] * len(jobs)
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _attempt(self, job: _Job) -> Any:
        self._writer.execute("SAVEPOINT job")
        try:
            result = job.work(self._writer)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to this caller; the thread must live on
            self._writer.execute("ROLLBACK TO job")
            result = error
        self._writer.execute("RELEASE job")
        return result
