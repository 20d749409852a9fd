"""Appending to Kafka: one idempotent producer, replaced whenever its sequence may have a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from schemas.errors import InverError
from streams.kafka_admin import SMALLEST_RECORD_LIMIT_BYTES
from streams.kafka_connection import KafkaConnection, connect, translate, translated
from streams.log import OutgoingRecord, Position

#: Sizes are judged by the topic's limit before a record gets here.
_NO_LIMIT: Final = 2**31 - 1
#: What one event loop's appends may wait for each other, to share a request.
_LINGER_MS: Final = 5
_FLUSH_SECONDS: Final = 10.0


class KafkaProducer:
    """Appends with ``acks=all``; the broker drops what a retry repeats. Connects on first use.

    aiokafka never lets an idempotent batch expire and never mends a gap in the sequence: after a batch that failed,
    every later one is refused. So a producer with a failed or late batch is stopped, its batches with it, and
    the next append starts another one.
    """

    def __init__(self, *, connection: KafkaConnection, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def append(self, records: Sequence[tuple[OutgoingRecord, int]]) -> list[Position]:
        """Append records, each to its partition, in order; all are durable when this returns."""
        producer = await self._started()
        futures: list[asyncio.Future[Any]] = []
        try:
            with translated("appending"):
                async with asyncio.timeout(self._timeout_seconds):
                    for record, partition in records:
                        future = await producer.send(
                            record.topic,
                            value=record.value,
                            key=record.key,
                            partition=partition,
                            headers=list(record.headers),
                        )
                        # Nobody awaits the later ones of a call that fails; their errors are this one's.
                        future.add_done_callback(_retrieve)
                        futures.append(future)
                    return [_position(await future) for future in futures]
        except InverError:
            await self._discard(producer)
            raise

    async def close(self) -> None:
        """Send what is under way, for a while, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await producer.flush()
        await _stop(producer)

    async def reset(self) -> None:
        """Forget every topic: a client goes on asking for the topics it once used, even deleted ones."""
        await self.close()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    linger_ms=_LINGER_MS,
                    max_batch_size=SMALLEST_RECORD_LIMIT_BYTES,
                    max_request_size=_NO_LIMIT,
                    **self._connection.client_options(),
                )
                await connect(self._connection, producer.start, producer.stop)
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    # stop() alone waits for every batch, for ever while the brokers are away. And a sender left running could
    # deliver an old record after its caller has appended it again, behind newer ones of its key.
    await producer._sender.close()  # noqa: SLF001 - there is no public way
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - there is no public way
    await producer.stop()


def _position(metadata: Any) -> Position:
    if metadata.offset < 0:
        # The broker knew a retried batch as a duplicate, and no longer its place.
        raise translate(ProducerClosed("the place of an appended record is unknown"), "appending")
    return Position(metadata.topic, metadata.partition, metadata.offset)


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
