"""A real `inver up` in a process of its own: started, asked, weighed, stopped and killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

import psutil

from benchmarks.common import INVER, Place
from inver.client import RemoteClient
from inver.lock import published_address

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 30.0
_MEBIBYTE: Final = 1024**2


@dataclass(slots=True)
class Service:
    """One running process, and the address at which it can be asked."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def client(self) -> RemoteClient:
        """Return a client for it."""
        return RemoteClient(self.url)

    def rss_mebibytes(self) -> float:
        """Return the memory it holds, with that of children it may have."""
        process = psutil.Process(self.process.pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family) / _MEBIBYTE

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end; it finishes what it is doing. A process that does not is killed."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def start_service(place: Place) -> Service:
    """Start `inver up` and return when it listens. Raises RuntimeError with the end of its log where it does not."""
    log_path = place.directory / "up.log"
    with log_path.open("ab") as log:
        process = _launch(place, log)
    deadline = time.monotonic() + _START_SECONDS
    while (url := published_address(place.directory)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"`inver up` does not listen:\n{log_path.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.05)
    return Service(process, url)


@contextmanager
def running_service(place: Place) -> Iterator[Service]:
    """Run `inver up` for as long as this lasts."""
    service = start_service(place)
    try:
        yield service
    finally:
        service.stop()


def _launch(place: Place, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [INVER, "up", *place.flags(), "--port", "0"]
    return subprocess.Popen(command, env=place.environment(), stdout=log, stderr=log, cwd=place.directory)
