"""`inver` as a person starts it: the installed command in a process of its own, and a service that outlives a call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INVER = Path(sys.executable).with_name("inver")
DEADLINE_SECONDS = 60.0


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of this machine's own Inver counts, with the model that is none."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("INVER_")}
    chosen = {"INVER_EMBEDDING__MODEL": "hash", "INVER_CACHE_DIRECTORY": str(home / "cache"), "HOME": str(home)}
    return own | chosen | (extra or {})


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what ``--json`` printed: one document and nothing else."""
        line, end = self.out.split("\n")
        assert end == ""
        return json.loads(line)

    def sentence(self, code: int) -> str:
        """Return the one sentence that a mistake got, after checking that it is one and how the command ended."""
        assert self.code == code, self
        assert "Traceback" not in self.err, self
        assert self.out == "", self
        lines = self.err.splitlines()
        if code == 2:
            assert lines[0].startswith("Usage: "), self
            assert lines[-1].startswith("Error: "), self
            return lines[-1]
        assert len(lines) == 1, self
        assert lines[0].startswith("inver: "), self
        return lines[0].removeprefix("inver: ")


@dataclass(frozen=True)
class CommandLine:
    """A folder to work in, with a data directory ``data`` of its own."""

    home: Path

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.home / "data"

    def __call__(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> Outcome:
        """Run one command to its end."""
        started = self.start(*arguments, env=env, data=data)
        out, err = started.communicate(stdin, timeout=DEADLINE_SECONDS)
        return Outcome(started.returncode, out.decode(), err.decode())

    def start(
        self, *arguments: str | bytes, env: Mapping[str, str] | None = None, data: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one command and return at once."""
        chosen = {"INVER_DATA_DIRECTORY": str(data if data is not None else self.data)} | dict(env or {})
        return subprocess.Popen(
            [INVER, *arguments],
            cwd=self.home,
            env=environment(self.home, chosen),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @contextmanager
    def service(
        self, *arguments: str, env: Mapping[str, str] | None = None, data: Path | None = None
    ) -> Iterator[Service]:
        """Run a command that stays; whatever happens, it is gone at the end."""
        chosen = {"INVER_DATA_DIRECTORY": str(data if data is not None else self.data)} | dict(env or {})
        log = self.home / f"service-{time.monotonic_ns()}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [INVER, *arguments],
                cwd=self.home,
                env=environment(self.home, chosen),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            yield Service(process, log)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def up(self, *paths: str, env: Mapping[str, str] | None = None) -> Iterator[Service]:
        """Run ``inver up`` on a free port, and go on when it listens."""
        with self.service("up", *paths, "--port", "0", env=env) as service:
            service.url()
            yield service


@dataclass(frozen=True)
class Service:
    """A running ``inver up`` or ``inver run``."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Return everything it has said so far."""
        return self.log.read_text()

    def url(self) -> str:
        """Wait until it listens and return where."""
        return self.wait_to_say("listening on ").split()[0]

    def wait_to_say(self, words: str) -> str:
        """Wait until it has said something and return the rest of that line."""

        def heard() -> str | None:
            assert self.process.poll() is None or words in self.said(), self.said()
            for line in self.said().splitlines():
                if words in line:
                    return line.partition(words)[2] or words
            return None

        return wait_for(heard, f"the service to say {words!r}; it said:\n{self.said()}")

    def end(self, name: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, and return how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(name)
        self.process.wait(DEADLINE_SECONDS)
        return time.monotonic() - started


def wait_for(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Ask until the answer is truthy; fail with what was waited for when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.03)
    return answer
