"""One member of a consumer group on Kafka."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from schemas.errors import Fatal, Retryable
from streams.kafka_connection import KafkaConnection, connect, translated
from streams.kafka_records import FETCH_OPTIONS, to_record
from streams.log import Record, TopicPartition
from streams.ownership import Ownership, lost_partitions

#: A member that dies without leaving is missed after this; until then its partitions wait, also for its own restart.
#: Shorter than Kafka's 45 s, because Inver's heavy work runs in threads and does not delay heartbeats for seconds; a
#: member that was declared dead by mistake loses no record, only a batch's work. Static membership, the other
#: remedy, is incomplete in aiokafka 0.14: heartbeats and commits don't carry the instance's id.
_SESSION_TIMEOUT_MS: Final = 10_000
_HEARTBEAT_INTERVAL_MS: Final = 2_000
#: Polls may be this far apart, which bounds how long one batch may take.
_MAX_POLL_INTERVAL_MS: Final = 900_000
_COMMIT_SECONDS: Final = 30.0
_LAG_SECONDS: Final = 30.0


class KafkaSubscription(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A Subscription; its promises are the port's.

    aiokafka rebalances in a task of its own, at any moment, and eagerly: all partitions go and the new share comes,
    read from its committed offsets. Three things keep that from mixing with a batch: the revocation waits until the
    batch is settled; a lock keeps commits and revocations apart, since aiokafka would retry a commit under the next
    generation; and records fetched before a revocation are told by their epoch and dropped.
    """

    def __init__(
        self, *, connection: KafkaConnection, topics: Sequence[str], group: str, revocation_deadline_seconds: float
    ) -> None:
        self._connection = connection
        self._topics = list(topics)
        self._group = group
        self._revocation_deadline_seconds = revocation_deadline_seconds
        self._ownership = Ownership()
        self._commit_lock = asyncio.Lock()
        #: Set while no batch is in the caller's hands.
        self._settled = asyncio.Event()
        self._settled.set()
        #: Rises with every revocation.
        self._epoch = 0
        self._fetching: asyncio.Task[tuple[int, list[Any]]] | None = None
        #: Fetched in this epoch and not delivered yet.
        self._held: deque[Any] = deque()
        self._paused = False
        self._closed = False
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Join the group, in the background. Raises Retryable or Fatal."""
        consumer = AIOKafkaConsumer(
            group_id=self._group,
            enable_auto_commit=False,
            session_timeout_ms=_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=_HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=int((self._revocation_deadline_seconds + _COMMIT_SECONDS) * 1000),
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            # Exactly one: aiokafka joins once per assignor. Range gives partition n of all topics to one member.
            partition_assignment_strategy=[RangePartitionAssignor],
            **FETCH_OPTIONS,
            **self._connection.client_options(),
        )
        await connect(self._connection, consumer.start, consumer.stop)
        consumer.subscribe(self._topics, listener=self)
        self._consumer = consumer

    async def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records; what a time-out leaves unfetched comes with the next call."""
        if self._closed:
            raise Fatal("poll on a closed subscription: subscribe again")
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._settle(self._ownership.poll_started)
        while not self._closed:
            await self._fetch(max_records, deadline)
            if self._held and not self._paused and not self._closed:
                count = min(max_records, len(self._held))
                self._ownership.batch_delivered()
                self._settled.clear()
                return [to_record(self._held.popleft()) for _ in range(count)]
            if asyncio.get_running_loop().time() >= deadline:
                break
        return []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit what is still owned, then raise PartitionsLost for what is not."""
        async with self._commit_lock:
            owned = self._ownership.committable(offsets)
            if owned and not await self._commit(owned):
                owned = {}
        self._settle(self._ownership.batch_settled)
        if lost := offsets.keys() - owned.keys():
            raise lost_partitions(lost)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions owned now."""
        return self._ownership.owned

    def pause(self) -> None:
        """Make ``poll`` return nothing until ``resume``; fetching ends too."""
        self._paused = True
        self._apply_pause()

    def resume(self) -> None:
        """End a pause."""
        self._paused = False
        if self._consumer is not None:
            self._consumer.resume(*self._consumer.assignment())

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Continue from these offsets; one outside the log means the beginning. Raises PartitionsLost."""
        if lost := offsets.keys() - self._ownership.owned:
            raise lost_partitions(lost)
        with translated("seeking"):
            self._collect()
            for partition, offset in offsets.items():
                self._started().seek(KafkaPartition(*partition), offset)
        self._held = deque(record for record in self._held if _place(record) not in offsets)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return the distance to the end of each owned partition."""
        partitions = [KafkaPartition(*partition) for partition in sorted(self._ownership.owned)]
        if not partitions:
            return {}
        with translated("reading the lag"):
            async with asyncio.timeout(_LAG_SECONDS):
                ends = await self._started().end_offsets(partitions)
                positions = {partition: await self._started().position(partition) for partition in partitions}
        self._collect()
        for record in reversed(self._held):
            positions[KafkaPartition(*_place(record))] = record.offset
        return {
            TopicPartition(*partition): max(0, end - positions[partition])
            for partition, end in ends.items()
            if TopicPartition(*partition) in self._ownership.owned
        }

    async def close(self) -> None:
        """Leave the group at once; a poll under way returns nothing."""
        if self._closed:
            return
        self._closed = True
        await self._stop()

    async def on_partitions_revoked(self, _revoked: Collection[Any]) -> None:
        """Wait for the batch in flight, then own nothing; aiokafka keeps the membership alive meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._revocation_deadline_seconds):
                await self._settled.wait()
        async with self._commit_lock:
            self._forget()

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Own the new share, paused if the subscription is."""
        self._ownership.gain(TopicPartition(*partition) for partition in assigned)
        if self._paused:
            self._apply_pause()

    async def _fetch(self, max_records: int, deadline: float) -> None:
        """Hold what comes until the deadline. A fetch that lasts longer is never cancelled: aiokafka would leak it."""
        if self._held and not self._paused:
            return
        if self._consumer is None:
            await self.start()
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._get(max_records, remaining))
        fetching = self._fetching
        await asyncio.wait([fetching], timeout=remaining)
        if self._fetching is fetching and fetching.done() and not self._closed:
            try:
                with translated("reading"):
                    self._collect()
            except (Retryable, Fatal):
                # aiokafka's coordinator may have ended with this error; another consumer has another one.
                await self._stop()
                raise

    async def _get(self, max_records: int, timeout_seconds: float) -> tuple[int, list[Any]]:
        batches = await self._started().getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        # aiokafka moved its positions in this very step, so the epoch is the records'.
        return self._epoch, [record for records in batches.values() for record in records]

    def _collect(self) -> None:
        if self._fetching is None or not self._fetching.done():
            return
        fetching, self._fetching = self._fetching, None
        epoch, records = fetching.result()
        if epoch == self._epoch:
            self._held.extend(records)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit; False when the group has gone on without this member."""
        try:
            with translated(f"committing for group '{self._group}'"):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await self._started().commit({KafkaPartition(*place): offset for place, offset in offsets.items()})
        except Retryable as error:
            if not isinstance(error.__cause__, (kafka.CommitFailedError, kafka.IllegalStateError)):
                raise
            self._forget()
            return False
        return True

    def _settle(self, note: Any) -> None:
        note()
        self._settled.set()

    def _forget(self) -> None:
        self._epoch += 1
        self._held.clear()
        self._ownership.lose(self._ownership.owned)

    def _apply_pause(self) -> None:
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Retryable("the subscription is joining its group again: poll")
        return self._consumer

    async def _stop(self) -> None:
        self._settled.set()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            # Of a stopped consumer: what it may leak is gone with it.
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
        self._forget()


def _place(record: Any) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
