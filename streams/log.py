"""The EventLog port: ordered, durable, partitioned topics, as every stage and tool sees them.

Errors are Retryable (broker unreachable, time-out), Poison (a record the log refuses, such as an oversized one) or
Fatal (unknown topic, bad credentials). Records of one key keep their order inside one partition; the partition of a
key is Kafka's standard murmur2 one on every adapter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic to create. ``retention_ms`` None keeps records for ever; compaction keeps the newest of each key."""

    name: str
    partitions: int
    compacted: bool = False
    retention_ms: int | None = None
    #: How long a compacted topic shows a tombstone before it vanishes too.
    delete_retention_ms: int = 7 * 24 * 3600 * 1000
    max_record_bytes: int = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDescription:
    """A topic as it stands. ``identity`` changes when the topic is deleted and created again."""

    name: str
    partitions: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRecord:
    """A record to append; ``value`` None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as the log holds it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    #: When it was appended, in milliseconds since 1970, by the log's or the producer's clock.
    timestamp_ms: int

    @property
    def topic_partition(self) -> TopicPartition:
        """Return where the record lives."""
        return TopicPartition(self.topic, self.partition)


class Position(NamedTuple):
    """Where an appended record landed."""

    topic: str
    partition: int
    offset: int


class PartitionsLost(Exception):
    """Raised by commit when a partition is no longer owned; its new owner reads the records again."""


class Subscription(Protocol):
    """One member of a consumer group. Not for concurrent use, but for ``close``."""

    async def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records of the owned partitions that are not paused; empty when none came in time.

        Records of one partition come in offset order and only once, unless ownership changed or ``seek`` was called.
        Between a poll that returned records and the next ``commit`` or ``poll``, giving up partitions in a rebalance
        waits, up to a deadline, so that the batch can be committed. Must be called regularly, also while paused:
        it keeps the membership.
        """

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, for each partition, the offset of the next record to read; durable when it returns.

        Raises PartitionsLost when any of them is no longer owned; none of the lost ones is committed.
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions owned now."""

    def pause(self) -> None:
        """Make ``poll`` return nothing until ``resume``, for partitions gained later too."""

    def resume(self) -> None:
        """End a pause."""

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Continue reading owned partitions from these offsets; committed offsets stay as they are."""

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return, for the owned partitions, how many offsets lie between the next record to read and the end."""

    async def close(self) -> None:
        """Leave the group at once, so that others need not wait for a time-out; commits nothing."""


class EventLog(Protocol):
    """Topics to append to and read from."""

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create those that are missing. Raises Fatal when one exists with another partition count."""

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics with their records and committed offsets; absent ones are no error."""

    async def describe(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        """Return those that exist, by name."""

    async def append(self, records: Sequence[OutgoingRecord]) -> list[Position]:
        """Append in the order given and return where each landed; durable when it returns.

        Retries inside one call never duplicate a record. A call that raises may have appended any of them. Raises
        Poison, before appending any, when one is larger than its topic takes.
        """

    async def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        """Join a group; without committed offsets reading starts at the beginning. Partitions are shared fairly.

        Topics with equal partition counts are assigned together: partition n of all of them has one owner.
        """

    def read_range(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Record]:
        """Yield the records from ``start`` (inclusive) to ``end`` (exclusive) that still exist, outside any group."""

    async def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Return each partition's first offset that can be read."""

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Return, for each partition, the offset the next appended record gets."""

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first offset appended at or after the moment; the end offset when there is none."""

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed; partitions without a commit are left out."""

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Rewind or advance a group that has no members. Raises Fatal when it has any."""

    async def ping(self) -> None:
        """Return quickly when the log answers. Raises Retryable or Fatal."""

    async def close(self) -> None:
        """Flush and release connections and files."""
