"""The EventLog of the embedded profile: one SQLite file, owned by one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from schemas.errors import Fatal, Retryable
from streams import sqlite_cleaning, sqlite_records, sqlite_topics
from streams.log import OutgoingRecord, Position, Record, Subscription, TopicDescription, TopicPartition, TopicSpec
from streams.partitioner import partition_of
from streams.record_size import refuse_oversized
from streams.sqlite_database import SqliteDatabase
from streams.sqlite_group import ConsumerGroup
from streams.sqlite_records import Placed, Slice
from streams.sqlite_subscription import SqliteSubscription
from streams.sqlite_topics import Topic

_PAGE_RECORDS: Final = 500
_PAGE_BYTES: Final = 8 * 1024 * 1024

_logger = structlog.get_logger(__name__)


class SqliteLog:
    """An EventLog; its promises are the port's. Open it with ``SqliteLog.open``.

    An append is in the file and on the disk when it returns. All groups and members live in this process, so a
    second process must not open the file: whoever opens the data directory locks it.
    """

    def __init__(
        self,
        *,
        database: SqliteDatabase,
        topics: dict[str, Topic],
        ends: dict[TopicPartition, int],
        revocation_deadline_seconds: float,
    ) -> None:
        self._database = database
        self._topics = topics
        self._ends = ends
        self._revocation_deadline_seconds = revocation_deadline_seconds
        self._groups: dict[str, ConsumerGroup] = {}
        self._cleaner: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: Path, *, revocation_deadline_seconds: float = 60.0, clean_interval_seconds: float = 300.0
    ) -> SqliteLog:
        """Open or create the file. Raises Fatal when it is a newer Inver's or no log at all."""
        database = await asyncio.to_thread(SqliteDatabase, path)
        topics = await database.read(sqlite_topics.load_topics)
        ends = await database.read(sqlite_topics.load_end_offsets)
        log = cls(database=database, topics=topics, ends=ends, revocation_deadline_seconds=revocation_deadline_seconds)
        log._cleaner = asyncio.create_task(log._clean_regularly(clean_interval_seconds))
        return log

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create those that are missing."""
        self._topics = await self._database.write(partial(sqlite_topics.create_topics, specs=topics))
        self._rebalance_all()

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics at once, and then their records piece by piece, between appends."""
        self._topics = await self._database.write(partial(sqlite_topics.drop_topics, names=names))
        for partition in [partition for partition in self._ends if partition.topic not in self._topics]:
            del self._ends[partition]
        self._rebalance_all()
        await self._remove_dropped()

    async def describe(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        """Return those that exist, by name."""
        found = {name: self._topics[name] for name in names if name in self._topics}
        return {
            name: TopicDescription(name=name, partitions=len(topic.partition_ids), identity=topic.identity)
            for name, topic in found.items()
        }

    async def append(self, records: Sequence[OutgoingRecord]) -> list[Position]:
        """Append in one transaction, shared with whatever else is appended at the moment."""
        topics = {record.topic: self._topic(record.topic) for record in records}
        refuse_oversized(records, {name: topic.max_record_bytes for name, topic in topics.items()})
        placed = [_place(record, topics[record.topic]) for record in records]
        written = self._database.write(partial(sqlite_records.append, records=placed))
        # A callback, because readers must wake up also when this caller is cancelled meanwhile.
        written.add_done_callback(self._appended)
        return await asyncio.shield(written)

    async def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        """Join a group; the partitions are owned when this returns, but for those another member has to let go of."""
        rows = [row for topic in topics for row in self._topic(topic).partition_ids]
        await self._database.write(partial(sqlite_topics.register_group, group=group, partition_ids=rows))
        members = self._groups.setdefault(
            group,
            ConsumerGroup(partition_count=self._partition_count, deadline_seconds=self._revocation_deadline_seconds),
        )
        subscription = SqliteSubscription(
            topics=topics, group_name=group, group=members, database=self._database, log=self
        )
        members.join(subscription)
        return subscription

    async def read_range(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Record]:
        """Yield page by page; records appended after the call are yielded too if they are in range."""
        while start < end:
            part = Slice(partition, self._row(partition), start, end)
            page = await self._database.read(
                partial(sqlite_records.read, slices=[part], max_records=_PAGE_RECORDS, max_bytes=_PAGE_BYTES)
            )
            for record in page[partition]:
                yield record
            if not page[partition]:
                return
            start = page[partition][-1].offset + 1

    async def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Return each partition's first offset that can be read."""
        rows = self._topic(topic).partition_ids
        return {
            number: await self._database.read(partial(sqlite_records.first_offset, partition_id=row))
            for number, row in enumerate(rows)
        }

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Return, for each partition, the offset the next appended record gets."""
        return {
            number: self.end_offset(TopicPartition(topic, number))
            for number in range(len(self._topic(topic).partition_ids))
        }

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first offset appended at or after the moment; the end offset when there is none."""
        row = self._row(partition)
        return await self._database.read(partial(sqlite_records.first_offset, partition_id=row, since_ms=timestamp_ms))

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed."""
        return await self._database.read(partial(sqlite_topics.committed, group=group, topics=topics))

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Rewind or advance a group that has no members."""
        if group in self._groups and self._groups[group].members:
            raise Fatal(
                f"group '{group}' has {len(self._groups[group].members)} members: stop its stage, then set its offsets"
            )
        rows = {self._row(partition): offset for partition, offset in offsets.items()}
        await self._database.write(partial(sqlite_topics.commit, group=group, offsets=rows))

    async def ping(self) -> None:
        """Pass through the writer, so that a full or broken disk shows."""
        await self._database.write(_nothing)

    async def close(self) -> None:
        """End every membership, finish what was handed in and close the file."""
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.gather(self._cleaner, return_exceptions=True)
        for group in self._groups.values():
            for member in group.members:
                await member.close()
        await self._database.close()

    async def clean(self, now_ms: int) -> int:
        """Remove what nobody needs and return how many records that were.

        - Expired: older than the topic's retention and committed by every group that ever read the topic.
        - Superseded: all but the newest of each key in a compacted topic; a tombstone goes after the topic's
          ``delete_retention_ms``, and not before every group has committed it.
        """
        await self._remove_dropped()
        removed = 0
        for topic in list(self._topics.values()):
            for find in (sqlite_cleaning.expired, sqlite_cleaning.superseded):
                positions = await self._database.read(partial(find, topic=topic, now_ms=now_ms))
                for start in range(0, len(positions), sqlite_cleaning.BATCH):
                    batch = positions[start : start + sqlite_cleaning.BATCH]
                    await self._database.write(partial(sqlite_cleaning.remove, positions=batch))
                removed += len(positions)
        return removed

    def partition_id(self, partition: TopicPartition) -> int | None:
        """Return the partition's row, or None when its topic is gone."""
        topic = self._topics.get(partition.topic)
        if topic is None or partition.partition >= len(topic.partition_ids):
            return None
        return topic.partition_ids[partition.partition]

    def end_offset(self, partition: TopicPartition) -> int:
        """Return the offset the next appended record gets."""
        return self._ends.get(partition, 0)

    def _topic(self, name: str) -> Topic:
        if name not in self._topics:
            raise Fatal(f"topic '{name}' does not exist: create it first, with `inver topics apply`")
        return self._topics[name]

    def _row(self, partition: TopicPartition) -> int:
        rows = self._topic(partition.topic).partition_ids
        if not 0 <= partition.partition < len(rows):
            raise Fatal(f"topic '{partition.topic}' has {len(rows)} partitions, there is no {partition.partition}")
        return rows[partition.partition]

    def _partition_count(self, topic: str) -> int:
        return len(self._topics[topic].partition_ids) if topic in self._topics else 0

    def _rebalance_all(self) -> None:
        for group in self._groups.values():
            group.rebalance()

    def _appended(self, written: asyncio.Future[list[Position]]) -> None:
        if written.cancelled() or written.exception() is not None:
            return
        touched: set[TopicPartition] = set()
        for topic, number, offset in written.result():
            partition = TopicPartition(topic, number)
            self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)
            touched.add(partition)
        for group in self._groups.values():
            group.wake(touched)

    async def _remove_dropped(self) -> None:
        while await self._database.write(sqlite_cleaning.remove_dropped):
            pass

    async def _clean_regularly(self, interval_seconds: float) -> None:
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.clean(time.time_ns() // 1_000_000)
            except Retryable as error:
                # Nothing is lost but space until the next round.
                _logger.warning("sqlite_log.clean_failed", error=str(error))


def _place(record: OutgoingRecord, topic: Topic) -> Placed:
    number = partition_of(record.key, len(topic.partition_ids))
    return Placed(record, TopicPartition(record.topic, number), topic.partition_ids[number])


def _nothing(connection: object) -> None:
    """Take part in a transaction."""
