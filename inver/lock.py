"""One process per embedded data directory: a lock, and the address at which its owner can be asked."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import uuid
from pathlib import Path
from typing import IO, Final

from schemas.errors import Fatal

_LOCK_FILE: Final = "inver.lock"
_NODE_FILE: Final = "node"
_ADDRESS_FILE: Final = "inver.address.json"
#: Two short commands one after the other must not collide.
_WAIT_SECONDS: Final = 10.0


class DataDirectoryLock:
    """Held by the process that has the directory's files open. The kernel frees it however that process ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Wait a little for the lock. Raises Fatal naming the process that has it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        file = (self._directory / _LOCK_FILE).open("a+")
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    file.close()
                    raise Fatal(
                        f"data directory {self._directory} is on a file system that cannot lock files "
                        f"({error.strerror}): choose another --data-dir"
                    ) from None
                if time.monotonic() >= deadline:
                    file.seek(0)
                    owner = file.read().strip() or "unknown"
                    file.close()
                    raise Fatal(
                        f"data directory {self._directory} is in use by process {owner}: wait for it, stop it, "
                        "or choose another --data-dir"
                    ) from None
                time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Free the lock; harmless when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


def publish_address(directory: Path, url: str) -> None:
    """Tell other commands where the process that serves this directory can be asked."""
    target = directory / _ADDRESS_FILE
    draft = target.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    draft.replace(target)


def withdraw_address(directory: Path) -> None:
    """Take the address back, if it is this process's own."""
    target = directory / _ADDRESS_FILE
    if _read(target).get("pid") == os.getpid():
        target.unlink(missing_ok=True)


def published_address(directory: Path) -> str | None:
    """Return the URL of the process that serves this directory, or None when there is none alive."""
    published = _read(directory / _ADDRESS_FILE)
    pid, url = published.get("pid"), published.get("url")
    if not isinstance(pid, int) or not isinstance(url, str):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return url
    return url


def node_name(directory: Path) -> str:
    """Return a name for whoever works on this directory, made once: each node reads all facts about documents."""
    target = directory / _NODE_FILE
    if not target.exists():
        draft = target.with_suffix(f".{os.getpid()}")
        draft.write_text(uuid.uuid4().hex[:12])
        try:
            # Of two processes that start together, both must get the same name.
            os.link(draft, target)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return target.read_text().strip()


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
