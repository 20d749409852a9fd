"""What the cluster knows of its topics, their ids included, which aiokafka's own metadata request is too old to ask.

A topic's id is given by the controller when the topic is created and never again to another one, so it is the
topic's identity. The request is Kafka's Metadata version 11 (Kafka 2.8); it never creates a topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Final
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError, NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_METADATA_API_KEY: Final = 3
_METADATA_VERSION: Final = 11
_NO_ID: Final = UUID(int=0)
_NO_LEADER: Final = -1


@dataclass(frozen=True, slots=True)
class ClusterTopic:
    """A topic as the cluster describes it."""

    id: UUID
    partitions: int
    #: Whether every partition can be written and read now.
    available: bool


class _TopicId(AbstractType):  # type: ignore[misc]  # aiokafka has no types
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = _METADATA_API_KEY
    API_VERSION = _METADATA_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA_API_KEY
    API_VERSION = _METADATA_VERSION
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _TopicId), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]  # aiokafka has no types
    API_KEY: ClassVar[int] = _METADATA_API_KEY

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        topics: list[tuple[UUID, str, dict[str, object]]] = [(_NO_ID, name, {}) for name in self._names]
        return request_struct_class(topics, False, False, {})


async def describe_topics(client: AIOKafkaClient, names: Sequence[str]) -> dict[str, ClusterTopic]:
    """Return those that exist, by name. Raises KafkaError."""
    response: Any = await client.send(await _any_node(client), _MetadataRequest(names))
    found: dict[str, ClusterTopic] = {}
    for code, name, topic_id, _, partitions, _, _ in response.topics:
        error = for_code(code)
        if error is UnknownTopicOrPartitionError:
            continue
        if error is not NoError:
            raise error(name)
        leaders = [leader for _, _, leader, *_ in partitions]
        found[name] = ClusterTopic(topic_id, len(partitions), available=_NO_LEADER not in leaders)
    return found


async def _any_node(client: AIOKafkaClient) -> Any:
    for broker in client.cluster.brokers():
        if await client.ready(broker.nodeId):
            return broker.nodeId
    raise NodeNotReadyError("no broker answers")
