"""What every EventLog promises, as tests: a class per adapter inherits them and says how to open its log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

import pytest

from schemas.errors import Fatal, Poison
from streams.log import (
    EventLog,
    OutgoingRecord,
    PartitionsLost,
    Position,
    Record,
    Subscription,
    TopicPartition,
    TopicSpec,
)
from streams.partitioner import partition_of

OpenLog = Callable[[], Awaitable[EventLog]]

PARTITIONS = 4
#: Joins on a real broker take a while; nothing here waits that long when it works.
PATIENCE_SECONDS = 60.0
MAX_RECORD_BYTES = 512 * 1024


def outgoing(topic: str, key: str, value: str | None = "value") -> OutgoingRecord:
    """Build a record with text in it."""
    return OutgoingRecord(topic=topic, key=key.encode(), value=None if value is None else value.encode())


def keys_by_partition(partitions: int = PARTITIONS) -> dict[int, str]:
    """Find one key for each partition."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(partition_of(f"default/{number}".encode(), partitions), f"default/{number}")
        number += 1
    return found


def spec(name: str, *, partitions: int = PARTITIONS, compacted: bool = False) -> TopicSpec:
    """Describe a topic small enough to overfill."""
    return TopicSpec(name=name, partitions=partitions, compacted=compacted, max_record_bytes=MAX_RECORD_BYTES)


def next_offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    """Say what to commit when these are done."""
    return {record.topic_partition: record.offset + 1 for record in records}


def places(records: Sequence[Record]) -> list[Position]:
    """Name records by where they are."""
    return [Position(record.topic, record.partition, record.offset) for record in records]


async def poll_until(subscription: Subscription, count: int, *, commit: bool = False) -> list[Record]:
    """Poll until that many records came."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        batch = await subscription.poll(max_records=count - len(records), timeout_seconds=0.5)
        records += batch
        if commit and batch:
            await subscription.commit(next_offsets(batch))
    return records


async def poll_all(subscriptions: Sequence[Subscription], done: Callable[[], bool]) -> list[list[Record]]:
    """Keep every member polling, so that the group can rebalance, until the condition holds."""
    received: list[list[Record]] = [[] for _ in subscriptions]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, [sorted(member.assignment()) for member in subscriptions]
        batches = await asyncio.gather(*(member.poll(max_records=100, timeout_seconds=0.1) for member in subscriptions))
        for records, batch in zip(received, batches, strict=True):
            records.extend(batch)
    return received


def shared_evenly(members: Sequence[Subscription], partitions: int) -> bool:
    """Say whether the members own all partitions, each one once and nearly as many."""
    sizes = [len(member.assignment()) for member in members]
    return sum(sizes) == partitions and max(sizes) - min(sizes) <= 1


class EventLogContract:
    """The port's promises. Adapters provide ``open_log``; every log it opens is on the same storage."""

    #: How long a rebalance waits for a batch in flight in the logs that ``open_log`` opens.
    revocation_deadline_seconds = 3.0

    @pytest.fixture
    def open_log(self) -> OpenLog:
        raise NotImplementedError

    @pytest.fixture
    async def log(self, open_log: OpenLog) -> EventLog:
        return await open_log()

    @pytest.fixture
    async def topic(self, log: EventLog) -> AsyncIterator[str]:
        name = f"contract-{uuid4().hex[:12]}"
        await log.create_topics([spec(name)])
        yield name
        await log.delete_topics([name])

    @pytest.fixture
    def group(self) -> str:
        return f"contract-{uuid4().hex[:12]}"

    # Topics

    async def test_creating_a_topic_twice_keeps_it(self, log: EventLog, topic: str) -> None:
        """Creating is for those that are missing; what exists keeps its records."""
        before = (await log.describe([topic]))[topic]
        await log.append([outgoing(topic, "a")])

        await log.create_topics([spec(topic)])

        assert (await log.describe([topic]))[topic] == before
        assert before.partitions == PARTITIONS
        assert sum((await log.end_offsets(topic)).values()) == 1

    async def test_another_partition_count_is_fatal(self, log: EventLog, topic: str) -> None:
        """A topic keeps its partition count, or keys would change partitions."""
        with pytest.raises(Fatal, match=topic):
            await log.create_topics([spec(topic, partitions=PARTITIONS + 1)])

    async def test_absent_topics_are_not_described(self, log: EventLog, topic: str) -> None:
        """Only those that exist are in the answer."""
        assert set(await log.describe([topic, "contract-absent"])) == {topic}

    async def test_deleting_an_absent_topic_is_no_error(self, log: EventLog) -> None:
        """Deleting twice is as good as once."""
        await log.delete_topics(["contract-absent"])

    async def test_a_topic_created_again_is_another_one(self, log: EventLog, topic: str, group: str) -> None:
        """Its identity differs, and records and committed offsets are gone."""
        before = (await log.describe([topic]))[topic].identity
        position, *_ = await log.append([outgoing(topic, "a")])
        await log.set_committed(group, {TopicPartition(topic, position.partition): 1})

        await log.delete_topics([topic])
        assert await log.describe([topic]) == {}
        await log.create_topics([spec(topic)])

        assert (await log.describe([topic]))[topic].identity != before
        assert set((await log.end_offsets(topic)).values()) == {0}
        assert await log.committed(group, [topic]) == {}

    async def test_an_unknown_topic_is_fatal(self, log: EventLog, group: str) -> None:
        """Nothing creates a topic by accident."""
        with pytest.raises(Fatal, match="contract-absent"):
            await log.append([outgoing("contract-absent", "a")])
        with pytest.raises(Fatal, match="contract-absent"):
            await log.subscribe(["contract-absent"], group)
        with pytest.raises(Fatal, match="contract-absent"):
            await log.end_offsets("contract-absent")

        assert await log.describe(["contract-absent"]) == {}

    # Appending

    async def test_records_come_back_as_they_were(self, log: EventLog, topic: str) -> None:
        """Key, value, tombstone, headers and time survive; the partition is the key's murmur2 one."""
        before_ms = int(time.time() * 1000) - 1000
        sent = [
            OutgoingRecord(
                topic=topic, key=b"a", value=b"\x00\xff", headers=(("x", b"1"), ("x", b""), ("\u00fc", b"\x00"))
            ),
            OutgoingRecord(topic=topic, key=b"a", value=None),
            OutgoingRecord(topic=topic, key=b"a", value=b""),
        ]
        positions = await log.append(sent)

        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))
        assert positions == [Position(topic, partition.partition, offset) for offset in range(3)]
        records = [record async for record in log.read_range(partition, 0, 3)]
        assert places(records) == positions
        assert [(r.key, r.value, r.headers) for r in records] == [(s.key, s.value, s.headers) for s in sent]
        assert all(before_ms <= record.timestamp_ms <= time.time() * 1000 + 1000 for record in records)

    async def test_one_call_appends_to_several_topics_in_order(self, log: EventLog, topic: str) -> None:
        """Positions are in the order of the records given."""
        other = f"{topic}.other"
        await log.create_topics([spec(other)])
        try:
            sent = [outgoing((topic, other)[number % 2], f"default/{number % 7}") for number in range(50)]
            positions = await log.append(sent)
        finally:
            await log.delete_topics([other])

        assert [position.topic for position in positions] == [record.topic for record in sent]
        for partition in {position[:2] for position in positions}:
            offsets = [position.offset for position in positions if position[:2] == partition]
            assert offsets == list(range(len(offsets)))

    async def test_concurrent_appends_lose_and_repeat_nothing(self, log: EventLog, topic: str, group: str) -> None:
        """Every record is there once, and each call's records of a key keep their order."""
        calls = [
            [outgoing(topic, f"default/{number % 3}", f"{call}/{number}") for number in range(20)] for call in range(10)
        ]

        await asyncio.gather(*(log.append(records) for records in calls))

        subscription = await log.subscribe([topic], group)
        records = await poll_until(subscription, 200)
        assert sorted(r.value for r in records if r.value) == sorted(r.value for c in calls for r in c if r.value)
        for call in range(10):
            mine = [r for r in records if (r.value or b"").startswith(b"%d/" % call)]
            for key in {record.key for record in mine}:
                numbers = [int((r.value or b"").split(b"/")[1]) for r in mine if r.key == key]
                assert numbers == sorted(numbers)

    async def test_an_oversized_record_is_poison_and_appends_nothing(self, log: EventLog, topic: str) -> None:
        """The neighbours of an oversized record are not appended either; the largest one allowed is."""
        large = OutgoingRecord(topic=topic, key=b"k", value=b"x" * (MAX_RECORD_BYTES - 1))
        oversized = OutgoingRecord(topic=topic, key=b"k", value=b"x" * MAX_RECORD_BYTES)

        with pytest.raises(Poison, match=topic) as caught:
            await log.append([outgoing(topic, "a"), oversized, outgoing(topic, "b")])

        assert caught.value.reason == "oversized"
        assert set((await log.end_offsets(topic)).values()) == {0}
        await log.append([large])
        assert sum((await log.end_offsets(topic)).values()) == 1

    async def test_appended_records_are_there_after_opening_again(self, open_log: OpenLog, topic: str) -> None:
        """What was acknowledged is durable."""
        first = await open_log()
        positions = await first.append([outgoing(topic, f"default/{number}") for number in range(20)])
        await first.close()

        second = await open_log()
        ends = await second.end_offsets(topic)
        assert sum(ends.values()) == 20
        for partition, end in ends.items():
            records = [record async for record in second.read_range(TopicPartition(topic, partition), 0, end)]
            assert places(records) == [position for position in positions if position.partition == partition]

    # Offsets

    async def test_beginning_and_end_offsets(self, log: EventLog, topic: str) -> None:
        """An empty partition begins at its end; the end is what the next record gets."""
        assert await log.end_offsets(topic) == dict.fromkeys(range(PARTITIONS), 0)

        position, *_ = await log.append([outgoing(topic, "a"), outgoing(topic, "a")])

        assert await log.beginning_offsets(topic) == dict.fromkeys(range(PARTITIONS), 0)
        assert (await log.end_offsets(topic))[position.partition] == 2

    async def test_an_offset_is_found_by_time(self, log: EventLog, topic: str) -> None:
        """The first record at or after the moment; the end when there is none."""
        position, *_ = await log.append([outgoing(topic, "a", "before")])
        partition = TopicPartition(topic, position.partition)
        (first,) = [record async for record in log.read_range(partition, 0, 1)]
        while time.time() * 1000 <= first.timestamp_ms + 1:  # noqa: ASYNC110 - only the clock moves
            await asyncio.sleep(0.001)
        await log.append([outgoing(topic, "a", "after")])
        (second,) = [record async for record in log.read_range(partition, 1, 2)]

        assert await log.offset_at(partition, first.timestamp_ms) == 0
        assert await log.offset_at(partition, first.timestamp_ms + 1) == 1
        assert await log.offset_at(partition, second.timestamp_ms + 60_000) == 2
        empty = TopicPartition(topic, (position.partition + 1) % PARTITIONS)
        assert await log.offset_at(empty, 0) == 0

    async def test_a_range_is_read_without_a_group(self, log: EventLog, topic: str) -> None:
        """From start to before end, and never waiting for what was not appended yet."""
        await log.append([outgoing(topic, "a", str(number)) for number in range(10)])
        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))

        async def offsets(start: int, end: int) -> list[int]:
            return [record.offset async for record in log.read_range(partition, start, end)]

        assert await offsets(3, 6) == [3, 4, 5]
        assert await offsets(8, 1000) == [8, 9]
        assert await offsets(5, 5) == []
        assert await offsets(10, 20) == []

    # Groups

    async def test_a_group_reads_from_the_beginning_in_order(self, log: EventLog, topic: str, group: str) -> None:
        """Without committed offsets everything comes, once, in offset order per partition."""
        positions = await log.append([outgoing(topic, f"default/{number}") for number in range(100)])

        subscription = await log.subscribe([topic], group)
        records = await poll_until(subscription, 100)

        assert sorted(places(records)) == sorted(positions)
        for partition in range(PARTITIONS):
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == sorted(offsets)
        assert subscription.assignment() == {TopicPartition(topic, partition) for partition in range(PARTITIONS)}
        assert await subscription.poll(max_records=10, timeout_seconds=0.05) == []

    async def test_a_poll_returns_no_more_than_asked_for(self, log: EventLog, topic: str, group: str) -> None:
        """The limit holds over all partitions together."""
        await log.append([outgoing(topic, f"default/{number}") for number in range(50)])
        subscription = await log.subscribe([topic], group)

        received: list[Record] = []
        while len(received) < 50:
            batch = await subscription.poll(max_records=7, timeout_seconds=5.0)
            assert 0 < len(batch) <= 7
            received += batch

        assert len(set(places(received))) == 50

    async def test_a_waiting_poll_wakes_up_for_an_append(self, log: EventLog, topic: str, group: str) -> None:
        """Long before the time it would wait at most."""
        subscription = await log.subscribe([topic], group)
        await poll_all([subscription], lambda: len(subscription.assignment()) == PARTITIONS)
        waiting = asyncio.create_task(subscription.poll(max_records=10, timeout_seconds=30.0))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done

        started = time.monotonic()
        await log.append([outgoing(topic, "a")])

        assert len(await waiting) == 1
        assert time.monotonic() - started < 5.0

    async def test_groups_do_not_know_of_each_other(self, log: EventLog, topic: str, group: str) -> None:
        """Each group reads everything and has its own commits."""
        await log.append([outgoing(topic, "a")])
        members = [await log.subscribe([topic], f"{group}-{number}") for number in range(2)]

        batches = [await poll_until(member, 1) for member in members]
        await members[0].commit(next_offsets(batches[0]))

        assert places(batches[0]) == places(batches[1])
        assert await log.committed(f"{group}-0", [topic]) == next_offsets(batches[0])
        assert await log.committed(f"{group}-1", [topic]) == {}

    async def test_a_group_goes_on_where_it_committed(self, open_log: OpenLog, topic: str, group: str) -> None:
        """Committed records do not come again, uncommitted ones do: in another process as in this one."""
        first = await open_log()
        await first.append([outgoing(topic, "a", str(number)) for number in range(10)])
        subscription = await first.subscribe([topic], group)
        batch = await poll_until(subscription, 4)
        await subscription.commit(next_offsets(batch))
        await poll_until(subscription, 3)
        await first.close()

        second = await open_log()
        records = await poll_until(await second.subscribe([topic], group), 6)

        assert [record.value for record in records] == [b"4", b"5", b"6", b"7", b"8", b"9"]

    async def test_uncommitted_records_come_again(self, log: EventLog, topic: str, group: str) -> None:
        """Closing commits nothing."""
        await log.append([outgoing(topic, f"default/{number}") for number in range(20)])
        subscription = await log.subscribe([topic], group)
        before = await poll_until(subscription, 20)
        await subscription.close()

        after = await poll_until(await log.subscribe([topic], group), 20)

        assert sorted(places(after)) == sorted(places(before))

    async def test_commits_are_explicit_offsets(self, log: EventLog, topic: str, group: str) -> None:
        """What was polled but not named is not committed; partitions without a commit are left out."""
        await log.append([outgoing(topic, "a", str(number)) for number in range(5)])
        subscription = await log.subscribe([topic], group)
        await poll_until(subscription, 5)
        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))

        await subscription.commit({partition: 2})

        assert await log.committed(group, [topic]) == {partition: 2}

    async def test_a_subscription_reads_several_topics(self, log: EventLog, topic: str, group: str) -> None:
        """Partition n of topics with equal partition counts has one owner, however many members there are."""
        other = f"{topic}.other"
        await log.create_topics([spec(other)])
        members = [await log.subscribe([topic, other], group) for _ in range(2)]
        try:
            await poll_all(members, lambda: shared_evenly(members, 2 * PARTITIONS))
            for member in members:
                mine = {partition for name, partition in member.assignment() if name == topic}
                theirs = {partition for name, partition in member.assignment() if name == other}
                assert mine == theirs
        finally:
            await asyncio.gather(*(member.close() for member in members))
            await log.delete_topics([other])

    # Pausing, seeking, lag

    async def test_a_paused_subscription_returns_nothing(self, log: EventLog, topic: str, group: str) -> None:
        """Until it is resumed; nothing is lost."""
        subscription = await log.subscribe([topic], group)
        await poll_all([subscription], lambda: len(subscription.assignment()) == PARTITIONS)
        subscription.pause()
        await log.append([outgoing(topic, f"default/{number}") for number in range(10)])
        assert await subscription.poll(max_records=10, timeout_seconds=0.3) == []

        subscription.resume()

        assert len(await poll_until(subscription, 10)) == 10

    async def test_a_pause_survives_a_rebalance(self, log: EventLog, topic: str, group: str) -> None:
        """Partitions gained while paused are paused too."""
        first, second = await log.subscribe([topic], group), await log.subscribe([topic], group)
        await poll_all([first, second], lambda: shared_evenly([first, second], PARTITIONS))
        await log.append([outgoing(topic, f"default/{number}") for number in range(20)])
        first.pause()

        await second.close()
        (received,) = await poll_all([first], lambda: len(first.assignment()) == PARTITIONS)

        assert received == []
        assert await first.poll(max_records=100, timeout_seconds=0.3) == []
        first.resume()
        assert await poll_until(first, 1)

    async def test_seek_moves_reading_and_not_the_commit(self, log: EventLog, topic: str, group: str) -> None:
        """Backwards and forwards; what the group committed stays."""
        await log.append([outgoing(topic, "a", str(number)) for number in range(10)])
        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))
        subscription = await log.subscribe([topic], group)
        await poll_until(subscription, 10)
        await subscription.commit({partition: 10})

        await subscription.seek({partition: 3})
        assert [record.offset for record in await poll_until(subscription, 2)] == [3, 4]
        await subscription.seek({partition: 8})
        assert [record.offset for record in await poll_until(subscription, 2)] == [8, 9]

        assert await log.committed(group, [topic]) == {partition: 10}

    async def test_lag_counts_from_the_next_record_to_the_end(self, log: EventLog, topic: str, group: str) -> None:
        """Per owned partition, and whether committed or not."""
        await log.append([outgoing(topic, "a", str(number)) for number in range(10)])
        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))
        subscription = await log.subscribe([topic], group)
        await poll_until(subscription, 4)

        lag = await subscription.lag()

        assert lag[partition] == 6
        assert {count for other, count in lag.items() if other != partition} == {0}
        assert lag.keys() == subscription.assignment()

    # Sharing and rebalancing

    async def test_members_share_the_partitions(self, log: EventLog, topic: str, group: str) -> None:
        """Every record goes to one member, and to the member that owns its partition."""
        members = [await log.subscribe([topic], group) for _ in range(2)]
        await poll_all(members, lambda: shared_evenly(members, PARTITIONS))
        positions = await log.append([outgoing(topic, f"default/{number}") for number in range(60)])

        received = [await poll_until(m, sum(p[:2] in m.assignment() for p in positions)) for m in members]

        assert sorted(places([*received[0], *received[1]])) == sorted(positions)
        for member, records in zip(members, received, strict=True):
            assert {record.topic_partition for record in records} <= member.assignment()

    async def test_the_partitions_of_a_closed_member_move_at_once(self, log: EventLog, topic: str, group: str) -> None:
        """Nobody waits for the session of a member that left; its uncommitted records come again."""
        stays, leaves = await log.subscribe([topic], group), await log.subscribe([topic], group)
        await poll_all([stays, leaves], lambda: shared_evenly([stays, leaves], PARTITIONS))
        keys = keys_by_partition()
        theirs = next(partition.partition for partition in leaves.assignment())
        await log.append([outgoing(topic, keys[theirs])])
        assert len(await poll_until(leaves, 1)) == 1

        started = time.monotonic()
        await leaves.close()
        (received,) = await poll_all([stays], lambda: len(stays.assignment()) == PARTITIONS)

        assert time.monotonic() - started < 8.0
        received += [] if received else await poll_until(stays, 1)
        assert [record.partition for record in received] == [theirs]

    async def test_a_rebalance_waits_for_the_batch_in_flight(self, log: EventLog, topic: str, group: str) -> None:
        """A batch committed before the deadline is committed, and nobody gets its records again."""
        keys = keys_by_partition()
        await log.append([outgoing(topic, key) for key in keys.values()])
        first = await log.subscribe([topic], group)
        batch = await poll_until(first, PARTITIONS)

        second = await log.subscribe([topic], group)
        joining = asyncio.create_task(second.poll(max_records=10, timeout_seconds=1.0))
        await joining
        assert second.assignment() == frozenset()
        await first.commit(next_offsets(batch))

        received = await poll_all([first, second], lambda: shared_evenly([first, second], PARTITIONS))
        assert received == [[], []]
        assert await log.committed(group, [topic]) == next_offsets(batch)

    async def test_a_late_commit_raises_partitions_lost(self, log: EventLog, topic: str, group: str) -> None:
        """After the deadline the new owner reads the records again, and the old one can't commit them."""
        keys = keys_by_partition()
        await log.append([outgoing(topic, key) for key in keys.values()])
        first = await log.subscribe([topic], group)
        batch = await poll_until(first, PARTITIONS)

        second = await log.subscribe([topic], group)
        (received,) = await poll_all([second], lambda: bool(second.assignment()))
        with pytest.raises(PartitionsLost):
            await first.commit(next_offsets(batch))

        gained = second.assignment()
        assert gained.isdisjoint(first.assignment())
        while len(received) < len(gained):
            received += await second.poll(max_records=10, timeout_seconds=0.5)
        assert {record.topic_partition for record in received} == gained
        assert not gained & (await log.committed(group, [topic])).keys()

    async def test_a_partition_that_went_and_came_back_needs_a_new_poll(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        """An old batch can't rewind what another member committed meanwhile."""
        keys = keys_by_partition()
        await log.append([outgoing(topic, key, str(number)) for key in keys.values() for number in range(3)])
        first = await log.subscribe([topic], group)
        await poll_until(first, PARTITIONS)
        second = await log.subscribe([topic], group)
        await poll_all([second], lambda: bool(second.assignment()))
        moved = dict.fromkeys(second.assignment(), 3)
        await second.poll(max_records=100, timeout_seconds=0.5)
        await second.commit(moved)
        await second.close()

        with pytest.raises(PartitionsLost):
            await first.commit(dict.fromkeys(moved, 1))

        await poll_all([first], lambda: len(first.assignment()) == PARTITIONS)
        assert (await log.committed(group, [topic])).items() >= moved.items()

    # Committed offsets from outside

    async def test_an_idle_group_is_rewound(self, log: EventLog, topic: str, group: str) -> None:
        """Back or forth; a group that never was gets its offsets too."""
        await log.append([outgoing(topic, "a", str(number)) for number in range(10)])
        partition = TopicPartition(topic, partition_of(b"a", PARTITIONS))
        await log.set_committed(group, {partition: 8})
        subscription = await log.subscribe([topic], group)
        batch = await poll_until(subscription, 2)
        await subscription.commit(next_offsets(batch))
        await subscription.close()

        await log.set_committed(group, {partition: 5})

        assert await log.committed(group, [topic]) == {partition: 5}
        records = await poll_until(await log.subscribe([topic], group), 5)
        assert [record.offset for record in records] == [5, 6, 7, 8, 9]

    async def test_a_group_with_members_is_not_rewound(self, log: EventLog, topic: str, group: str) -> None:
        """Its members would not notice, and commit over it."""
        subscription = await log.subscribe([topic], group)
        await poll_all([subscription], lambda: len(subscription.assignment()) == PARTITIONS)

        with pytest.raises(Fatal, match=group):
            await log.set_committed(group, {TopicPartition(topic, 0): 0})

        assert await log.committed(group, [topic]) == {}

    # Living and ending

    async def test_ping_answers(self, log: EventLog) -> None:
        """A healthy log answers."""
        await log.ping()

    async def test_closing_twice_is_no_error(self, open_log: OpenLog) -> None:
        """And ends what is left of its subscriptions."""
        log = await open_log()
        await log.close()
        await log.close()

    async def test_a_closed_subscription_polls_no_more(self, log: EventLog, topic: str, group: str) -> None:
        """A poll under way returns nothing when the subscription is closed; another one is a mistake."""
        subscription = await log.subscribe([topic], group)
        await poll_all([subscription], lambda: len(subscription.assignment()) == PARTITIONS)
        waiting = asyncio.create_task(subscription.poll(max_records=10, timeout_seconds=30.0))
        await asyncio.wait([waiting], timeout=0.1)

        await subscription.close()
        await subscription.close()

        assert await waiting == []
        with pytest.raises(Fatal):
            await subscription.poll(max_records=1, timeout_seconds=0.0)
