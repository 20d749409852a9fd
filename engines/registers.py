"""Registers: bytes by key, changed by compare-and-set, in which every engine keeps manifests and catalog records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from engines.ports import ManifestChange
from schemas.codec import decode_collection, decode_manifest, encode_collection, encode_manifest
from schemas.errors import DecodeError, Fatal
from schemas.generation import CollectionRecord, StoredCollection
from schemas.keys import DocumentKey
from schemas.manifest import Manifest, StoredManifest

Raw = TypeVar("Raw", str, bytes)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Register:
    """What a key holds, with the token that a change must present; a token is never given out twice for one key."""

    body: bytes
    token: str


@dataclass(frozen=True, slots=True)
class RegisterChange:
    """A body to write, JSON, and the token it was decided from; None where there was none."""

    key: str
    body: bytes
    expected: str | None


class Registers(Protocol):
    """Linearizable registers, one for each key. Raises Retryable and Fatal as every port does."""

    async def ensure(self) -> None:
        """Create what is missing."""

    async def read(self, keys: Sequence[str]) -> dict[str, Register]:
        """Return those that exist, each at least as new as every acknowledged ``write``."""

    async def write(self, changes: Sequence[RegisterChange]) -> list[str | None]:
        """Write each change whose register still carries the expected token, in the order given, and durably so.

        Returns, in order, the new token, or None where the token was another. A call that raises may have written any
        of them; a change that was written then gives None when it is repeated with its old token.
        """

    def scan(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every key once with its body, in the order of keys, while writes go on."""

    async def drop(self) -> None:
        """Delete all registers."""

    async def ping(self) -> None:
        """Return quickly when the engine answers."""

    async def close(self) -> None:
        """Release what this instance opened."""


class RegisterManifestStore:
    """A ManifestStore on registers."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def ensure(self) -> None:
        """Create what is missing."""
        await self._registers.ensure()

    async def read(self, documents: Sequence[DocumentKey]) -> dict[DocumentKey, StoredManifest]:
        """Return the manifests that exist, each at least as new as every acknowledged ``advance``."""
        by_key = {document.encoded(): document for document in documents}
        found = await self._registers.read(list(by_key))
        return {
            by_key[key]: StoredManifest(_decoded(decode_manifest, key, register.body), register.token)
            for key, register in found.items()
        }

    async def advance(self, changes: Sequence[ManifestChange]) -> list[str | None]:
        """Write each manifest whose document still carries the expected token; None where another was first.

        Raises Retryable when some could not be written now; the others may be. Repeating the call is safe: a change
        that was written answers None then, because its token is outdated, and reading again tells that it is there.
        """
        return await self._registers.write(
            [
                RegisterChange(change.document.encoded(), encode_manifest(change.manifest), change.expected)
                for change in changes
            ]
        )

    async def scan(self) -> AsyncIterator[tuple[DocumentKey, Manifest]]:
        """Yield every manifest once, while writes go on."""
        async for key, body in self._registers.scan():
            yield _decoded(DocumentKey.decode, key, key), _decoded(decode_manifest, key, body)

    async def drop(self) -> None:
        """Delete all manifests of this generation."""
        await self._registers.drop()

    async def ping(self) -> None:
        """Return quickly when the store answers."""
        await self._registers.ping()

    async def close(self) -> None:
        """Release connections and files."""
        await self._registers.close()


class RegisterCatalog:
    """A Catalog on registers."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def ensure(self) -> None:
        """Create what is missing."""
        await self._registers.ensure()

    async def read(self, name: str) -> StoredCollection | None:
        """Return the newest acknowledged record, or None."""
        register = (await self._registers.read([name])).get(name)
        if register is None:
            return None
        return StoredCollection(_decoded(decode_collection, name, register.body), register.token)

    async def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted([name async for name, _ in self._registers.scan()])

    async def write(self, record: CollectionRecord, expected: str | None) -> str | None:
        """Write if the record still carries the expected token; None where another writer was first."""
        (token,) = await self._registers.write([RegisterChange(record.name, encode_collection(record), expected)])
        return token

    async def ping(self) -> None:
        """Return quickly when the store answers."""
        await self._registers.ping()

    async def close(self) -> None:
        """Release connections and files."""
        await self._registers.close()


def _decoded(decode: Callable[[Raw], Value], key: str, raw: Raw) -> Value:
    # Not Poison: the fault lies in the store, and the event that made us read it must not go to the dead letters.
    try:
        return decode(raw)
    except DecodeError as error:
        raise Fatal(
            f"the stored record of '{key}' cannot be read: {error}; upgrade Inver if a newer one wrote it, "
            "else restore the store from a backup or rebuild it from the log"
        ) from error
