"""The SQLite log keeps the port's promises, survives being killed, and gives back the space of what it forgets."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.errors import Fatal, Retryable
from streams.log import OutgoingRecord, TopicPartition, TopicSpec
from streams.partitioner import partition_of
from streams.sqlite_log import SqliteLog
from tests.contracts.event_log import EventLogContract, OpenLog, next_offsets, outgoing, poll_until

_WRITER = """
import asyncio, sys
from pathlib import Path
from streams.log import OutgoingRecord, TopicSpec
from streams.sqlite_log import SqliteLog

async def main(path):
    log = await SqliteLog.open(Path(path))
    await log.create_topics([TopicSpec(name="t", partitions=2)])
    number = 0
    while True:
        batch = [OutgoingRecord(topic="t", key=b"%d" % n, value=b"%d" % n) for n in range(number, number + 10)]
        await log.append(batch)
        number += 10
        print(number, flush=True)

asyncio.run(main(sys.argv[1]))
"""

HOUR_MS = 3_600_000


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


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db")
    yield log
    await log.close()


def now_ms() -> int:
    return int(time.time() * 1000)


async def offsets_of(log: SqliteLog, topic: str, partition: int = 0) -> list[int]:
    """Name what still exists."""
    place = TopicPartition(topic, partition)
    return [record.offset async for record in log.read_range(place, 0, 1_000_000)]


async def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL in the middle of appending: all acknowledged batches are there, whole, and appending goes on."""
    path = tmp_path / "log.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    for _ in range(50):
        await asyncio.wait_for(writer.stdout.readline(), 30.0)
    writer.send_signal(signal.SIGKILL)
    acknowledged = 500 + 10 * len((await writer.stdout.read()).splitlines())
    await writer.wait()

    log = await SqliteLog.open(path)
    try:
        values = [
            int(record.value or b"")
            for partition, end in (await log.end_offsets("t")).items()
            async for record in log.read_range(TopicPartition("t", partition), 0, end)
        ]
        assert sorted(values) == list(range(len(values)))
        assert acknowledged <= len(values) <= acknowledged + 10
        assert len(values) % 10 == 0
        (position,) = await log.append([outgoing("t", "0")])
        assert position.offset == (await log.end_offsets("t"))[position.partition] - 1
    finally:
        await log.close()


async def test_a_newer_file_is_fatal(tmp_path: Path) -> None:
    """An older Inver must not write into it."""
    path = tmp_path / "log.db"
    await (await SqliteLog.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(Fatal, match="schema 99"):
        await SqliteLog.open(path)


async def test_another_programs_file_is_fatal(tmp_path: Path) -> None:
    """Neither another database nor no database at all is touched."""
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(Fatal, match="no Inver log"):
        await SqliteLog.open(other)

    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    with pytest.raises(Fatal, match="NOTADB"):
        await SqliteLog.open(text)
    assert text.read_text().startswith("no database")


async def test_a_closed_log_is_fatal(log: SqliteLog) -> None:
    """Using it after its end is a mistake, not an outage."""
    await log.close()

    with pytest.raises(Fatal, match="closed"):
        await log.ping()


async def test_a_full_disk_is_retryable_and_leaves_no_trace(log: SqliteLog) -> None:
    """The append that did not fit is not there at all; with space again, it goes through."""
    await log.create_topics([TopicSpec(name="t", partitions=1)])
    await log.append([outgoing("t", "a")])
    pages = await log._database.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await log._database.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())
    large = OutgoingRecord(topic="t", key=b"k", value=b"x" * 100_000)

    with pytest.raises(Retryable, match="SQLITE_FULL"):
        await log.append([outgoing("t", "b"), large])

    assert await offsets_of(log, "t") == [0]
    await log._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
    assert [position.offset for position in await log.append([outgoing("t", "b"), large])] == [1, 2]


async def test_one_callers_failure_is_not_its_neighbours(log: SqliteLog) -> None:
    """Work that shares a transaction fails alone."""
    await log.create_topics([TopicSpec(name="t", partitions=1)])

    results = await asyncio.gather(
        log.append([outgoing("t", "a")]),
        log.create_topics([TopicSpec(name="t", partitions=9)]),
        log.append([outgoing("t", "b")]),
        return_exceptions=True,
    )

    assert isinstance(results[1], Fatal)
    assert await offsets_of(log, "t") == [0, 1]


async def test_a_cancelled_append_still_wakes_readers(log: SqliteLog) -> None:
    """The record may be in the log, so a waiting poll has to see it."""
    await log.create_topics([TopicSpec(name="t", partitions=1)])
    subscription = await log.subscribe(["t"], "g")
    polling = asyncio.create_task(subscription.poll(max_records=10, timeout_seconds=30.0))
    appending = asyncio.create_task(log.append([outgoing("t", "a")]))
    await asyncio.sleep(0)
    appending.cancel()

    assert len(await asyncio.wait_for(polling, 10.0)) == 1


async def test_the_event_loop_goes_on_while_much_is_appended(log: SqliteLog) -> None:
    """Disk work happens on other threads."""
    await log.create_topics([TopicSpec(name="t", partitions=4)])
    value = b"x" * 200 * 1024
    appending = asyncio.gather(
        *(log.append([OutgoingRecord(topic="t", key=b"%d" % n, value=value) for n in range(20)]) for _ in range(10))
    )
    turns = 0
    while not appending.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 20


# Cleaning


async def test_expired_records_go_once_every_group_has_committed_them(log: SqliteLog) -> None:
    """A group that has joined and not committed holds everything; nobody else's commits free its records."""
    await log.create_topics([TopicSpec(name="t", partitions=1, retention_ms=HOUR_MS)])
    await log.append([outgoing("t", "k", str(number)) for number in range(10)])
    slow, fast = await log.subscribe(["t"], "slow"), await log.subscribe(["t"], "fast")
    await fast.commit(next_offsets(await poll_until(fast, 10)))
    later = now_ms() + 2 * HOUR_MS

    assert await log.clean(later) == 0
    await slow.commit(next_offsets(await poll_until(slow, 4)))
    assert await log.clean(now_ms()) == 0
    assert await log.clean(later) == 4

    assert await offsets_of(log, "t") == [4, 5, 6, 7, 8, 9]
    assert await log.beginning_offsets("t") == {0: 4}
    assert [record.value for record in await poll_until(slow, 6)] == [b"4", b"5", b"6", b"7", b"8", b"9"]


async def test_records_nobody_reads_go_by_age_alone(log: SqliteLog) -> None:
    """And offsets go on where they were, also in an empty partition and after opening again."""
    await log.create_topics(
        [TopicSpec(name="t", partitions=1, retention_ms=HOUR_MS), TopicSpec(name="k", partitions=1)]
    )
    await log.append([outgoing("t", "k"), outgoing("t", "k"), outgoing("k", "k")])

    assert await log.clean(now_ms() + 2 * HOUR_MS) == 2

    assert await log.beginning_offsets("t") == await log.end_offsets("t") == {0: 2}
    assert await offsets_of(log, "k") == [0]
    (position,) = await log.append([outgoing("t", "k")])
    assert position.offset == 2


async def test_compaction_keeps_the_newest_of_each_key(log: SqliteLog) -> None:
    """Reading skips the gaps, and positions and lag go on behind them."""
    await log.create_topics([TopicSpec(name="t", partitions=1, compacted=True)])
    await log.append([outgoing("t", f"default/{number % 3}", str(number)) for number in range(12)])
    subscription = await log.subscribe(["t"], "g")
    await poll_until(subscription, 2)

    assert await log.clean(now_ms()) == 9
    assert await log.clean(now_ms()) == 0

    assert await offsets_of(log, "t") == [9, 10, 11]
    assert [record.offset for record in await poll_until(subscription, 3)] == [9, 10, 11]
    assert await subscription.lag() == {TopicPartition("t", 0): 0}


async def test_a_tombstone_stays_until_everybody_has_seen_it_and_its_time_is_over(log: SqliteLog) -> None:
    """A group that lags behind must still hear of the deletion."""
    spec = TopicSpec(name="t", partitions=1, compacted=True, delete_retention_ms=HOUR_MS)
    await log.create_topics([spec])
    subscription = await log.subscribe(["t"], "g")
    await log.append([outgoing("t", "k", "value"), outgoing("t", "k", None)])
    later = now_ms() + 2 * HOUR_MS

    await log.clean(later)
    assert await offsets_of(log, "t") == [1]

    await subscription.commit(next_offsets(await poll_until(subscription, 1)))
    await log.clean(now_ms())
    assert await offsets_of(log, "t") == [1]
    await log.clean(later)
    assert await offsets_of(log, "t") == []
    (position,) = await log.append([outgoing("t", "k")])
    assert position.offset == 2


async def test_space_is_used_again(log: SqliteLog, tmp_path: Path) -> None:
    """Consumed and cleaned records make room: the file stops growing."""
    await log.create_topics([TopicSpec(name="t", partitions=2, retention_ms=HOUR_MS)])
    subscription = await log.subscribe(["t"], "g")
    sizes = []
    for _ in range(6):
        records = [OutgoingRecord(topic="t", key=b"%d" % number, value=b"x" * 50_000) for number in range(100)]
        await log.append(records)
        await poll_until(subscription, 100, commit=True)
        assert await log.clean(now_ms() + 2 * HOUR_MS) == 100
        sizes.append(os.path.getsize(tmp_path / "log.db"))  # noqa: PTH202 - a plain number

    assert sizes[-1] <= 2 * 100 * 50_000


async def test_a_deleted_topics_bytes_are_overwritten(log: SqliteLog, tmp_path: Path) -> None:
    """What was erased can't be found in the files any more."""
    await log.create_topics([TopicSpec(name="t", partitions=2)])
    canary = b"canary-4f1d0a"
    await log.append([OutgoingRecord(topic="t", key=b"%d" % n, value=canary * 1000) for n in range(50)])

    await log.delete_topics(["t"])
    await log.close()

    assert all(canary not in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_member_of_a_topic_that_is_created_again_reads_it_from_the_start(log: SqliteLog) -> None:
    """Its old partitions are gone, with a batch in flight or not."""
    await log.create_topics([TopicSpec(name="t", partitions=1)])
    subscription = await log.subscribe(["t"], "g")
    await log.append([outgoing("t", "k", str(number)) for number in range(5)])
    await poll_until(subscription, 5)

    await log.delete_topics(["t"])
    assert subscription.assignment() == frozenset()
    await log.create_topics([TopicSpec(name="t", partitions=1)])
    await log.append([outgoing("t", "k", "again")])

    assert [record.value for record in await poll_until(subscription, 1)] == [b"again"]


async def test_cleaning_happens_by_itself(tmp_path: Path) -> None:
    """At a low rate, without anybody asking."""
    log = await SqliteLog.open(tmp_path / "log.db", clean_interval_seconds=0.05)
    try:
        await log.create_topics([TopicSpec(name="t", partitions=1, compacted=True)])
        await log.append([outgoing("t", "k"), outgoing("t", "k")])
        async with asyncio.timeout(10.0):
            while await offsets_of(log, "t") != [1]:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
    finally:
        await log.close()


async def test_records_of_one_key_share_a_partition_across_topics(log: SqliteLog) -> None:
    """The partition is a function of the key and the count alone."""
    await log.create_topics([TopicSpec(name="a", partitions=6), TopicSpec(name="b", partitions=6)])

    positions = await log.append([outgoing(topic, "default/x") for topic in ("a", "b")])

    assert {position.partition for position in positions} == {partition_of(b"default/x", 6)}
