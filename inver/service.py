"""Running: the stages of this process, its API on a port, and the folders it watches, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

from consumers.stages import StageDefinition
from inver.client import LocalClient, running_inver
from inver.data_directory import prepare_data_directory
from inver.lock import publish_address, withdraw_address
from inver.runtime import Runtime, open_runtime
from inver.settings import Profile, Settings
from inver.watching import FolderWatch
from schemas.errors import Fatal

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_DRAIN_SECONDS: Final = 8.0

Announce = Callable[[str], None]


async def run_service(
    settings: Settings,
    *,
    stages: tuple[StageDefinition, ...],
    serve_api: bool,
    watch: tuple[Path, ...] = (),
    collection: str = "",
    announce: Announce,
) -> None:
    """Run until SIGTERM or SIGINT, then finish the batches in flight. Raises Fatal when a stage stops for good."""
    prepare_data_directory(settings.data_directory)
    await _refuse_second(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    async with open_runtime(settings, stages) as runtime:
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stopping.wait())]
        if stages:
            tasks.append(runtime.pipeline_task)
        server = _server(runtime) if serve_api else None
        listening = _listen(settings) if server is not None else None
        try:
            if server is not None and listening is not None:
                tasks.append(asyncio.create_task(server.serve(sockets=[listening])))
                await _started(server, tasks[-1])
                url = _url(settings, listening)
                publish_address(settings.data_directory, url)
                announce(f"listening on {url}")
            client = LocalClient(runtime.app)
            if watch:
                tasks.append(asyncio.create_task(FolderWatch(client, settings, watch, collection, announce).run()))
            await _first_end(tasks)
        finally:
            withdraw_address(settings.data_directory)
            if server is not None:
                server.should_exit = True
            runtime.pipeline.stop()
            await _finish(tasks)


async def _refuse_second(settings: Settings) -> None:
    """Say so at once where another process serves this directory; the lock would say it after its time-out."""
    running = await running_inver(settings.data_directory) if settings.profile is Profile.EMBEDDED else None
    if running is not None:
        raise Fatal(
            f"Inver serves {settings.data_directory} at {running.url} already: use that one, stop it, or choose "
            "another --data-dir"
        )


def _server(runtime: Runtime) -> uvicorn.Server:
    config = uvicorn.Config(
        runtime.app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=int(_DRAIN_SECONDS),
    )
    server = uvicorn.Server(config)
    # This service has its own signal handlers; uvicorn's would end the process before the batches are committed.
    server.capture_signals = suppress  # type: ignore[method-assign,assignment]
    return server


def _listen(settings: Settings) -> socket.socket:
    if settings.host not in _LOOPBACK:
        raise Fatal(
            f"setting 'host' has value {settings.host!r}: without authentication Inver listens on loopback only; "
            "put a proxy that authenticates before it"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Naming the protocol makes asyncio set TCP_NODELAY: without it every answer waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Fatal(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): choose another --port, "
            "or 0 for a free one"
        ) from None
    return listening


def _url(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


async def _started(server: uvicorn.Server, serving: asyncio.Task[Any]) -> None:
    # uvicorn offers a flag and no event to wait for.
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _first_end(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for a signal, or for the first part that ends on its own, whose error is then raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _finish(tasks: list[asyncio.Task[Any]]) -> None:
    """Give everything its time to end by itself, then cancel what is left."""
    _, late = await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
