"""The StatusStore in a SQLite file: one row for each document that was heard of."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from engines.ports import Received
from engines.sqlite import SqliteDatabase, SqliteSchema
from engines.status_rules import DocumentFold, fold, state_of, status_of
from schemas.codec import decode_indexed, encode_indexed
from schemas.errors import DecodeError, Fatal
from schemas.indexed import Indexed
from schemas.keys import DocumentKey
from schemas.status import DocumentState, DocumentStatus

_SCHEMA: Final = SqliteSchema(
    name="status",
    application_id=0x49_4E_56_53,  # "INVS"
    migrations=(
        (
            """CREATE TABLE status (
                collection TEXT, document TEXT,
                newest_version INTEGER, newest_appended_at_ms INTEGER, finished_version INTEGER,
                effect BLOB, failure BLOB, unversioned_failure BLOB,
                PRIMARY KEY (collection, document)
            ) WITHOUT ROWID""",
            # Kept up to date with every change, because counting a million rows on demand takes a second.
            """CREATE TABLE counts (
                collection TEXT, state TEXT, documents INTEGER, PRIMARY KEY (collection, state)
            ) WITHOUT ROWID""",
        ),
    ),
    remedy="then move the file away; status is rebuilt by reading the log again",
)
_READ: Final = """
    SELECT document, newest_version, newest_appended_at_ms, finished_version, effect, failure, unversioned_failure
    FROM status WHERE collection = ? AND document IN (SELECT value FROM json_each(?))"""
_WRITE: Final = "REPLACE INTO status VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT: Final = """
    INSERT INTO counts VALUES (?, ?, ?)
    ON CONFLICT (collection, state) DO UPDATE SET documents = documents + excluded.documents"""
_COUNTS: Final = "SELECT state, documents FROM counts WHERE collection = ?"

#: By the encoded document key.
Facts = Mapping[str, Sequence[Received | Indexed]]
Folds = dict[str, DocumentFold]


class SqliteStatusStore:
    """Status of all collections in one file."""

    def __init__(self, path: Path) -> None:
        self._database = SqliteDatabase(path, _SCHEMA)

    async def record(self, collection: str, facts: Sequence[Received | Indexed]) -> None:
        """Fold facts in, in one transaction."""
        if not facts:
            return
        by_document: defaultdict[DocumentKey, list[Received | Indexed]] = defaultdict(list)
        for fact in facts:
            by_document[fact.document].append(fact)
        by_key = {document.encoded(): known for document, known in by_document.items()}
        await self._database.write(partial(_record, collection, by_key))

    async def read(self, collection: str, documents: Sequence[DocumentKey]) -> dict[DocumentKey, DocumentStatus]:
        """Return what is known; documents never heard of are left out."""
        if not documents:
            return {}
        by_key = {document.encoded(): document for document in documents}
        folds = await self._database.read(partial(_read, collection, list(by_key)))
        return {by_key[key]: status_of(by_key[key], state) for key, state in folds.items()}

    async def counts(self, collection: str) -> Mapping[str, int]:
        """Return the number of documents by state, zeros included."""
        rows = await self._database.read(lambda connection: connection.execute(_COUNTS, (collection,)).fetchall())
        zeros = {state.value: 0 for state in DocumentState if state is not DocumentState.UNKNOWN}
        return zeros | dict(rows)

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()


def _record(collection: str, facts: Facts, connection: sqlite3.Connection) -> None:
    known = _read(collection, list(facts), connection)
    rows: list[tuple[object, ...]] = []
    moves: Counter[DocumentState] = Counter()
    for key in sorted(facts):
        before = known.get(key)
        after = fold(before if before is not None else DocumentFold(), facts[key])
        if after == before:
            continue
        rows.append(_row(collection, key, after))
        moves[state_of(after)] += 1
        if before is not None:
            moves[state_of(before)] -= 1
    connection.executemany(_WRITE, rows)
    connection.executemany(_COUNT, [(collection, state.value, change) for state, change in moves.items() if change])


def _read(collection: str, keys: Sequence[str], connection: sqlite3.Connection) -> Folds:
    rows = connection.execute(_READ, (collection, orjson.dumps(keys).decode()))
    return {key: _fold_of(key, columns) for key, *columns in rows}


def _fold_of(key: str, columns: Sequence[Any]) -> DocumentFold:
    newest_version, newest_appended_at_ms, finished_version, *facts = columns
    try:
        effect, failure, unversioned_failure = (None if fact is None else decode_indexed(fact) for fact in facts)
    except DecodeError as error:
        raise Fatal(f"the stored status of '{key}' cannot be read: {error}; stop Inver, {_SCHEMA.remedy}") from error
    return DocumentFold(
        newest=None if newest_version is None else (newest_version, newest_appended_at_ms),
        finished_version=finished_version,
        effect=effect,
        failure=failure,
        unversioned_failure=unversioned_failure,
    )


def _row(collection: str, key: str, state: DocumentFold) -> tuple[object, ...]:
    newest = state.newest if state.newest is not None else (None, None)
    facts = (state.effect, state.failure, state.unversioned_failure)
    return (
        collection,
        key,
        *newest,
        state.finished_version,
        *(None if fact is None else encode_indexed(fact) for fact in facts),
    )
