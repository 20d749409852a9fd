"""The SQLite ManifestStore keeps the port's promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.sqlite_manifests import SqliteManifestStore
from tests.contracts.manifest_store import ManifestStoreContract, OpenManifests, create, key


class TestSqliteManifestStore(ManifestStoreContract):
    """The contract on one file; each store has connections of its own, as another process has."""

    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[OpenManifests]:
        opened: list[SqliteManifestStore] = []

        async def open_it() -> SqliteManifestStore:
            opened.append(SqliteManifestStore(tmp_path / "generation" / "manifests.sqlite"))
            return opened[-1]

        yield open_it
        for store in opened:
            await store.close()


async def test_a_token_from_before_a_drop_fits_nothing_afterwards(tmp_path: Path) -> None:
    """A writer that slept through a drop cannot change what was built since."""
    store = SqliteManifestStore(tmp_path / "manifests.sqlite")
    (old,) = await create(store, [key("a")])
    await store.drop()
    (new,) = await create(store, [key("a")])

    assert old != new
    await store.close()


async def test_a_drop_gives_the_disk_space_back(tmp_path: Path) -> None:
    """A dropped generation costs almost nothing."""
    path = tmp_path / "manifests.sqlite"
    store = SqliteManifestStore(path)
    await create(store, [key(f"document-{number}") for number in range(5_000)])

    await store.drop()
    await store.close()

    assert path.stat().st_size < 64 * 1024
