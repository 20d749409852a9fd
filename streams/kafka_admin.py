"""Topics and groups of a Kafka cluster, as the log's administration sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient

from schemas.errors import Fatal, Retryable
from streams.kafka_connection import KafkaConnection, connect, translate, translated
from streams.kafka_metadata import ClusterTopic, describe_topics
from streams.log import TopicPartition, TopicSpec

#: A producer's batch may grow to this, so no topic can refuse records below it.
SMALLEST_RECORD_LIMIT_BYTES: Final = 256 * 1024
#: What a batch of one record has besides key, value and headers.
_BATCH_OVERHEAD_BYTES: Final = 1024
_SETTLE_SECONDS: Final = 30.0
_NO_OFFSET: Final = -1


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """What an append has to know of a topic."""

    partitions: int
    max_record_bytes: int


def topic_configuration(spec: TopicSpec) -> dict[str, str]:
    """Return Kafka's settings for a topic."""
    policies = (["compact"] if spec.compacted else []) + (["delete"] if spec.retention_ms is not None else [])
    record_bytes = max(spec.max_record_bytes, SMALLEST_RECORD_LIMIT_BYTES)
    return {
        "cleanup.policy": ",".join(policies) or "delete",
        "retention.ms": str(spec.retention_ms if spec.retention_ms is not None else -1),
        "delete.retention.ms": str(spec.delete_retention_ms),
        "max.message.bytes": str(record_bytes + _BATCH_OVERHEAD_BYTES),
    }


class KafkaAdmin:
    """The administrative requests; connects on first use."""

    def __init__(self, *, connection: KafkaConnection, replication_factor: int) -> None:
        self._connection = connection
        self._replication_factor = replication_factor
        self._admin: AIOKafkaAdminClient | None = None
        self._client: AIOKafkaClient | None = None
        self._starting = asyncio.Lock()

    async def create(self, specs: Sequence[TopicSpec]) -> None:
        """Create those that are missing and wait until they can be used."""
        existing = await self.describe([spec.name for spec in specs])
        _refuse_other_counts(specs, existing)
        missing = {spec.name: spec for spec in specs if spec.name not in existing}
        if missing:
            new = [
                NewTopic(spec.name, spec.partitions, self._replication_factor, topic_configs=topic_configuration(spec))
                for spec in missing.values()
            ]
            admin = await self._started_admin()
            with translated(f"creating topics {sorted(missing)}"):
                response = await admin.create_topics(new)
            for name, code, message in response.topic_errors:
                error = kafka.for_code(code)
                # Another process was faster; its partition count is looked at below.
                if error not in (kafka.NoError, kafka.TopicAlreadyExistsError):
                    raise translate(error(message), f"creating topic '{name}'")
        await self._wait_until([spec.name for spec in specs], _available)
        _refuse_other_counts(specs, await self.describe([spec.name for spec in specs]))

    async def delete(self, names: Sequence[str]) -> None:
        """Delete those that exist and wait until they are gone."""
        existing = sorted(await self.describe(names))
        if not existing:
            return
        admin = await self._started_admin()
        with translated(f"deleting topics {existing}"):
            response = await admin.delete_topics(existing)
        for name, code in response.topic_error_codes:
            error = kafka.for_code(code)
            if error not in (kafka.NoError, kafka.UnknownTopicOrPartitionError):
                raise translate(error(), f"deleting topic '{name}'")
        await self._wait_until(existing, _absent)

    async def describe(self, names: Sequence[str]) -> dict[str, ClusterTopic]:
        """Return those that exist, by name."""
        if not names:
            return {}
        client = await self._started_client()
        with translated("describing topics"):
            return await describe_topics(client, names)

    async def limits(self, names: Sequence[str]) -> dict[str, TopicLimits]:
        """Return what an append has to know. Raises Fatal when one does not exist."""
        topics = await self.describe(names)
        for name in names:
            if name not in topics:
                raise Fatal(f"topic '{name}' does not exist: create it first, with `inver topics apply`")
        admin = await self._started_admin()
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": ""}) for name in names]
        found: dict[str, TopicLimits] = {}
        with translated("reading topic settings"):
            responses = await admin.describe_configs(resources)
        for code, message, _, name, entries in (row for response in responses for row in response.resources):
            if code:
                raise translate(kafka.for_code(code)(message), f"reading the settings of topic '{name}'")
            record_bytes = int(entries[0][1]) - _BATCH_OVERHEAD_BYTES
            found[name] = TopicLimits(topics[name].partitions, record_bytes)
        return found

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return what the group has committed."""
        if not partitions:
            return {}
        admin = await self._started_admin()
        with translated(f"reading the offsets of group '{group}'"):
            found = await admin.list_consumer_group_offsets(
                group, partitions=[KafkaPartition(*partition) for partition in partitions]
            )
        return {
            TopicPartition(*partition): committed.offset
            for partition, committed in found.items()
            if committed.offset != _NO_OFFSET
        }

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit for a group without members, as a reader that joins no group; the broker refuses it otherwise."""
        admin = await self._started_admin()
        with translated(f"describing group '{group}'"):
            responses = await admin.describe_consumer_groups([group])
        members = sum(len(row[5]) for response in responses for row in response.groups)
        if members:
            raise Fatal(f"group '{group}' has {members} members: stop its stage, then set its offsets")
        consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **self._connection.client_options())
        await connect(self._connection, consumer.start, consumer.stop)
        try:
            with translated(f"setting the offsets of group '{group}'"):
                consumer.assign([KafkaPartition(*partition) for partition in offsets])
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await consumer.commit({KafkaPartition(*place): offset for place, offset in offsets.items()})
        except Retryable as error:
            if isinstance(error.__cause__, kafka.CommitFailedError):
                raise Fatal(f"group '{group}' has members: stop its stage, then set its offsets") from error
            raise
        finally:
            await consumer.stop()

    async def ping(self, timeout_seconds: float) -> None:
        """Ask a broker for nothing."""
        with translated("asking for a sign of life"):
            async with asyncio.timeout(timeout_seconds):
                await describe_topics(await self._started_client(), [])

    async def close(self) -> None:
        """Release the connections."""
        if self._admin is not None:
            await self._admin.close()
        if self._client is not None:
            await self._client.close()

    async def _wait_until(
        self, names: Sequence[str], done: Callable[[dict[str, ClusterTopic], Sequence[str]], bool]
    ) -> None:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while not done(await self.describe(names), names):  # noqa: ASYNC110 - a broker announces nothing
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise Retryable(f"Kafka: topics {sorted(names)} are still changing after {_SETTLE_SECONDS} s") from None

    async def _started_admin(self) -> AIOKafkaAdminClient:
        async with self._starting:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**self._connection.client_options())
                await connect(self._connection, admin.start, admin.close)
                self._admin = admin
            return self._admin

    async def _started_client(self) -> AIOKafkaClient:
        async with self._starting:
            if self._client is None:
                client = AIOKafkaClient(**self._connection.client_options())
                await connect(self._connection, client.bootstrap, client.close)
                self._client = client
            return self._client


def _available(topics: dict[str, ClusterTopic], names: Sequence[str]) -> bool:
    return all(name in topics and topics[name].available for name in names)


def _absent(topics: dict[str, ClusterTopic], _names: Sequence[str]) -> bool:
    return not topics


def _refuse_other_counts(specs: Sequence[TopicSpec], existing: Mapping[str, ClusterTopic]) -> None:
    for spec in specs:
        if spec.name in existing and existing[spec.name].partitions != spec.partitions:
            raise Fatal(
                f"topic '{spec.name}' has {existing[spec.name].partitions} partitions and {spec.partitions} are asked "
                "for: a document's partition would change; keep the count or start a new collection"
            )
