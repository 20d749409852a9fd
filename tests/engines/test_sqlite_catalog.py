"""The SQLite Catalog keeps the port's promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.sqlite_catalog import SqliteCatalog
from tests.contracts.catalog import CatalogContract, OpenCatalog


class TestSqliteCatalog(CatalogContract):
    """The contract on one file; each catalog has connections of its own, as another process has."""

    @pytest.fixture
    async def open_catalog(self, tmp_path: Path) -> AsyncIterator[OpenCatalog]:
        opened: list[SqliteCatalog] = []

        async def open_it() -> SqliteCatalog:
            opened.append(SqliteCatalog(tmp_path / "catalog.sqlite"))
            return opened[-1]

        yield open_it
        for catalog in opened:
            await catalog.close()
