"""The Kafka log keeps the port's promises on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from streams.kafka_log import KafkaLog
from tests.contracts.event_log import EventLogContract, OpenLog

kafka_address = "127.0.0.1:9092"


class TestKafkaLog(EventLogContract):
    """The contract on topics and groups of its own."""

    @pytest.fixture
    async def open_log(self) -> AsyncIterator[OpenLog]:
        opened: list[KafkaLog] = []

        async def open_it() -> KafkaLog:
            log = KafkaLog(
                bootstrap_servers=kafka_address, revocation_deadline_seconds=self.revocation_deadline_seconds
            )
            opened.append(log)
            return log

        yield open_it
        for log in opened:
            await log.close()
