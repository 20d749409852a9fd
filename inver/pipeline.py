"""The pipeline of one process: workers for its roles, over every collection, old and new."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from consumers.chunk import ChunkStage, ChunkStageSettings
from consumers.embed import EmbedStage
from consumers.fields import CollectionFields
from consumers.index import IndexStage
from consumers.stages import CHUNK, EMBED, INDEX, STATUS, StageDefinition
from consumers.status import StatusStage
from inver.directory import CollectionDirectory
from inver.observer import PipelineObserver
from inver.wiring import Wiring
from schemas.errors import Retryable
from schemas.generation import CollectionRecord
from streams.log import TopicPartition
from streams.topics import chunks_topic, dead_letters_topic, embeddings_topic, indexed_topic
from streams.worker import Stage, Worker, WorkerSettings

_FOLLOW_SECONDS: Final = 1.0
_CATCH_UP_SECONDS: Final = 60.0
_CATCH_UP_POLL_SECONDS: Final = 0.02


def now_ms() -> int:
    """Return the time in milliseconds since 1970; told to people, never compared as a version."""
    return time.time_ns() // 1_000_000


class Pipeline:
    """Starts a worker per stage and collection, and follows the catalog for collections that are new."""

    def __init__(
        self,
        *,
        wiring: Wiring,
        directory: CollectionDirectory,
        observer: PipelineObserver,
        stages: tuple[StageDefinition, ...],
        node: str,
    ) -> None:
        """Take the stages to run; ``node`` names this process's own reader of the status facts."""
        self._wiring = wiring
        self._directory = directory
        self._observer = observer
        self._stages = stages
        self._node = node
        self._workers: list[Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: set[str] = set()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    def stop(self) -> None:
        """Ask every worker to finish its batch and leave."""
        self._stopping.set()
        self._wake.set()
        for worker in self._workers:
            worker.stop()

    def look_again(self) -> None:
        """Look for new collections now instead of within a second."""
        self._wake.set()

    async def caught_up(self) -> None:
        """Return when these stages have read all that stood in their topics when this was called.

        Raises Retryable when they do not get there in time, Fatal when one of them stopped.
        """
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        log = await self._wiring.log()
        for name in await self._directory.names():
            record = await self._directory.record(name)
            await self._directory.prepare(record)
            for definition in self._stages:
                topics = definition.topics(name, record.live)
                ends = {
                    TopicPartition(topic, partition): end
                    for topic in topics
                    for partition, end in (await log.end_offsets(topic)).items()
                    if end
                }
                while not _reached(await log.committed(self._group(definition, record), topics), ends):
                    if time.monotonic() > deadline:
                        raise Retryable(
                            f"stage '{definition.name}' of '{name}' did not catch up within {_CATCH_UP_SECONDS:.0f} s: "
                            "ask again"
                        )
                    await asyncio.sleep(_CATCH_UP_POLL_SECONDS)

    async def run(self) -> None:
        """Run until ``stop``. Raises Fatal as soon as any stage does, after stopping the others."""
        follower = asyncio.create_task(self._follow())
        self._tasks.add(follower)
        try:
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._tasks -= done
                for task in done:
                    task.result()
        finally:
            self.stop()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                for name in await self._directory.names():
                    if name not in self._started:
                        await self._start(name)
            except Retryable as error:
                self._observer.retrying("catalog", error, attempt=0, wait_seconds=_FOLLOW_SECONDS)
            else:
                self._observer.answered("catalog")
            try:
                await asyncio.wait_for(self._wake.wait(), _FOLLOW_SECONDS)
            except TimeoutError:
                continue

    async def _start(self, name: str) -> None:
        record = await self._directory.record(name)
        await self._directory.prepare(record)
        workers = [
            Worker(
                log=await self._wiring.log(),
                stage=await self._stage(definition, record),
                settings=WorkerSettings(
                    topics=definition.topics(name, record.live),
                    group=self._group(definition, record),
                    dead_letters_topic=dead_letters_topic(name),
                    max_records=definition.max_records,
                ),
                observer=self._observer,
                now_ms=now_ms,
            )
            for definition in self._stages
        ]
        self._started.add(name)
        for worker in workers:
            self._workers.append(worker)
            self._tasks.add(asyncio.create_task(worker.run()))
        if self._stopping.is_set():
            self.stop()

    def _group(self, definition: StageDefinition, record: CollectionRecord) -> str:
        group = definition.group(record.name, record.live)
        return f"{group}.{self._node}" if definition is STATUS else group

    async def _stage(self, definition: StageDefinition, record: CollectionRecord) -> Stage:
        facts = indexed_topic(record.name, record.live)
        if definition is CHUNK:
            return ChunkStage(
                settings=ChunkStageSettings(
                    chunks_topic=chunks_topic(record.name, record.live),
                    indexed_topic=facts,
                    partitions=record.partitions,
                    chunking=record.live_config.chunking,
                    max_text_bytes=self._wiring.settings.max_text_bytes,
                ),
                fields=CollectionFields(await self._wiring.catalog(), record),
                tokenizer=await self._wiring.tokenizer(record.live_config.model),
                blobs=await self._wiring.blobs(),
                now_ms=now_ms,
            )
        if definition is EMBED:
            return EmbedStage(
                embedder=await self._directory.embedder(record.live_config),
                embeddings_topic=embeddings_topic(record.name, record.live),
                indexed_topic=facts,
                now_ms=now_ms,
            )
        if definition is INDEX:
            engines = await self._directory.engines(record)
            return IndexStage(
                vectors=engines.vectors,
                texts=engines.texts,
                manifests=engines.manifests,
                model_fingerprint=record.live_config.model_fingerprint,
                indexed_topic=facts,
                now_ms=now_ms,
            )
        return StatusStage(store=await self._wiring.statuses(), record=record)


def _reached(committed: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> bool:
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())
