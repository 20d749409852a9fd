"""Owning a process: it outlives its starter, is recognised by pid and start time, and always ends."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inver.servers.process import Launch, ServerProcess
from schemas.errors import Fatal

LINGER = ("sleep", "300")
#: Announces itself and ignores the polite request to end.
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w').close(); time.sleep(300)",
)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess("lingerer", tmp_path / "process.json")
    yield process
    process.stop(timeout_seconds=0.1)


def launch(folder: Path, command: tuple[str, ...]) -> Launch:
    return Launch(command=command, working_directory=folder, console_log=folder / "logs" / "console.log")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_a_started_process_runs_until_it_is_stopped(process: ServerProcess, tmp_path: Path) -> None:
    pid = process.start(launch(tmp_path, LINGER))

    assert process.running_pid() == pid
    assert process.stop(timeout_seconds=10) is True
    assert not is_alive(pid)
    assert process.running_pid() is None


def test_stopping_again_is_no_mistake(process: ServerProcess, tmp_path: Path) -> None:
    process.start(launch(tmp_path, LINGER))
    process.stop(timeout_seconds=10)

    assert process.stop(timeout_seconds=10) is False


def test_a_process_outlives_the_program_that_started_it(process: ServerProcess, tmp_path: Path) -> None:
    starter = (
        "import pathlib, sys; from inver.servers.process import *; folder = pathlib.Path(sys.argv[1]);"
        "ServerProcess('lingerer', folder / 'process.json').start(Launch(command=('sleep', '300'), "
        "working_directory=folder, console_log=folder / 'console.log'))"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", starter, str(tmp_path)], check=True, cwd=root, start_new_session=True)

    assert process.running_pid() is not None


def test_a_process_that_ignores_sigterm_is_killed(process: ServerProcess, tmp_path: Path) -> None:
    pid = process.start(launch(tmp_path, STUBBORN))
    wait_for((tmp_path / "up").exists)

    assert process.stop(timeout_seconds=0.2) is True
    assert not is_alive(pid)


def test_a_recycled_pid_is_never_killed(process: ServerProcess, tmp_path: Path) -> None:
    """The file names a pid that now belongs to another process: the server counts as gone, the other one lives on."""
    with subprocess.Popen(LINGER) as stranger:
        identity = {"pid": stranger.pid, "began": "another-boot:1"}
        (tmp_path / "process.json").write_text(json.dumps(identity), encoding="utf-8")

        assert process.running_pid() is None
        assert process.stop(timeout_seconds=1) is False
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_that_ended_by_itself_is_told_from_one_that_was_stopped(
    process: ServerProcess, tmp_path: Path
) -> None:
    pid = process.start(launch(tmp_path, LINGER))
    os.kill(pid, 9)
    wait_for(lambda: process.running_pid() is None)

    assert process.identity() is not None
    process.stop(timeout_seconds=1)
    assert process.identity() is None


def test_a_start_that_fails_tells_the_last_words(process: ServerProcess, tmp_path: Path) -> None:
    start = launch(tmp_path, ("sh", "-c", "echo the data folder is locked; exit 3"))
    process.start(start)

    with pytest.raises(Fatal, match=r"ended while starting.*\n.*the data folder is locked"):
        process.wait_until(lambda: False, timeout_seconds=10, console_log=start.console_log)


def test_a_start_that_takes_too_long_says_what_to_do(process: ServerProcess, tmp_path: Path) -> None:
    start = launch(tmp_path, LINGER)
    process.start(start)

    with pytest.raises(Fatal, match=r"not ready after 0\.1 s"):
        process.wait_until(lambda: False, timeout_seconds=0.1, console_log=start.console_log)


def test_variables_of_the_caller_stay_outside(
    process: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus reads any variable as a setting."""
    monkeypatch.setenv("LOG_LEVEL", "trace")
    process.start(launch(tmp_path, ("sh", "-c", "env; exec sleep 300")))
    console_log = tmp_path / "logs" / "console.log"
    wait_for(lambda: "PATH=" in console_log.read_text(encoding="utf-8"))

    assert "LOG_LEVEL" not in console_log.read_text(encoding="utf-8")


def test_the_console_of_the_start_before_is_kept(process: ServerProcess, tmp_path: Path) -> None:
    start = launch(tmp_path, ("sh", "-c", "echo first words"))
    process.start(start)
    wait_for(lambda: "first words" in start.console_log.read_text(encoding="utf-8"))
    process.start(launch(tmp_path, LINGER))

    assert (tmp_path / "logs" / "console.previous.log").read_text(encoding="utf-8") == "first words\n"
