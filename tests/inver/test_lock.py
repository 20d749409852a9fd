"""One process per data directory: the lock goes with its process, and the address is only ever a living one's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inver import lock
from inver.lock import DataDirectoryLock, node_name, publish_address, published_address, withdraw_address
from schemas.errors import Fatal

ROOT = Path(__file__).parents[2]
_HOLD = """
import sys
from pathlib import Path
from inver.lock import DataDirectoryLock
lock = DataDirectoryLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch):
    """Nobody waits long for a lock here."""
    monkeypatch.setattr(lock, "_WAIT_SECONDS", 0.2)


async def holder(directory: Path) -> asyncio.subprocess.Process:
    """Start a process that has the lock."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _HOLD,
        str(directory),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"held\n"
    return process


@pytest.mark.usefixtures("impatient")
async def test_a_second_process_is_refused_with_the_firsts_number(tmp_path: Path):
    """The sentence says who has the directory and what to do."""
    process = await holder(tmp_path)
    try:
        with pytest.raises(Fatal, match=rf"in use by process {process.pid}: .*--data-dir"):
            DataDirectoryLock(tmp_path).acquire()
    finally:
        process.kill()
        await process.wait()


@pytest.mark.usefixtures("impatient")
async def test_a_killed_process_leaves_the_lock_free(tmp_path: Path):
    """No file has to be removed by hand after a crash."""
    process = await holder(tmp_path)
    process.kill()
    await process.wait()

    second = DataDirectoryLock(tmp_path)
    second.acquire()
    second.release()


@pytest.mark.usefixtures("impatient")
def test_the_lock_is_free_after_its_release(tmp_path: Path):
    """Also within one process; releasing twice is harmless."""
    first, second = DataDirectoryLock(tmp_path / "new" / "deep"), DataDirectoryLock(tmp_path / "new" / "deep")
    first.acquire()
    with pytest.raises(Fatal, match=f"in use by process {os.getpid()}"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_short_commands_wait_for_each_other(tmp_path: Path):
    """One that comes while another is about to end gets the lock then."""
    first, second = DataDirectoryLock(tmp_path), DataDirectoryLock(tmp_path)
    first.acquire()
    waiting = threading.Thread(target=second.acquire)
    waiting.start()
    first.release()
    waiting.join(10)

    assert not waiting.is_alive()
    second.release()


def test_an_address_is_that_of_a_living_process(tmp_path: Path):
    """It is found while its process lives, and taken back in the end."""
    assert published_address(tmp_path) is None
    publish_address(tmp_path, "http://127.0.0.1:1")
    assert published_address(tmp_path) == "http://127.0.0.1:1"
    withdraw_address(tmp_path)
    withdraw_address(tmp_path)

    assert published_address(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_a_process_that_is_gone_does_not_count(tmp_path: Path):
    """A crash leaves the file behind."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    publish_address(tmp_path, "http://127.0.0.1:1")
    file = next(tmp_path.iterdir())
    file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": int(gone.stdout)}))

    assert published_address(tmp_path) is None


def test_another_processes_address_is_left_alone(tmp_path: Path):
    """Who starts and fails must not hide the one that serves."""
    publish_address(tmp_path, "http://127.0.0.1:1")
    file = next(tmp_path.iterdir())
    file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getppid()}))

    withdraw_address(tmp_path)

    assert published_address(tmp_path) == "http://127.0.0.1:1"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": "1", "url": "u"}', b'{"pid": 1}'])
def test_a_file_that_says_nothing_is_no_address(tmp_path: Path, content: bytes):
    """Whatever a full disk or a stranger left there."""
    publish_address(tmp_path, "http://127.0.0.1:1")
    next(tmp_path.iterdir()).write_bytes(content)

    assert published_address(tmp_path) is None


def test_a_directory_keeps_its_name(tmp_path: Path):
    """Whoever works on it reads on where the last one stopped; another directory is another node."""
    name = node_name(tmp_path)

    assert node_name(tmp_path) == name
    (tmp_path / "other").mkdir()
    assert node_name(tmp_path / "other") != name
