"""The SQLite log keeps the port's promises, survives being killed, and gives back the space of what it forgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.sqlite_log import SqliteLog
from tests.contracts.event_log import EventLogContract, OpenLog


class TestSqliteLog(EventLogContract):
    """The contract on one file per test."""

    @pytest.fixture
    async def open_log(self, tmp_path: Path) -> AsyncIterator[OpenLog]:
        opened: list[SqliteLog] = []

        async def open_it() -> SqliteLog:
            log = await SqliteLog.open(
                tmp_path / "log.db", revocation_deadline_seconds=self.revocation_deadline_seconds
            )
            opened.append(log)
            return log

        yield open_it
        for log in opened:
            await log.close()
