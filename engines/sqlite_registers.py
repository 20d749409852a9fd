"""Registers in a SQLite file: a conditional INSERT or UPDATE each, one transaction for a whole call."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from engines.registers import Register, RegisterChange
from engines.sqlite import SqliteDatabase, SqliteSchema

PAGE_SIZE: Final = 1_000
REGISTERS_V1: Final = ("CREATE TABLE registers (key TEXT PRIMARY KEY, token TEXT, body BLOB) WITHOUT ROWID",)
_READ: Final = "SELECT key, token, body FROM registers WHERE key IN (SELECT value FROM json_each(?))"
_CREATE: Final = "INSERT INTO registers (key, token, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_UPDATE: Final = "UPDATE registers SET token = ?, body = ? WHERE key = ? AND token = ?"
_PAGE: Final = "SELECT key, body FROM registers WHERE key > ? ORDER BY key LIMIT ?"


class SqliteRegisters:
    """Registers in one file of their own."""

    def __init__(self, path: Path, schema: SqliteSchema) -> None:
        self._database = SqliteDatabase(path, schema)

    async def ensure(self) -> None:
        """Create the file with its table."""
        await self._database.write(lambda _: None)

    async def read(self, keys: Sequence[str]) -> dict[str, Register]:
        """Return those that exist."""
        if not keys:
            return {}
        wanted = orjson.dumps(list(keys)).decode()
        rows = await self._database.read(lambda connection: connection.execute(_READ, (wanted,)).fetchall())
        return {key: Register(body, token) for key, token, body in rows}

    async def write(self, changes: Sequence[RegisterChange]) -> list[str | None]:
        """Write each change whose register still carries the expected token."""
        if not changes:
            return []
        return await self._database.write(partial(_write, changes))

    async def scan(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every key once; registers never vanish singly, so a page can go on where the last one ended."""
        last = ""
        while page := await self._database.read(partial(_page, last)):
            for key, body in page:
                yield key, body
            last = page[-1][0]

    async def drop(self) -> None:
        """Delete all registers; the file stays, almost empty, so that no other process writes into a deleted one."""
        await self._database.write(lambda connection: connection.execute("DELETE FROM registers"))

    async def ping(self) -> None:
        """Return when the file can be read."""
        await self._database.read(lambda connection: connection.execute("SELECT 1 FROM registers LIMIT 1").fetchone())

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()


def _write(changes: Sequence[RegisterChange], connection: sqlite3.Connection) -> list[str | None]:
    return [_write_one(change, connection) for change in changes]


def _write_one(change: RegisterChange, connection: sqlite3.Connection) -> str | None:
    # Random rather than counted: a register that was dropped and made again must not repeat a token.
    token = secrets.token_hex(8)
    if change.expected is None:
        cursor = connection.execute(_CREATE, (change.key, token, change.body))
    else:
        cursor = connection.execute(_UPDATE, (token, change.body, change.key, change.expected))
    return token if cursor.rowcount == 1 else None


def _page(after: str, connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    return connection.execute(_PAGE, (after, PAGE_SIZE)).fetchall()
