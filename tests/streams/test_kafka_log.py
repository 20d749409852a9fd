"""The Kafka log keeps the port's promises on a real broker, and its members' deaths and its errors are told apart."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from inver.servers.cluster import ServerStatus
from schemas.errors import Fatal, Retryable
from streams.kafka_admin import topic_configuration
from streams.kafka_connection import KafkaConnection, KafkaSecurity
from streams.kafka_log import KafkaLog
from streams.log import EventLog, TopicSpec
from tests.contracts.event_log import PARTITIONS, EventLogContract, OpenLog, outgoing, poll_all, poll_until

_MEMBER = """
import asyncio, sys
from streams.kafka_log import KafkaLog

async def main(address, topic, group):
    subscription = await KafkaLog(bootstrap_servers=address).subscribe([topic], group)
    while not await subscription.poll(max_records=10, timeout_seconds=1.0):
        pass
    print("polled", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


class TestKafkaLog(EventLogContract):
    """The contract on topics and groups of its own."""

    @pytest.fixture
    async def open_log(self, kafka_server: ServerStatus) -> AsyncIterator[OpenLog]:
        opened: list[KafkaLog] = []

        async def open_it() -> KafkaLog:
            log = KafkaLog(
                bootstrap_servers=kafka_server.address, revocation_deadline_seconds=self.revocation_deadline_seconds
            )
            opened.append(log)
            return log

        yield open_it
        for log in opened:
            await log.close()

    async def test_a_killed_member_is_missed_within_its_session(
        self, log: EventLog, topic: str, group: str, kafka_server: ServerStatus
    ) -> None:
        """Its uncommitted records come again, to whoever joins after it, long before Kafka's default 45 s."""
        await log.append([outgoing(topic, "a")])
        command = [sys.executable, "-c", _MEMBER, kafka_server.address, topic, group]
        member = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert member.stdout is not None
        assert await asyncio.wait_for(member.stdout.readline(), 60.0) == b"polled\n"
        member.send_signal(signal.SIGKILL)
        await member.wait()

        started = time.monotonic()
        subscription = await log.subscribe([topic], group)
        (record,) = await poll_until(subscription, 1)

        assert record.key == b"a"
        assert time.monotonic() - started < 25.0

    async def test_what_a_timed_out_poll_had_under_way_comes_with_the_next(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        """A fetch is never cancelled, so nothing it brings is lost or repeated."""
        subscription = await log.subscribe([topic], group)
        await poll_all([subscription], lambda: len(subscription.assignment()) == PARTITIONS)
        records = []
        for number in range(20):
            records += await subscription.poll(max_records=5, timeout_seconds=0.0)
            await log.append([outgoing(topic, f"default/{number}")])

        records += await poll_until(subscription, 20 - len(records))

        assert sorted(int((record.key or b"").split(b"/")[1]) for record in records) == list(range(20))


def _unused_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_an_absent_broker_is_retryable() -> None:
    """It may come back; nothing hangs and nothing is left open."""
    log = KafkaLog(bootstrap_servers=f"127.0.0.1:{_unused_port()}")
    try:
        for call in (log.ping(), log.append([outgoing("t", "a")]), log.subscribe(["t"], "g"), log.end_offsets("t")):
            with pytest.raises(Retryable, match=r"127\.0\.0\.1|sign of life"):
                await call
    finally:
        await log.close()


async def test_a_closed_log_is_fatal(kafka_server: ServerStatus) -> None:
    """Using it after its end is a mistake, not an outage."""
    log = KafkaLog(bootstrap_servers=kafka_server.address)
    await log.ping()
    await log.close()

    with pytest.raises(Fatal, match="closed"):
        await log.ping()


async def test_a_server_without_the_asked_for_security_does_not_hang(kafka_server: ServerStatus) -> None:
    """A plaintext listener does not speak SASL; the caller hears of it."""
    security = KafkaSecurity(tls=False, sasl_mechanism="PLAIN", username="u", password="p")  # noqa: S106
    log = KafkaLog(bootstrap_servers=kafka_server.address, security=security)
    try:
        with pytest.raises((Fatal, Retryable), match=r"127\.0\.0\.1"):
            await log.describe([f"contract-{uuid4().hex}"])
    finally:
        await log.close()


def test_security_becomes_client_options(tmp_path: Path) -> None:
    """TLS by default, SASL on top where a mechanism is named, and the password never in a text."""
    plain = KafkaConnection(bootstrap_servers="a:1").client_options()
    assert plain == {"bootstrap_servers": "a:1", "client_id": "inver"}

    security = KafkaSecurity(sasl_mechanism="SCRAM-SHA-512", username="u", password="secret")  # noqa: S106
    options = KafkaConnection(bootstrap_servers="a:1", security=security).client_options()
    assert options["security_protocol"] == "SASL_SSL"
    assert options["ssl_context"].check_hostname
    assert options["sasl_plain_password"] == "secret"  # noqa: S105
    assert "secret" not in repr(security)

    with pytest.raises(Fatal, match="TLS files"):
        KafkaSecurity(authority_file=tmp_path / "absent.pem").options()


def test_a_topics_settings_are_kafkas() -> None:
    """Compaction, retention or both; for ever is said, since Kafka's default is a week."""
    for_ever = topic_configuration(TopicSpec(name="t", partitions=1))
    assert (for_ever["cleanup.policy"], for_ever["retention.ms"]) == ("delete", "-1")
    compacted = topic_configuration(TopicSpec(name="t", partitions=1, compacted=True))
    assert (compacted["cleanup.policy"], compacted["retention.ms"]) == ("compact", "-1")
    both = topic_configuration(TopicSpec(name="t", partitions=1, compacted=True, retention_ms=5))
    assert (both["cleanup.policy"], both["retention.ms"]) == ("compact,delete", "5")
    assert int(for_ever["max.message.bytes"]) > TopicSpec(name="t", partitions=1).max_record_bytes
