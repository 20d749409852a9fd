"""The EventLog on Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import stamina
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from schemas.errors import Fatal, Retryable
from streams.kafka_admin import KafkaAdmin, TopicLimits
from streams.kafka_connection import KafkaConnection, KafkaSecurity, connect, translated
from streams.kafka_producer import KafkaProducer
from streams.kafka_records import FETCH_OPTIONS, to_record
from streams.kafka_subscription import KafkaSubscription
from streams.log import OutgoingRecord, Position, Record, Subscription, TopicDescription, TopicPartition, TopicSpec
from streams.partitioner import partition_of
from streams.record_size import refuse_oversized

T = TypeVar("T")

_PING_SECONDS: Final = 3.0
_LOOKUP_SECONDS: Final = 30.0
_PAGE_WAIT_MS: Final = 500


class KafkaLog:
    """An EventLog; its promises are the port's. Kafka 2.8 or newer; connects on first use.

    - Brokers should have ``auto.create.topics.enable=false``: aiokafka's clients ask for topics in a way that
      would create a deleted one again.
    - A topic's ``max_record_bytes`` below 256 KiB counts as 256 KiB, the size up to which small records share a batch.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        security: KafkaSecurity | None = None,
        replication_factor: int = 1,
        revocation_deadline_seconds: float = 60.0,
        append_timeout_seconds: float = 60.0,
    ) -> None:
        self._connection = KafkaConnection(bootstrap_servers=bootstrap_servers, security=security)
        self._admin = KafkaAdmin(connection=self._connection, replication_factor=replication_factor)
        self._producer = KafkaProducer(connection=self._connection, timeout_seconds=append_timeout_seconds)
        self._revocation_deadline_seconds = revocation_deadline_seconds
        self._limits: dict[str, TopicLimits] = {}
        self._lookup: AIOKafkaConsumer | None = None
        self._lookup_starting = asyncio.Lock()
        self._subscriptions: list[KafkaSubscription] = []
        self._closed = False

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create those that are missing and wait until they can be used."""
        self._refuse_closed()
        await self._admin.create(topics)

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics and wait until they are gone; the broker forgets their committed offsets."""
        self._refuse_closed()
        await self._admin.delete(names)
        self._limits = {name: limits for name, limits in self._limits.items() if name not in names}
        await self._producer.reset()
        await self._stop_lookup()

    async def describe(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        """Return those that exist; the identity is the id the controller gave the topic."""
        self._refuse_closed()
        return {
            name: TopicDescription(name=name, partitions=topic.partitions, identity=topic.id.hex)
            for name, topic in (await self._admin.describe(names)).items()
        }

    async def append(self, records: Sequence[OutgoingRecord]) -> list[Position]:
        """Append with the acknowledgement of all in-sync replicas."""
        self._refuse_closed()
        limits = await self._limits_of({record.topic for record in records})
        refuse_oversized(records, {name: topic.max_record_bytes for name, topic in limits.items()})
        placed = [(record, partition_of(record.key, limits[record.topic].partitions)) for record in records]
        try:
            return await self._producer.append(placed)
        except (Retryable, Fatal):
            # The topic may have been created again, with other limits.
            self._limits.clear()
            raise

    async def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        """Join a group; partitions come with the polls that follow."""
        self._refuse_closed()
        await self._limits_of(set(topics))
        subscription = KafkaSubscription(
            connection=self._connection,
            topics=topics,
            group=group,
            revocation_deadline_seconds=self._revocation_deadline_seconds,
        )
        await subscription.start()
        self._subscriptions.append(subscription)
        return subscription

    async def read_range(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Record]:
        """Yield with a consumer of its own, up to the end the partition has now."""
        end = min(end, (await self.end_offsets(partition.topic))[partition.partition])
        if start >= end:
            return
        place = KafkaPartition(*partition)
        consumer = await self._started_consumer()
        try:
            consumer.assign([place])
            consumer.seek(place, start)
            position = start
            while position < end:
                with translated(f"reading {partition.topic}/{partition.partition}"):
                    batch = (await consumer.getmany(place, timeout_ms=_PAGE_WAIT_MS)).get(place, [])
                    position = await consumer.position(place)
                for record in batch:
                    if record.offset >= end:
                        return
                    yield to_record(record)
        finally:
            await consumer.stop()

    async def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Return each partition's first offset that can be read."""
        partitions = await self._partitions(topic)
        lookup = await self._started_lookup()
        with translated(f"looking up the beginning of topic '{topic}'"):
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await lookup.beginning_offsets(partitions)
        return {partition.partition: offset for partition, offset in found.items()}

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Return, for each partition, the offset the next appended record gets."""
        partitions = await self._partitions(topic)
        lookup = await self._started_lookup()
        with translated(f"looking up the end of topic '{topic}'"):
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await lookup.end_offsets(partitions)
        return {partition.partition: offset for partition, offset in found.items()}

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first offset appended at or after the moment; the end offset when there is none."""
        place = KafkaPartition(*partition)
        await self._partitions(partition.topic)
        lookup = await self._started_lookup()
        with translated(f"looking up a moment in {partition.topic}/{partition.partition}"):
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = (await lookup.offsets_for_times({place: timestamp_ms}))[place]
                if found is not None:
                    return int(found.offset)
                return int((await lookup.end_offsets([place]))[place])

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed; a topic that does not exist has no commits."""
        self._refuse_closed()
        existing = await self._admin.describe(topics)
        partitions = [
            TopicPartition(name, number) for name, topic in existing.items() for number in range(topic.partitions)
        ]
        return await _patiently(partial(self._admin.committed, group, partitions))

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Rewind or advance a group that has no members."""
        self._refuse_closed()
        await self._limits_of({partition.topic for partition in offsets})
        await _patiently(partial(self._admin.set_committed, group, offsets))

    async def ping(self) -> None:
        """Hear from a broker within a few seconds."""
        self._refuse_closed()
        await self._admin.ping(_PING_SECONDS)

    async def close(self) -> None:
        """Leave every group, send what is under way, disconnect."""
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(subscription.close() for subscription in self._subscriptions))
        await self._producer.close()
        await self._stop_lookup()
        await self._admin.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Fatal(f"the log at {self._connection.bootstrap_servers} is closed: open it again")

    async def _limits_of(self, topics: set[str]) -> dict[str, TopicLimits]:
        unknown = sorted(topics - self._limits.keys())
        if unknown:
            self._limits |= await self._admin.limits(unknown)
        return {topic: self._limits[topic] for topic in topics}

    async def _partitions(self, topic: str) -> list[KafkaPartition]:
        self._refuse_closed()
        limits = await self._limits_of({topic})
        return [KafkaPartition(topic, number) for number in range(limits[topic].partitions)]

    async def _started_lookup(self) -> AIOKafkaConsumer:
        async with self._lookup_starting:
            if self._lookup is None:
                self._lookup = await self._started_consumer()
            return self._lookup

    async def _started_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(enable_auto_commit=False, **FETCH_OPTIONS, **self._connection.client_options())
        await connect(self._connection, consumer.start, consumer.stop)
        return consumer

    async def _stop_lookup(self) -> None:
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            await lookup.stop()


async def _patiently(request: Callable[[], Awaitable[T]]) -> T:
    """Bridge the seconds in which a broker loads or creates its offsets topic."""
    return await stamina.AsyncRetryingCaller(attempts=None, timeout=_LOOKUP_SECONDS, wait_max=1.0)(Retryable, request)
