"""What every server has in common: a name, its ports, how to run it and how to tell that it serves."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from inver.servers.process import Launch

#: Receives one line at a time for whoever waits, such as "kafka: ready on 127.0.0.1:9092 in 4 s".
Progress = Callable[[str], None]


class Server(Protocol):
    """One server in one directory. Nothing here remembers state: the directory and the process do."""

    @property
    def name(self) -> str:
        """One word, as people type it."""
        ...

    @property
    def port(self) -> int:
        """The port that clients use."""
        ...

    @property
    def directory(self) -> Path:
        """Where its configuration, data and logs are."""
        ...

    @property
    def start_timeout_seconds(self) -> float:
        """How long a start may take before it counts as failed."""
        ...

    @property
    def stop_timeout_seconds(self) -> float:
        """How long it gets to end by itself before it is ended."""
        ...

    def prepare(self, progress: Progress) -> Launch:
        """Fetches what is missing and writes the configuration; data that is there stays. Blocks; raises Fatal."""
        ...

    def is_ready(self) -> bool:
        """Whether it answers a real request. Blocks for a second at most; never raises."""
        ...
