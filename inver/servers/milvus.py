"""One Milvus standalone server, with its own metadata store and message queue inside."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from inver.servers.milvus_wheel import unpack
from inver.servers.ports import LOOPBACK
from inver.servers.probe import http_get
from inver.servers.process import Launch, write_atomically
from inver.servers.server import Progress

#: One port each, besides the one for clients.
INTERNAL_PORTS = (
    "proxy",
    "rootCoord",
    "queryCoord",
    "queryNode",
    "indexNode",
    "dataCoord",
    "dataNode",
    "etcd",
    "etcd_peer",
    "metrics",
)
_COMPONENTS = ("rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusServer:
    """The server binary of the Milvus wheel, run as it is, without the wheel's own Python starter."""

    directory: Path
    cache_directory: Path
    port: int
    #: The first of as many neighbouring ports as INTERNAL_PORTS has names.
    first_internal_port: int
    #: A read with Strong consistency waits for about two ticks. Measured on 2 cores, median of a Strong query and
    #: idle use of one core: 200 ms (Milvus' default) 390 ms and 3 %, 50 ms 94 ms and 7 %, 20 ms 35 ms and 18 %.
    time_tick_interval_milliseconds: int = 50
    name: str = "milvus"
    start_timeout_seconds: float = 240.0
    #: Asked to end, Milvus 2.3 closes its coordinators and then waits for them without end, or panics: more time is
    #: of no use. What it acknowledged is in its message queue and metadata store, from where the next start reads it.
    stop_timeout_seconds: float = 2.0

    def prepare(self, progress: Progress) -> Launch:
        """Unpacks the program, once, and writes the configuration anew."""
        progress("milvus: looking for its program")
        programs = unpack(self.cache_directory)
        config = self.directory / "config"
        # JSON is YAML, and escapes paths by itself.
        write_atomically(config / "milvus.yaml", json.dumps(self._settings(), indent=1) + "\n")
        write_atomically(config / "etcd.yaml", json.dumps(self._etcd_settings(), indent=1) + "\n")
        write_atomically(
            config / "glog.conf", f"--minloglevel=1\n--log_dir={self.directory / 'logs'}\n--max_log_size=16\n"
        )
        library_path = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
        return Launch(
            command=(str(programs / "milvus"), "run", "standalone"),
            environment={
                library_path: str(programs),
                "DEPLOY_MODE": "STANDALONE",
                "MILVUSCONF": str(config),
                "METRICS_PORT": str(self._internal_port("metrics")),
                "MILVUS_RUN_DIR": str(self.directory / "run"),
            },
            working_directory=self.directory,
            console_log=self.directory / "logs" / "console.log",
        )

    def is_ready(self) -> bool:
        """Whether every part is healthy and the proxy answers a request that passes through the coordinators."""
        return http_get(self._internal_port("metrics"), "/healthz") == b"OK" and b'"code":200' in http_get(
            self.port, "/v1/vector/collections"
        )

    def _internal_port(self, name: str) -> int:
        return self.first_internal_port + INTERNAL_PORTS.index(name)

    def _settings(self) -> dict[str, object]:
        data = self.directory / "data"
        logs = self.directory / "logs"
        components = {name: {"ip": LOOPBACK, "port": self._internal_port(name)} for name in _COMPONENTS}
        return {
            "etcd": {
                "endpoints": f"{LOOPBACK}:{self._internal_port('etcd')}",
                "rootPath": "inver",
                "use": {"embed": True},
                "data": {"dir": str(data / "etcd")},
                "config": {"path": str(self.directory / "config" / "etcd.yaml")},
                "log": {"level": "warn", "path": str(logs / "etcd.log")},
            },
            "metastore": {"type": "etcd"},
            "mq": {"type": "rocksmq"},
            "rocksmq": {"path": str(data / "rocksmq")},
            "localStorage": {"path": str(data / "storage")},
            "log": {
                "level": "warn",
                "stdout": False,
                "file": {"rootPath": str(logs), "maxSize": 16, "maxBackups": 3},
            },
            # A start takes over from the last one when that one's sessions run out. Measured until rows could be read:
            # 54 s at 30 s (Milvus' default), 15 s at 10 s; below, a stall of a few seconds would end a good session.
            "common": {"storageType": "local", "session": {"ttl": 10}},
            "proxy": {
                "ip": LOOPBACK,
                "port": self.port,
                "internalPort": self._internal_port("proxy"),
                "timeTickInterval": self.time_tick_interval_milliseconds,
                "http": {"enabled": True},
            },
            **components,
            "queryNode": {
                **components["queryNode"],
                # Rows that have no index yet are searched exactly: an interim index would look into 16 of 128 lists.
                "segcore": {"interimIndex": {"enableIndex": False}},
            },
        }

    def _etcd_settings(self) -> dict[str, object]:
        peer = f"http://{LOOPBACK}:{self._internal_port('etcd_peer')}"
        client = f"http://{LOOPBACK}:{self._internal_port('etcd')}"
        return {
            "name": "default",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            # Every write is a revision; never compacted, they reach the quota in weeks and Milvus stops.
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
        }
