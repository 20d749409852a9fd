"""One running Inver: its adapters, its stages and its API, opened together and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from consumers.stages import CHUNK, EMBED, INDEX, STATUS, StageDefinition
from inver.directory import CollectionDirectory
from inver.lock import DataDirectoryLock, node_name
from inver.observer import Metrics, PipelineObserver
from inver.pipeline import Pipeline
from inver.readiness import Readiness
from inver.settings import Profile, Settings
from inver.sink import LogSink
from inver.wiring import Wiring
from query_api.app import ApiDependencies, create_app
from query_api.search import Searcher, SearchSettings

#: What ``inver up`` and every command that writes in process run.
ALL_STAGES = (CHUNK, EMBED, INDEX, STATUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What is open."""

    settings: Settings
    wiring: Wiring
    directory: CollectionDirectory
    sink: LogSink
    pipeline: Pipeline
    pipeline_task: asyncio.Task[None]
    app: FastAPI


@asynccontextmanager
async def open_runtime(settings: Settings, stages: tuple[StageDefinition, ...]) -> AsyncIterator[Runtime]:
    """Open everything, run the stages, and on leaving let each finish its batch.

    Raises Fatal for a data directory in use.
    """
    async with AsyncExitStack() as opened:
        if settings.profile is Profile.EMBEDDED:
            lock = DataDirectoryLock(settings.data_directory)
            opened.callback(lock.release)
            await asyncio.to_thread(lock.acquire)
        wiring = Wiring(settings)
        opened.push_async_callback(wiring.close)
        metrics = Metrics()
        observer = PipelineObserver(metrics)
        directory = CollectionDirectory(wiring)
        pipeline = Pipeline(
            wiring=wiring,
            directory=directory,
            observer=observer,
            stages=stages,
            node=node_name(settings.data_directory),
        )
        sink = LogSink(wiring, directory, pipeline.look_again)
        app = create_app(
            ApiDependencies(
                searcher=Searcher(directory, SearchSettings(answer_unverified=settings.answer_unverified)),
                collections=directory,
                sink=sink,
                statuses=await wiring.statuses(),
                health=Readiness(wiring, observer),
                metrics=metrics.exposition,
                profile=settings.profile.value,
            )
        )
        task = asyncio.create_task(pipeline.run() if stages else asyncio.sleep(0))
        try:
            yield Runtime(
                settings=settings,
                wiring=wiring,
                directory=directory,
                sink=sink,
                pipeline=pipeline,
                pipeline_task=task,
                app=app,
            )
        finally:
            pipeline.stop()
            await task
