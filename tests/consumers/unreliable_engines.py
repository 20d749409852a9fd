"""Engines in memory that keep the ports' contracts and no more: every call waits its turn and may fail half way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random

from engines.ports import ManifestChange
from schemas.embedding import Vectors
from schemas.errors import Poison, Retryable
from schemas.keys import DocumentKey
from schemas.manifest import Manifest, StoredManifest
from schemas.row import Row

#: A text index refuses rows with this word in them, as a real one refuses a term that is too long.
REFUSED_WORD = "unindexable"


class Fate(Enum):
    """What becomes of one call."""

    DONE = auto()
    LOST = auto()
    """It fails and nothing was done."""
    PARTLY = auto()
    """It fails and some of it was done."""
    ANSWER_LOST = auto()
    """It fails and all of it was done."""


@dataclass(slots=True)
class Turns:
    """Calls stand here until the schedule lets them go on, one at a time, each with its fate."""

    random: Random
    waiting: list[tuple[str, asyncio.Future[Fate]]] = field(default_factory=list)

    async def wait(self, caller: str) -> Fate:
        """Wait to be chosen."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append((caller, turn))
        return await turn

    def let_one_go(self, fault_rate: float) -> None:
        """Choose a call, and what becomes of it."""
        self.waiting = [(caller, turn) for caller, turn in self.waiting if not turn.done()]
        if self.waiting:
            _, turn = self.waiting.pop(self.random.randrange(len(self.waiting)))
            faulty = self.random.random() < fault_rate
            turn.set_result(self.random.choice([Fate.LOST, Fate.PARTLY, Fate.ANSWER_LOST]) if faulty else Fate.DONE)


@dataclass(frozen=True, slots=True)
class _Line:
    """One caller's connection to a server."""

    turns: Turns
    caller: str

    async def call(self, parts: Sequence[Callable[[], None]]) -> None:
        """Do all parts at one moment, or some of them, or none."""
        fate = await self.turns.wait(self.caller)
        done = {
            Fate.DONE: len(parts),
            Fate.ANSWER_LOST: len(parts),
            Fate.PARTLY: self.turns.random.randint(0, len(parts)),
            Fate.LOST: 0,
        }[fate]
        for part in parts[:done]:
            part()
        if fate is not Fate.DONE:
            raise Retryable(f"{fate.name}: the server does not answer")


class RowServer:
    """What an engine holds: rows that are stored, and the rows that searches see, which is an older picture of them."""

    def __init__(self) -> None:
        self.stored: dict[str, Row] = {}
        self.searchable: dict[str, Row] = {}

    def refresh(self) -> None:
        """Show everything, as engines do by themselves now and then."""
        self.searchable = dict(self.stored)

    def show(self, key: str) -> None:
        """Show one key as it is stored."""
        if key in self.stored:
            self.searchable[key] = self.stored[key]
        else:
            self.searchable.pop(key, None)


class _UnreliableRows:
    def __init__(self, server: RowServer, turns: Turns, caller: str) -> None:
        self._server = server
        self._line = _Line(turns, caller)

    async def make_searchable(self, keys: Sequence[str]) -> None:
        await self._line.call([lambda key=key: self._server.show(key) for key in keys])

    async def delete(self, keys: Sequence[str]) -> None:
        await self._line.call([lambda key=key: self._server.stored.pop(key, None) for key in keys])

    async def missing(self, keys: Sequence[str]) -> set[str]:
        absent: set[str] = set()
        await self._line.call([lambda: absent.update(set(keys) - self._server.stored.keys())])
        return absent

    async def _store(self, rows: Sequence[Row]) -> None:
        await self._line.call([lambda row=row: self._server.stored.__setitem__(row.key, row) for row in rows])


class UnreliableVectors(_UnreliableRows):
    """One process's connection to the vector engine."""

    async def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        assert vectors.shape[0] == len(rows)
        await self._store(rows)


class UnreliableTexts(_UnreliableRows):
    """One process's connection to the text engine."""

    async def upsert(self, rows: Sequence[Row]) -> None:
        await self._store([row for row in rows if REFUSED_WORD not in row.text])
        for row in rows:
            if REFUSED_WORD in row.text:
                raise Poison("unindexable", f"row {row.key} holds a word that cannot be indexed")


class ManifestServer:
    """Registers with tokens that are never given out twice."""

    def __init__(self) -> None:
        self.stored: dict[DocumentKey, StoredManifest] = {}
        self._tokens = itertools.count(1)

    def advance(self, change: ManifestChange) -> str | None:
        """Compare and set."""
        present = self.stored.get(change.document)
        if (None if present is None else present.token) != change.expected:
            return None
        token = str(next(self._tokens))
        self.stored[change.document] = StoredManifest(change.manifest, token)
        return token

    def manifest(self, document: DocumentKey) -> Manifest | None:
        """Return what is true."""
        return self.stored[document].manifest if document in self.stored else None


class UnreliableManifests:
    """One process's connection to the manifests."""

    def __init__(self, server: ManifestServer, turns: Turns, caller: str) -> None:
        self._server = server
        self._line = _Line(turns, caller)

    async def read(self, documents: Sequence[DocumentKey]) -> dict[DocumentKey, StoredManifest]:
        found: dict[DocumentKey, StoredManifest] = {}
        stored = self._server.stored
        await self._line.call([lambda: found.update({key: stored[key] for key in documents if key in stored})])
        return found

    async def advance(self, changes: Sequence[ManifestChange]) -> list[str | None]:
        tokens: list[str | None] = []
        await self._line.call([lambda change=change: tokens.append(self._server.advance(change)) for change in changes])
        return tokens
