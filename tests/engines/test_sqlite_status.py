"""The SQLite StatusStore keeps the port's promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.sqlite_status import SqliteStatusStore
from tests.contracts.status_store import OpenStatus, StatusStoreContract


class TestSqliteStatusStore(StatusStoreContract):
    """The contract on one file; each store has connections of its own, as another process has."""

    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[OpenStatus]:
        opened: list[SqliteStatusStore] = []

        async def open_it() -> SqliteStatusStore:
            opened.append(SqliteStatusStore(tmp_path / "status.sqlite"))
            return opened[-1]

        yield open_it
        for store in opened:
            await store.close()
