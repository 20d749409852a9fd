"""The one loop on a real log: what is read is finished, set aside with its bytes, or read again, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import decode_dead_letter
from schemas.dead_letter import DeadLetter
from schemas.errors import Fatal, Poison, Retryable
from streams.dead_letters import DeadLetterLimit
from streams.log import OutgoingRecord, Record, TopicPartition, TopicSpec
from streams.sqlite_log import SqliteLog
from streams.worker import Outputs, Worker, WorkerSettings
from tests.streams.watched_log import Watch, WatchedLog

SOURCE, TARGET, FACTS, LETTERS = "source", "target", "facts", "letters"
GROUP = "group"
PLACE = TopicPartition(SOURCE, 0)


@dataclass
class Observed:
    """Writes down what a worker tells."""

    done: list[int] = field(default_factory=list)
    set_aside_offsets: list[int] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    losses: int = 0

    def batch_done(self, stage: str, *, records: int, outputs: int, seconds: float) -> None:
        self.done.append(records)

    def set_aside(self, stage: str, record: Record, poison: Poison) -> None:
        self.set_aside_offsets.append(record.offset)

    def retrying(self, stage: str, error: Retryable, *, attempt: int, wait_seconds: float) -> None:
        self.retries.append(str(error))

    def partitions_lost(self, stage: str) -> None:
        self.losses += 1


class Echo:
    """A stage that sends every record on, and fails as the record's value says."""

    name = "echo"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def process(self, batch: Sequence[Record]) -> Outputs:
        self.batches.append([record.offset for record in batch])
        for record in batch:
            self._fail(record)
        bad = [record for record in batch if record.value == b"bad alone"]
        good = [record for record in batch if record.value != b"bad alone"]
        return Outputs(
            records=[OutgoingRecord(topic=TARGET, key=record.key or b"", value=record.value) for record in good],
            set_aside=[(record, Poison("bad", "this one is bad")) for record in bad],
        )

    def _fail(self, record: Record) -> None:
        match record.value:
            case b"bad":
                raise Poison("bad", "one of these is bad")
            case b"defect":
                raise ZeroDivisionError("somebody divided")
            case b"fatal":
                raise Fatal("nothing goes any more")

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        return OutgoingRecord(topic=FACTS, key=record.key or b"", value=dead_letter_id.encode())


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """A log with a topic to read, of one partition, and what stages write."""
    log = await SqliteLog.open(tmp_path / "log.sqlite", revocation_deadline_seconds=0.05)
    await log.create_topics([TopicSpec(name=name, partitions=1) for name in (SOURCE, FACTS, LETTERS)])
    await log.create_topics([TopicSpec(name=TARGET, partitions=1, max_record_bytes=1_000)])
    yield log
    await log.close()


async def send(log: SqliteLog, *values: bytes | None, topic: str = SOURCE) -> None:
    """Append records, each under its own key."""
    await log.append([OutgoingRecord(topic=topic, key=f"k{n}".encode(), value=v) for n, v in enumerate(values)])


async def values(log: SqliteLog, topic: str) -> list[bytes | None]:
    """Read a topic's values."""
    ends = await log.end_offsets(topic)
    return [
        record.value
        for partition, end in ends.items()
        async for record in log.read_range(TopicPartition(topic, partition), 0, end)
    ]


async def letters(log: SqliteLog) -> list[DeadLetter]:
    """Read the dead letters."""
    return [decode_dead_letter(value or b"") for value in await values(log, LETTERS)]


async def committed(log: SqliteLog) -> int | None:
    """The next offset of the group."""
    return (await log.committed(GROUP, [SOURCE])).get(PLACE)


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20
    while True:
        answer = condition()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.005)


def worker_of(log: Any, stage: Any, observed: Observed | None = None, **settings: Any) -> Worker:
    """Make a worker."""
    chosen: dict[str, Any] = {"max_records": 100, "poll_seconds": 0.05, **settings}
    return Worker(
        log=log,
        stage=stage,
        settings=WorkerSettings(topics=(SOURCE,), group=GROUP, dead_letters_topic=LETTERS, **chosen),
        observer=observed if observed is not None else Observed(),
        now_ms=lambda: 7,
    )


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker, and stop it in the end."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
        worker.stop()
        await asyncio.wait_for(task, 10)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def drained(log: SqliteLog) -> None:
    """Wait until the group has committed everything."""

    async def all_committed() -> bool:
        return await committed(log) == (await log.end_offsets(SOURCE))[0]

    await until(all_committed, "everything to be committed")


async def test_outputs_are_appended_before_offsets_are_committed(log: SqliteLog):
    """The order of calls is poll, append, commit, and the commit names the offset after the batch."""
    watch, observed = Watch(), Observed()
    await send(log, b"one", b"two", b"three")

    async with running(worker_of(WatchedLog(log, watch), Echo(), observed)):
        await drained(log)

    assert await values(log, TARGET) == [b"one", b"two", b"three"]
    assert [call for call in watch.calls if call != "poll"] == ["subscribe", "append", "commit"]
    assert observed.done == [3]
    assert await committed(log) == 3


async def test_a_batch_that_fails_whole_is_halved_in_order_until_the_bad_record_is_found(log: SqliteLog):
    """Only the bad ones are set aside, with bytes and reason; the others arrive in their order, each once."""
    await send(log, b"a", b"b", b"bad", b"c", b"d", b"bad", b"e")
    stage, observed = Echo(), Observed()

    async with running(worker_of(log, stage, observed)):
        await drained(log)

    assert await values(log, TARGET) == [b"a", b"b", b"c", b"d", b"e"]
    found = await letters(log)
    assert [(letter.offset, letter.value, letter.key, letter.reason) for letter in found] == [
        (2, b"bad", b"k2", "bad"),
        (5, b"bad", b"k5", "bad"),
    ]
    assert {(letter.stage, letter.detail, letter.set_aside_at_ms) for letter in found} == {
        ("echo", "one of these is bad", 7)
    }
    assert await values(log, FACTS) == [b"source/0/2", b"source/0/5"]
    assert observed.set_aside_offsets == [2, 5]
    firsts = [batch[0] for batch in stage.batches if len(batch) == 1]
    assert firsts == sorted(firsts)


async def test_a_stage_sets_single_records_aside_without_failing(log: SqliteLog):
    """What a stage names is set aside without the batch being done again."""
    await send(log, b"a", b"bad alone", b"b")
    stage = Echo()

    async with running(worker_of(log, stage)):
        await drained(log)

    assert stage.batches == [[0, 1, 2]]
    assert [letter.value for letter in await letters(log)] == [b"bad alone"]
    assert await values(log, TARGET) == [b"a", b"b"]


async def test_a_defect_becomes_a_dead_letter_and_spares_the_neighbours(log: SqliteLog):
    """An exception nobody foresaw is told with its type, its text and where it happened."""
    await send(log, b"a", b"defect", b"b")

    async with running(worker_of(log, Echo())):
        await drained(log)

    [letter] = await letters(log)
    assert (letter.reason, letter.value) == ("internal_error", b"defect")
    assert letter.detail.startswith("ZeroDivisionError: somebody divided")
    assert "_fail" in letter.detail
    assert await values(log, TARGET) == [b"a", b"b"]


async def test_a_busy_engine_gets_the_same_batch_again_while_polling_goes_on(log: SqliteLog):
    """The batch waits, the membership does not; nothing else is read or committed before it is done."""
    watch, observed = Watch(), Observed()
    before_success: list[str] = []

    class Busy(Echo):
        async def process(self, batch: Sequence[Record]) -> Outputs:
            if len(self.batches) < 2:
                self.batches.append([record.offset for record in batch])
                raise Retryable("the engine is busy", retry_after_seconds=0.15)
            before_success[:] = before_success or watch.calls
            return await super().process(batch)

    await send(log, b"one", b"two")
    stage = Busy()
    async with running(worker_of(WatchedLog(log, watch), stage, observed, max_records=2)):
        await until(lambda: observed.retries, "the first retry")
        await send(log, b"three")
        await drained(log)

    assert stage.batches == [[0, 1], [0, 1], [0, 1], [2]]
    assert observed.retries == ["the engine is busy"] * 2
    assert before_success.count("poll") >= 5
    assert "commit" not in before_success
    assert await values(log, TARGET) == [b"one", b"two", b"three"]


async def test_something_fatal_stops_without_a_commit(log: SqliteLog):
    """The sentence comes out; the next start reads the same records."""
    await send(log, b"one", b"fatal")

    with pytest.raises(Fatal, match="nothing goes any more"):
        await worker_of(log, Echo()).run()

    assert await committed(log) is None
    assert await values(log, TARGET) == []


async def test_outputs_that_cannot_be_appended_are_not_committed(log: SqliteLog):
    """A topic that is not there is fatal, and the batch comes again."""
    await send(log, b"one")
    await log.delete_topics([TARGET])

    with pytest.raises(Fatal, match="'target' does not exist"):
        await worker_of(log, Echo()).run()

    assert await committed(log) is None


async def test_too_many_dead_letters_stop_the_stage(log: SqliteLog):
    """Above the ratio it stops with where to look; what was set aside is in the dead letters, and committed."""
    await send(log, *[b"good", b"bad alone", b"bad alone"] * 4)
    limit = DeadLetterLimit(ratio=0.5, window_records=10, minimum=4)

    with pytest.raises(Fatal, match=r"'echo' set aside more than 50% .* look at 'letters'"):
        await worker_of(log, Echo(), max_records=3, dead_letter_limit=limit).run()

    assert len(await letters(log)) == 4
    assert await committed(log) == 6


async def test_stopping_during_a_retry_commits_nothing(log: SqliteLog):
    """A worker that waits for an engine ends at once, and the next one reads the batch again."""

    class Down(Echo):
        async def process(self, batch: Sequence[Record]) -> Outputs:
            raise Retryable("the engine is down", retry_after_seconds=60.0)

    observed = Observed()
    await send(log, b"one")
    async with running(worker_of(log, Down(), observed)):
        await until(lambda: observed.retries, "the retry")
        started = time.monotonic()

    assert time.monotonic() - started < 5
    assert await committed(log) is None
    async with running(worker_of(log, Echo())):
        await drained(log)
    assert await values(log, TARGET) == [b"one"]


@pytest.mark.parametrize("call", ["subscribe", "poll", "append", "commit"])
async def test_a_log_that_does_not_answer_is_asked_again(log: SqliteLog, call: str):
    """Whichever call fails, before it took effect, everything is done and committed in the end."""
    watch, observed = Watch(), Observed()
    watch.fail_before[call] = 2
    await send(log, b"one", b"two")

    async with running(worker_of(WatchedLog(log, watch), Echo(), observed)):
        await drained(log)

    # A poll may also fail while the wait for the last one is under way.
    assert set(observed.retries) == {f"{call} got no answer"}
    assert watch.fail_before[call] == 0
    assert await values(log, TARGET) == [b"one", b"two"]


@pytest.mark.parametrize("call", ["append", "commit"])
async def test_a_lost_answer_costs_a_repetition_and_loses_nothing(log: SqliteLog, call: str):
    """What took effect although it failed is done again."""
    watch, observed = Watch(), Observed()
    watch.fail_after[call] = 1
    await send(log, b"one")

    async with running(worker_of(WatchedLog(log, watch), Echo(), observed)):
        await until(lambda: observed.done, "the batch to be done")

    assert set(await values(log, TARGET)) == {b"one"}
    assert watch.calls.count(call) == 2


async def test_a_record_whose_output_is_too_large_for_the_log_is_set_aside_alone(log: SqliteLog):
    """The log refuses the append as a whole; the record at fault is found, its neighbours arrive once."""
    await send(log, b"a", b"x" * 2_000, b"b", b"bad alone")

    observed = Observed()
    async with running(worker_of(log, Echo(), observed)):
        await drained(log)

    assert await values(log, TARGET) == [b"a", b"b"]
    assert [(letter.offset, letter.reason) for letter in await letters(log)] == [(1, "oversized"), (3, "bad")]
    assert observed.set_aside_offsets == [1, 3]


async def test_a_dead_letter_that_does_not_fit_stops_the_stage_rather_than_lose_the_bytes(log: SqliteLog):
    """Nothing is committed, and the sentence says what to change."""
    await log.delete_topics([LETTERS])
    await log.create_topics([TopicSpec(name=LETTERS, partitions=1, max_record_bytes=1_000)])
    await send(log, b"x" * 2_000)

    with pytest.raises(Fatal, match=r"record 0 of source/0 .* let 'letters' take larger records"):
        await worker_of(log, Echo()).run()

    assert await committed(log) is None


async def test_a_defect_in_telling_of_a_failure_does_not_keep_the_record_from_being_set_aside(log: SqliteLog):
    """The dead letter counts; the fact for others is left out."""

    class Mute(Echo):
        def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
            raise ZeroDivisionError("somebody divided")

    await send(log, b"bad", b"good")
    async with running(worker_of(log, Mute())):
        await drained(log)

    assert [letter.value for letter in await letters(log)] == [b"bad"]
    assert await values(log, FACTS) == []


class Gated(Echo):
    """A stage whose first batch waits for a sign."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = asyncio.Event(), asyncio.Event()

    async def process(self, batch: Sequence[Record]) -> Outputs:
        self.entered.set()
        await self.released.wait()
        return await super().process(batch)


async def two_partitions(tmp_path: Path) -> SqliteLog:
    """A log whose source has two partitions, with records in both."""
    log = await SqliteLog.open(tmp_path / "two.sqlite", revocation_deadline_seconds=0.05)
    await log.create_topics([TopicSpec(name=name, partitions=1) for name in (TARGET, FACTS, LETTERS)])
    await log.create_topics([TopicSpec(name=SOURCE, partitions=2)])
    await send(log, *[f"v{n}".encode() for n in range(10)])
    return log


async def test_a_member_robbed_of_a_partition_commits_nothing_of_it_and_reads_the_rest_again(tmp_path: Path):
    """After the deadline the other member gets the partition and reads it from its start; the rest is repeated."""
    log = await two_partitions(tmp_path)
    stage, observed = Gated(), Observed()
    async with running(worker_of(log, stage, observed)):
        await stage.entered.wait()
        other = await log.subscribe([SOURCE], GROUP)
        await until(other.assignment, "the other member to get a partition")
        [taken] = other.assignment()
        stage.released.set()
        await until(lambda: observed.losses, "the loss to be noticed")
        [kept] = {TopicPartition(SOURCE, 0), TopicPartition(SOURCE, 1)} - {taken}

        async def rest_is_committed() -> bool:
            ends = await log.end_offsets(SOURCE)
            return (await log.committed(GROUP, [SOURCE])).get(kept) == ends[kept.partition]

        await until(rest_is_committed, "what is left to be committed")
        assert taken not in await log.committed(GROUP, [SOURCE])
        again = await other.poll(max_records=100, timeout_seconds=5)
        assert [record.offset for record in again] == list(range((await log.end_offsets(SOURCE))[taken.partition]))
        assert {record.topic_partition for record in again} == {taken}
        await other.close()
    assert set(await values(log, TARGET)) == {f"v{n}".encode() for n in range(10)}
    await log.close()


async def test_partitions_move_while_a_batch_waits_for_an_engine(tmp_path: Path):
    """A waiting member lets go at once; of what it keeps it finishes everything, and nothing is lost."""
    log = await two_partitions(tmp_path)
    observed = Observed()
    up = asyncio.Event()

    class Down(Echo):
        async def process(self, batch: Sequence[Record]) -> Outputs:
            if not up.is_set():
                raise Retryable("the engine is down")
            return await super().process(batch)

    async with running(worker_of(log, Down(), observed)), running(worker_of(log, Echo())):

        async def half_is_committed() -> bool:
            return len(await log.committed(GROUP, [SOURCE])) == 1

        await until(lambda: observed.retries, "the first retry")
        await until(half_is_committed, "the second member to do its half")
        up.set()

        async def all_is_committed() -> bool:
            ends = await log.end_offsets(SOURCE)
            found = await log.committed(GROUP, [SOURCE])
            return all(found.get(TopicPartition(SOURCE, number)) == end for number, end in ends.items())

        await until(all_is_committed, "the first member to do the other half")
    assert sorted(await values(log, TARGET)) == [f"v{n}".encode() for n in range(10)]
    assert len(observed.retries) < 20
    await log.close()


async def test_a_batch_that_was_given_up_is_read_again_although_the_log_does_not_answer_at_first(tmp_path: Path):
    """Going back must not be skipped: the records would be lost until the next restart."""
    log = await two_partitions(tmp_path)
    watch, stage, observed = Watch(), Gated(), Observed()
    watch.fail_before["seek"] = 2
    async with running(worker_of(WatchedLog(log, watch), stage, observed)):
        await stage.entered.wait()
        other = await log.subscribe([SOURCE], GROUP)
        await until(other.assignment, "the other member to get a partition")
        stage.released.set()
        await until(lambda: observed.losses, "the loss to be noticed")
        await other.close()

        async def all_is_committed() -> bool:
            ends = await log.end_offsets(SOURCE)
            found = await log.committed(GROUP, [SOURCE])
            return all(found.get(TopicPartition(SOURCE, number)) == end for number, end in ends.items())

        await until(all_is_committed, "everything to be committed")
    assert set(await values(log, TARGET)) == {f"v{n}".encode() for n in range(10)}
    await log.close()
