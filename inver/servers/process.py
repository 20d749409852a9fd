"""Owns one server process: starts it detached, recognises it again by pid and start time, waits for it, stops it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from schemas.errors import Fatal

POLL_INTERVAL_SECONDS = 0.05

#: The shell goes away at once and leaves the server to init: it survives whoever started it, and needs no wait().
_DETACH = 'cd "$1" || exit 1; log=$2; shift 2; "$@" </dev/null >"$log" 2>&1 & echo $!'


#: What a server inherits. Milvus takes any variable for a setting (LOG_LEVEL, PROXY_PORT): ours must not leak in.
_INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to run, and where its standard output and error go."""

    command: tuple[str, ...]
    #: Besides the few variables that every server inherits.
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path
    console_log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A pid and when that process began, so that a recycled pid is never taken for the server."""

    pid: int
    began: str


class ServerProcess:
    """One server's process, remembered in a file.

    Invariant: a signal is only ever sent to a process whose pid and start time both match the file.
    """

    def __init__(self, name: str, identity_file: Path) -> None:
        self._name = name
        self._identity_file = identity_file

    def identity(self) -> ProcessIdentity | None:
        """The process that was started last, running or not; None where none was, or it was stopped on purpose."""
        try:
            fields = json.loads(self._identity_file.read_text(encoding="utf-8"))
            return ProcessIdentity(pid=int(fields["pid"]), began=str(fields["began"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise Fatal(
                f"{self._identity_file} does not say which process {self._name} is ({error}): "
                f"look whether {self._name} still runs, end it, and remove that file"
            ) from error

    def running_pid(self) -> int | None:
        """The server's pid while it is alive, else None."""
        identity = self.identity()
        if identity is None or _began(identity.pid) != identity.began:
            return None
        return identity.pid

    def age_seconds(self) -> float:
        """How long ago the server was started last; 0 where there is no telling."""
        try:
            return max(0.0, time.time() - self._identity_file.stat().st_mtime)
        except FileNotFoundError:
            return 0.0

    def start(self, launch: Launch) -> int:
        """Starts the server in its own session; it outlives the caller, who has checked that it isn't running."""
        self._identity_file.unlink(missing_ok=True)
        launch.console_log.parent.mkdir(parents=True, exist_ok=True)
        if launch.console_log.exists():
            launch.console_log.replace(launch.console_log.with_suffix(".previous.log"))
        shell = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", str(launch.working_directory), str(launch.console_log), *launch.command],
            env={**_inherited(), **launch.environment},
            start_new_session=True,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        pid = int(shell.stdout)
        began = _began(pid)
        if began is not None:
            identity = ProcessIdentity(pid=pid, began=began)
            write_atomically(self._identity_file, json.dumps(asdict(identity)) + "\n")
        return pid

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float, console_log: Path) -> None:
        """Returns when `is_ready()`; raises Fatal when the server ends first or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if self.running_pid() is None:
                raise Fatal(
                    f"{self._name} ended while starting; its last words, from {console_log}:\n{_tail(console_log)}"
                )
            if time.monotonic() > deadline:
                raise Fatal(
                    f"{self._name} is not ready after {timeout_seconds:g} s, and still starting: look into "
                    f"{console_log.parent}, then wait for it with the same command again, or stop it. "
                    f"Its last words:\n{_tail(console_log)}"
                )
            time.sleep(POLL_INTERVAL_SECONDS)

    def stop(self, *, timeout_seconds: float) -> bool:
        """Ends the server, by SIGTERM and past the time-out by SIGKILL; False where it wasn't running."""
        pid = self.running_pid()
        if pid is not None:
            for number, patience_seconds in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, 10.0)):
                if self._signal_and_wait(pid, number, patience_seconds):
                    break
            else:
                raise Fatal(f"{self._name} (pid {pid}) does not end, not even by SIGKILL: look at it with ps")
        self._identity_file.unlink(missing_ok=True)
        return pid is not None

    def _signal_and_wait(self, pid: int, number: signal.Signals, patience_seconds: float) -> bool:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + patience_seconds
        while self.running_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_INTERVAL_SECONDS)
        return True


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file whole, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _began(pid: int) -> str | None:
    """When the process began, in the system's own words; None where it is gone or only a zombie of itself."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _began_by_ps(pid)
    # The command name, in brackets, may itself hold blanks and brackets; what follows it does not.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot()}:{start_ticks}"


def _boot() -> str:
    # Ticks count from the boot: after another boot an unrelated process may have the same pid and the same ticks.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown-boot"


def _began_by_ps(pid: int) -> str | None:
    listing = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, check=False, text=True
    )
    state, _, began = listing.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()


def _tail(path: Path, line_count: int = 15) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-line_count:])
    except FileNotFoundError:
        return "(nothing)"
