"""Remembers which ports the servers of one data directory use, and chooses those that are not decided yet."""

import json
from collections.abc import Mapping
from pathlib import Path

from inver.servers.milvus import INTERNAL_PORTS
from inver.servers.opensearch import HIGHEST_HTTP_PORT
from inver.servers.ports import LOOPBACK, free_port, is_free
from inver.servers.process import write_atomically
from schemas.errors import Fatal

#: What clients use, and where the search for a free port begins.
CLIENT_PORTS: Mapping[str, int] = {"kafka": 9092, "opensearch": 9200, "milvus": 19530}
_HIGHEST: Mapping[str, int] = {"opensearch": HIGHEST_HTTP_PORT}

#: What a server uses for itself: its name, how far from the clients' port it is looked for, how many are needed.
_INTERNAL_PORTS: Mapping[str, tuple[str, int, int]] = {
    "kafka": ("kafka_controller", 1, 1),
    "opensearch": ("opensearch_transport", 100, 1),
    "milvus": ("milvus_internal", 1, len(INTERNAL_PORTS)),
}


class PortBook:
    """The ports of one data directory, in a file.

    Invariant: a port for clients, once recorded, only changes when someone names another: clients have it in their
    settings.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recorded(self) -> Mapping[str, int]:
        """Every port that was decided so far, by its name."""
        try:
            return {str(name): int(port) for name, port in json.loads(self._path.read_text(encoding="utf-8")).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            raise Fatal(f"{self._path} does not hold ports ({error}): remove it, and name the ports anew") from error

    def client_port(self, server: str) -> int:
        """Where clients find this server: the recorded port, else the usual one."""
        return self.recorded().get(server, CLIENT_PORTS[server])

    def internal_port(self, server: str) -> int:
        """The first port that this server uses for itself."""
        name, distance, _ = _INTERNAL_PORTS[server]
        return self.recorded().get(name, self.client_port(server) + distance)

    def decide(self, server: str, wanted: int | None) -> None:
        """Records the ports that this server is about to use; it must not run yet. Raises Fatal where one is taken."""
        recorded = self.recorded()
        fixed = recorded.get(server) if wanted is None else wanted
        if fixed is not None and not is_free(fixed):
            raise Fatal(
                f"{server} can't use {LOOPBACK}:{fixed}: another process listens there; "
                f"end it, or name another port for {server}"
            )
        port = free_port(CLIENT_PORTS[server], last=_HIGHEST.get(server, 65535)) if fixed is None else fixed
        name, distance, neighbours = _INTERNAL_PORTS[server]
        internal_port = free_port(recorded.get(name, port + distance), neighbours=neighbours)
        write_atomically(self._path, json.dumps({**recorded, server: port, name: internal_port}, indent=1) + "\n")
