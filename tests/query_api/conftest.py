"""One running API for all tests of the room; a test keeps to tenants or ids of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.query_api.running_api import RunningApi, running_api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApi]:
    """Give the running API; tests that use it run in the session's event loop."""
    async with running_api(tmp_path_factory.mktemp("api")) as running:
        yield running
