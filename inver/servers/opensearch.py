"""One OpenSearch node, with the modules of a normal installation, on loopback ports."""

import json
from dataclasses import dataclass
from pathlib import Path

from inver.servers.jars import class_path
from inver.servers.java import find_java
from inver.servers.ports import LOOPBACK
from inver.servers.probe import http_get
from inver.servers.process import Launch, write_atomically
from inver.servers.server import Progress
from schemas.errors import Fatal

#: The runner looks for a free HTTP port from the one it is given up to this one, and has no option to go further.
HIGHEST_HTTP_PORT = 9299

#: Without the Thai dictionary in this module the node starts and then refuses every index.
_LOCALE_DATA = frozenset({"jdk.localedata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSearchServer:
    """A single node without the security plug-in; no index appears by a mistyped name."""

    directory: Path
    cache_directory: Path
    port: int
    transport_port: int
    heap_mebibytes: int = 1024
    name: str = "opensearch"
    start_timeout_seconds: float = 240.0
    stop_timeout_seconds: float = 60.0

    def prepare(self, progress: Progress) -> Launch:
        """Finds a Java with locale data, fetches the jars and writes the configuration anew."""
        if self.port > HIGHEST_HTTP_PORT:
            raise Fatal(
                f"opensearch can't use port {self.port}: the highest that its runner takes is {HIGHEST_HTTP_PORT}"
            )
        runtime = find_java(_LOCALE_DATA)
        progress("opensearch: looking for its jars")
        jars = class_path("opensearch", self.cache_directory)
        config = self.directory / "config"
        # JSON is YAML, and escapes paths by itself.
        write_atomically(config / "opensearch.yml", json.dumps(self._settings(), indent=1) + "\n")
        write_atomically(config / "log4j2.properties", _LOG4J2)
        vectors = ("--add-modules", "jdk.incubator.vector") if "jdk.incubator.vector" in runtime.modules else ()
        java = (
            str(runtime.executable),
            f"-Xms{self.heap_mebibytes}m",
            f"-Xmx{self.heap_mebibytes}m",
            "-XX:+UseG1GC",
            "-XX:+ExitOnOutOfMemoryError",
            "--enable-native-access=ALL-UNNAMED",
            *vectors,
            "-cp",
            jars,
        )
        return Launch(
            command=(*java, "org.codelibs.opensearch.runner.OpenSearchRunner", *self._runner_options()),
            working_directory=self.directory,
            console_log=self.directory / "logs" / "console.log",
        )

    def is_ready(self) -> bool:
        """Whether its indexes can be read and written."""
        health = http_get(self.port, "/_cluster/health")
        # Yellow, not green: an index with a replica never turns green on one node.
        return bool(health) and json.loads(health).get("status") in ("green", "yellow")

    def _runner_options(self) -> tuple[str, ...]:
        return (
            *("-basePath", str(self.directory)),
            *("-confPath", str(self.directory / "config")),
            *("-dataPath", str(self.directory / "data")),
            *("-logsPath", str(self.directory / "logs")),
            *("-clusterName", "inver"),
            *("-numOfNode", "1"),
            # It counts its first node as number 1 and takes the port after this one.
            *("-baseHttpPort", str(self.port - 1)),
        )

    def _settings(self) -> dict[str, object]:
        return {
            "discovery.type": "single-node",
            "network.host": LOOPBACK,
            "transport.port": str(self.transport_port),
            "action.auto_create_index": False,
            # As free space, not as a share: 85 % of a large disk is no reason to refuse writes.
            "cluster.routing.allocation.disk.watermark.low": "2gb",
            "cluster.routing.allocation.disk.watermark.high": "1gb",
            "cluster.routing.allocation.disk.watermark.flood_stage": "500mb",
        }


_LOG4J2 = """status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:opensearch.logs.base_path}${sys:file.separator}opensearch.log
appender.file.filePattern = ${sys:opensearch.logs.base_path}${sys:file.separator}opensearch.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""
