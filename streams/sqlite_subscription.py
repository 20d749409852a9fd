"""One member of a consumer group on the SQLite log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from schemas.errors import Fatal
from streams.log import Record, TopicPartition
from streams.ownership import Ownership, lost_partitions
from streams.sqlite_database import SqliteDatabase
from streams.sqlite_group import ConsumerGroup
from streams.sqlite_records import Slice, read, starting_offsets
from streams.sqlite_topics import commit

#: A poll ends here even when more records were asked for, so that large values don't fill the memory.
_POLL_BYTES: Final = 16 * 1024 * 1024


class Directory(Protocol):
    """What a subscription needs to know of the log, from memory."""

    def partition_id(self, partition: TopicPartition) -> int | None:
        """Return the partition's row, or None when its topic is gone."""

    def end_offset(self, partition: TopicPartition) -> int:
        """Return the offset the next appended record gets."""


class SqliteSubscription:
    """A Subscription; its promises are the port's."""

    def __init__(
        self, *, topics: Sequence[str], group_name: str, group: ConsumerGroup, database: SqliteDatabase, log: Directory
    ) -> None:
        self._topics = frozenset(topics)
        self._group_name = group_name
        self._group = group
        self._database = database
        self._log = log
        self._ownership = Ownership()
        #: The next offset to read; a partition just gained has none until it is looked up.
        self._positions: dict[TopicPartition, int] = {}
        #: The order in which partitions are read; whoever gave records goes to the end.
        self._turns: deque[TopicPartition] = deque()
        self._changed = asyncio.Event()
        self._paused = False
        self._closed = False

    @property
    def topics(self) -> Collection[str]:
        """Return what it subscribes to."""
        return self._topics

    @property
    def ownership(self) -> Ownership:
        """Return what it owns."""
        return self._ownership

    def gain(self, partition: TopicPartition) -> None:
        """Own a partition; its position is looked up by the next poll."""
        self._ownership.gain([partition])
        self.wake()

    def lose(self, partitions: Collection[TopicPartition]) -> None:
        """Own these no longer; should they come back, their committed offsets count."""
        self._ownership.lose(partitions)
        for partition in partitions:
            self._positions.pop(partition, None)

    def wake(self) -> None:
        """Let a waiting poll look again."""
        self._changed.set()

    async def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records; waits for them without polling the file."""
        if self._closed:
            raise Fatal("poll on a closed subscription: subscribe again")
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._ownership.poll_started()
        self._group.rebalance()
        while not self._closed:
            self._changed.clear()
            records = [] if self._paused else await self._read(max_records)
            if records:
                self._ownership.batch_delivered()
                return records
            if asyncio.get_running_loop().time() >= deadline:
                break
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                break
        return []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit what is still owned, then raise PartitionsLost for what is not."""
        owned = self._ownership.committable(offsets)
        rows = {self._log.partition_id(partition): offset for partition, offset in owned.items()}
        work = {row: offset for row, offset in rows.items() if row is not None}
        await self._database.write(partial(commit, group=self._group_name, offsets=work))
        self._ownership.batch_settled()
        self._group.rebalance()
        if lost := offsets.keys() - owned.keys():
            raise lost_partitions(lost)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions owned now."""
        return self._ownership.owned

    def pause(self) -> None:
        """Make ``poll`` return nothing until ``resume``."""
        self._paused = True

    def resume(self) -> None:
        """End a pause."""
        self._paused = False
        self.wake()

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Continue from these offsets; one beyond the end means the beginning. Raises PartitionsLost."""
        if lost := offsets.keys() - self._ownership.owned:
            raise lost_partitions(lost)
        for partition, offset in offsets.items():
            self._positions[partition] = offset if 0 <= offset <= self._log.end_offset(partition) else 0
        self.wake()

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return the distance to the end of each owned partition."""
        await self._look_up_positions()
        return {
            partition: self._log.end_offset(partition) - self._positions[partition]
            for partition in self._ownership.owned & self._positions.keys()
        }

    async def close(self) -> None:
        """Leave the group at once; a poll under way returns nothing."""
        self._closed = True
        self._group.leave(self)
        self.wake()

    async def _read(self, max_records: int) -> list[Record]:
        await self._look_up_positions()
        slices = self._slices()
        if not slices:
            return []
        found = await self._database.read(partial(read, slices=slices, max_records=max_records, max_bytes=_POLL_BYTES))
        delivered: list[Record] = []
        for part in slices:
            records = found.get(part.partition)
            if records is None or self._positions.get(part.partition) != part.start:
                # Not read this time, or lost or sought elsewhere while the file was read.
                continue
            # Nothing up to the end: compaction left a gap there.
            self._positions[part.partition] = records[-1].offset + 1 if records else part.end
            delivered += records
            self._turns.remove(part.partition)
            self._turns.append(part.partition)
        return delivered

    def _slices(self) -> list[Slice]:
        slices: list[Slice] = []
        for partition in self._turns:
            row, start, end = self._log.partition_id(partition), self._positions[partition], 0
            if row is not None:
                end = self._log.end_offset(partition)
            if row is not None and start < end:
                slices.append(Slice(partition, row, start, end))
        return slices

    async def _look_up_positions(self) -> None:
        owned = self._ownership.owned
        rows = {partition: self._log.partition_id(partition) for partition in owned - self._positions.keys()}
        known = {partition: row for partition, row in rows.items() if row is not None}
        if known:
            starts = await self._database.read(partial(starting_offsets, group=self._group_name, partition_ids=known))
            self._positions |= {
                partition: start for partition, start in starts.items() if partition in self._ownership.owned
            }
        self._turns = deque(partition for partition in self._turns if partition in self._positions)
        self._turns.extend(sorted(self._positions.keys() - set(self._turns)))
