"""Kafka, OpenSearch and Milvus of one data directory: brings them up, takes them down, tells how they are."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from inver.servers.kafka import KafkaServer
from inver.servers.milvus import MilvusServer
from inver.servers.opensearch import OpenSearchServer
from inver.servers.port_book import CLIENT_PORTS, PortBook
from inver.servers.ports import LOOPBACK
from inver.servers.process import POLL_INTERVAL_SECONDS, ServerProcess
from inver.servers.server import Progress, Server
from schemas.errors import Fatal

#: In the order of starting and of stopping: the log goes first, so that no new work reaches engines that are closing.
SERVER_NAMES = tuple(CLIENT_PORTS)

#: A busy machine may keep a good server silent for a moment.
_PATIENCE_SECONDS = 15.0


class ServerState(StrEnum):
    """How one server is."""

    RUNNING = "running"
    """It answers."""
    STARTING = "starting"
    """Its process is alive and does not answer yet."""
    HANGING = "hanging"
    """Its process is alive, but doesn't answer although it should by now; `up` starts it again with its data."""
    CRASHED = "crashed"
    """It ended without being asked to; `up` starts it again with its data."""
    STOPPED = "stopped"
    """It was never started, or was stopped by `down`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One server, as it is now."""

    name: str
    state: ServerState
    address: str
    pid: int | None
    log_directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServersStatus:
    """The three servers, as they are now."""

    kafka: ServerStatus
    opensearch: ServerStatus
    milvus: ServerStatus

    def __iter__(self) -> Iterator[ServerStatus]:
        return iter((self.kafka, self.opensearch, self.milvus))

    @property
    def all_running(self) -> bool:
        """Whether all three answer."""
        return all(server.state is ServerState.RUNNING for server in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What may be chosen. A port that is None stays as recorded, or becomes the first free one from the usual one."""

    kafka_port: int | None = None
    opensearch_port: int | None = None
    milvus_port: int | None = None
    kafka_heap_mebibytes: int = 384
    opensearch_heap_mebibytes: int = 1024

    @property
    def wanted_ports(self) -> Mapping[str, int | None]:
        """The three ports by their server's name."""
        return {"kafka": self.kafka_port, "opensearch": self.opensearch_port, "milvus": self.milvus_port}


@dataclass(slots=True)
class Servers:
    """The servers below `<data_directory>/servers`. Synchronous; one caller at a time changes them, others wait."""

    data_directory: Path
    options: ServerOptions = field(default_factory=ServerOptions)
    #: Where programs are kept for all data directories.
    cache_directory: Path = field(default_factory=lambda: default_cache_directory(os.environ))

    def up(self, *, names: tuple[str, ...] = SERVER_NAMES, progress: Progress = lambda _: None) -> ServersStatus:
        """Starts what isn't running and returns when all of `names` answer. Raises Fatal; what runs then, stays."""
        unknown = set(names) - set(SERVER_NAMES)
        if unknown:
            raise Fatal(f"there is no server '{', '.join(unknown)}': choose from {', '.join(SERVER_NAMES)}")
        with self._alone(progress):
            began = time.monotonic()
            started = [name for name in names if self._start(name, progress)]
            for name in names:
                server = self._server(name)
                process = self._process(name)
                process.wait_until(
                    server.is_ready,
                    timeout_seconds=server.start_timeout_seconds,
                    console_log=server.directory / "logs" / "console.log",
                )
                took = f" in {time.monotonic() - began:.0f} s" if name in started else ", as before"
                progress(f"{name}: ready on {LOOPBACK}:{server.port}{took}")
        return self.status()

    def down(self, *, progress: Progress = lambda _: None) -> ServersStatus:
        """Stops whatever runs; the data stays. Again is no mistake."""
        with self._alone(progress):
            for name in SERVER_NAMES:
                began = time.monotonic()
                was_running = self._process(name).stop(timeout_seconds=self._server(name).stop_timeout_seconds)
                took = f"stopped in {time.monotonic() - began:.0f} s" if was_running else "was not running"
                progress(f"{name}: {took}")
        return self.status()

    def status(self) -> ServersStatus:
        """How each of them is; asks each running one, and changes nothing."""
        kafka, opensearch, milvus = (self._status(name) for name in SERVER_NAMES)
        return ServersStatus(kafka=kafka, opensearch=opensearch, milvus=milvus)

    @property
    def _root(self) -> Path:
        return self.data_directory.resolve() / "servers"

    def _start(self, name: str, progress: Progress) -> bool:
        book = PortBook(self._root / "ports.json")
        process = self._process(name)
        wanted = self.options.wanted_ports[name]
        if process.running_pid() is not None and not self._ended_hanging(name, progress):
            if wanted not in (None, book.client_port(name)):
                raise Fatal(
                    f"{name} already runs on {LOOPBACK}:{book.client_port(name)}, not on {wanted}: "
                    "stop it first with `inver servers down`"
                )
            return False
        book.decide(name, wanted)
        launch = self._server(name).prepare(progress)
        process.start(launch)
        progress(f"{name}: starting")
        return True

    def _ended_hanging(self, name: str, progress: Progress) -> bool:
        """Ends a server that has been silent for long enough; True where it did."""
        server = self._server(name)
        process = self._process(name)
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while not server.is_ready():
            if process.age_seconds() < server.start_timeout_seconds:
                return False
            if time.monotonic() > give_up:
                progress(f"{name}: hangs, is ended")
                process.stop(timeout_seconds=server.stop_timeout_seconds)
                return True
            time.sleep(POLL_INTERVAL_SECONDS)
        return False

    def _status(self, name: str) -> ServerStatus:
        server = self._server(name)
        process = self._process(name)
        pid = process.running_pid()
        if pid is None:
            state = ServerState.STOPPED if process.identity() is None else ServerState.CRASHED
        elif server.is_ready():
            state = ServerState.RUNNING
        else:
            overdue = process.age_seconds() > server.start_timeout_seconds
            state = ServerState.HANGING if overdue else ServerState.STARTING
        return ServerStatus(
            name=name,
            state=state,
            address=f"{LOOPBACK}:{server.port}",
            pid=pid,
            log_directory=server.directory / "logs",
        )

    def _server(self, name: str) -> Server:
        book = PortBook(self._root / "ports.json")
        port = book.client_port(name)
        internal_port = book.internal_port(name)
        directory = self._root / name
        cache = self.cache_directory
        match name:
            case "kafka":
                heap = self.options.kafka_heap_mebibytes
                return KafkaServer(
                    directory=directory,
                    cache_directory=cache,
                    port=port,
                    controller_port=internal_port,
                    heap_mebibytes=heap,
                )
            case "opensearch":
                heap = self.options.opensearch_heap_mebibytes
                return OpenSearchServer(
                    directory=directory,
                    cache_directory=cache,
                    port=port,
                    transport_port=internal_port,
                    heap_mebibytes=heap,
                )
            case _:
                return MilvusServer(
                    directory=directory, cache_directory=cache, port=port, first_internal_port=internal_port
                )

    def _process(self, name: str) -> ServerProcess:
        return ServerProcess(name, self._root / name / "process.json")

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting: another `inver servers` is at work here")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def default_cache_directory(environment: Mapping[str, str]) -> Path:
    """The user's cache folder, where programs may be fetched again if it is cleared."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "inver" / "servers"
