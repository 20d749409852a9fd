"""SQLite files are created on first use, migrated, refused where they are foreign, and named when they are damaged."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from engines.sqlite import SqliteDatabase, SqliteSchema
from engines.sqlite_catalog import SqliteCatalog
from engines.sqlite_manifests import SqliteManifestStore
from engines.sqlite_status import SqliteStatusStore
from schemas.errors import Fatal, Retryable
from tests.contracts.manifest_store import create, key

FIRST = ("CREATE TABLE notes (text TEXT)",)
SECOND = ("ALTER TABLE notes ADD COLUMN author TEXT DEFAULT 'nobody'",)
SCHEMA = SqliteSchema(name="notes", application_id=77, migrations=(FIRST,), remedy="then write them again")


def note(text: str) -> Callable[[sqlite3.Connection], None]:
    """Build the work that adds a note."""

    def add(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    return add


class TestSqliteDatabase:
    """One file with a schema of its own."""

    @pytest.fixture
    async def opened(self) -> AsyncIterator[list[SqliteDatabase]]:
        opened: list[SqliteDatabase] = []
        yield opened
        for database in opened:
            await database.close()

    def database(self, opened: list[SqliteDatabase], path: Path, schema: SqliteSchema = SCHEMA) -> SqliteDatabase:
        opened.append(SqliteDatabase(path, schema))
        return opened[-1]

    async def notes(self, database: SqliteDatabase) -> list[tuple[str, ...]]:
        return await database.read(lambda connection: connection.execute("SELECT * FROM notes").fetchall())

    async def test_constructing_and_closing_touches_nothing(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """Files and folders come with the first call."""
        path = tmp_path / "absent" / "notes.sqlite"
        database = self.database(opened, path)
        await database.close()

        assert not path.parent.exists()
        with pytest.raises(Fatal, match="closed"):
            await self.notes(database)

    async def test_a_failing_write_is_undone(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """A transaction is written whole or not at all, and the next one is not disturbed."""
        database = self.database(opened, tmp_path / "notes.sqlite")

        def fail(connection: sqlite3.Connection) -> None:
            note("lost")(connection)
            raise Retryable("later")

        with pytest.raises(Retryable, match="later"):
            await database.write(fail)
        await database.write(note("kept"))

        assert await self.notes(database) == [("kept",)]

    async def test_writes_are_on_disk_before_they_return(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """The write-ahead log is synchronised with every commit."""
        database = self.database(opened, tmp_path / "notes.sqlite")

        def settings(connection: sqlite3.Connection) -> tuple[str, int]:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
            return mode, synchronous

        assert await database.read(settings) == ("wal", 2)
        assert await database.write(settings) == ("wal", 2)

    async def test_reads_go_on_while_a_write_waits(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """A long transaction neither blocks the loop nor the readers."""
        database = self.database(opened, tmp_path / "notes.sqlite")
        release = threading.Event()

        def slow(connection: sqlite3.Connection) -> None:
            note("slow")(connection)
            assert release.wait(timeout=30)

        writing = asyncio.create_task(database.write(slow))
        assert await self.notes(database) == []
        release.set()
        await writing

        assert await self.notes(database) == [("slow",)]

    async def test_older_files_are_migrated(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """What an older Inver wrote is carried on."""
        path = tmp_path / "notes.sqlite"
        older = self.database(opened, path)
        await older.write(note("old"))
        await older.close()
        newer = SqliteSchema(name="notes", application_id=77, migrations=(FIRST, SECOND), remedy="")

        assert await self.notes(self.database(opened, path, newer)) == [("old", "nobody")]

    async def test_newer_files_are_refused(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """What a newer Inver wrote is left alone."""
        path = tmp_path / "notes.sqlite"
        newer = SqliteSchema(name="notes", application_id=77, migrations=(FIRST, SECOND), remedy="")
        await self.notes(self.database(opened, path, newer))

        with pytest.raises(Fatal, match="version 2 and this Inver reads up to 1"):
            await self.notes(self.database(opened, path))

    async def test_foreign_databases_are_refused(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """A database of another program is not written into."""
        path = tmp_path / "foreign.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
            connection.commit()

        with pytest.raises(Fatal, match="something else"):
            await self.notes(self.database(opened, path))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]

    async def test_a_writer_elsewhere_is_retryable(
        self, opened: list[SqliteDatabase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that another process keeps locked may be free later."""
        monkeypatch.setattr("engines.sqlite.BUSY_TIMEOUT_SECONDS", 0.05)
        path = tmp_path / "notes.sqlite"
        database = self.database(opened, path)
        await self.notes(database)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Retryable, match="locked"):
                await database.write(note("now"))
            other.execute("ROLLBACK")

        await database.write(note("now"))

    async def test_a_full_disk_is_retryable(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """What does not fit now may fit later, and what was there stays."""
        database = self.database(opened, tmp_path / "notes.sqlite")
        await database.write(note("kept"))

        def fill(connection: sqlite3.Connection) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages + 1}")
            note("x" * 1_000_000)(connection)

        with pytest.raises(Retryable, match="full"):
            await database.write(fill)

        assert await self.notes(database) == [("kept",)]

    async def test_a_path_that_cannot_be_created_is_fatal(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """A folder in place of the file, or a file in place of a folder, is named."""
        (tmp_path / "file").touch()

        for path in (tmp_path, tmp_path / "file" / "notes.sqlite"):
            with pytest.raises(Fatal, match=str(path)):
                await self.notes(self.database(opened, path))

    async def test_many_may_open_a_new_file_at_once(self, opened: list[SqliteDatabase], tmp_path: Path) -> None:
        """Whoever comes first creates the file, and nobody fails."""
        databases = [self.database(opened, tmp_path / "notes.sqlite") for _ in range(8)]

        await asyncio.gather(
            *(database.write(note("hello")) for database in databases),
            *(self.notes(database) for database in databases),
        )

        assert len(await self.notes(databases[0])) == 8


@pytest.mark.parametrize("damage", ["header", "pages"])
async def test_damage_is_fatal_and_names_the_remedy(tmp_path: Path, damage: str) -> None:
    """A damaged file stops the work with the sentence that says how to go on."""
    path = tmp_path / "manifests.sqlite"
    store = SqliteManifestStore(path)
    await create(store, [key(f"document-{number}") for number in range(500)])
    await store.close()
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"\x07" * 100
    else:
        content[4_096:] = b"\x07" * (len(content) - 4_096)
    path.write_bytes(content)
    store = SqliteManifestStore(path)

    with pytest.raises(Fatal, match=r"manifests\.sqlite.*rebuild this generation from the log"):
        await store.read([key("document-7")])
    await store.close()


async def test_stores_refuse_each_others_files(tmp_path: Path) -> None:
    """A path that names another store's file is a mistake in the settings, not a place to write into."""
    path = tmp_path / "one.sqlite"
    catalog, manifests, status = SqliteCatalog(path), SqliteManifestStore(path), SqliteStatusStore(path)
    await catalog.ensure()

    with pytest.raises(Fatal, match="not Inver's manifests"):
        await manifests.ensure()
    with pytest.raises(Fatal, match="not Inver's status"):
        await status.counts("papers")
    for store in (catalog, manifests, status):
        await store.close()


async def test_a_stored_manifest_that_cannot_be_read_is_fatal(tmp_path: Path) -> None:
    """A record of a newer Inver stops the work: the event that needs it is not at fault."""
    path = tmp_path / "manifests.sqlite"
    store = SqliteManifestStore(path)
    await create(store, [key("a")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("""UPDATE registers SET body = CAST('{"schema":2,"version":1}' AS BLOB)""")
        connection.commit()

    with pytest.raises(Fatal, match=r"default/a.*schema 2"):
        await store.read([key("a")])
    await store.close()


_ADVANCE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from engines.ports import ManifestChange
from engines.sqlite_manifests import SqliteManifestStore
from schemas.keys import DocumentKey
from schemas.manifest import Manifest

async def main():
    store = SqliteManifestStore(Path(sys.argv[1]))
    tokens = [None] * 20
    for version in range(1, 1_000_000):
        manifest = Manifest(version=version, rows_version=version, row_count=1, content_hash="")
        changes = [
            ManifestChange(document=DocumentKey("default", str(number)), manifest=manifest, expected=token)
            for number, token in enumerate(tokens)
        ]
        tokens = await store.advance(changes)
        print(version, flush=True)

asyncio.run(main())
"""


def kill_after(lines: int, path: Path) -> int:
    """Run the writer, kill it after that many acknowledgements and return how many it gave."""
    command = [sys.executable, "-c", _ADVANCE_UNTIL_KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged == lines:
                process.kill()
    return acknowledged


async def test_acknowledged_manifests_survive_a_kill(tmp_path: Path) -> None:
    """A killed process loses nothing that it acknowledged and leaves no call half-written."""
    path = tmp_path / "manifests.sqlite"
    acknowledged = await asyncio.to_thread(kill_after, 100, path)
    store = SqliteManifestStore(path)

    versions = {manifest.version async for _, manifest in store.scan()}

    assert len(versions) == 1
    assert acknowledged <= versions.pop() <= acknowledged + 1
    await store.close()
