"""One Apache Kafka broker, its own controller, on loopback ports."""

import base64
import socket
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from inver.servers.jars import class_path
from inver.servers.java import bundled_java, find_java
from inver.servers.ports import LOOPBACK
from inver.servers.process import Launch, write_atomically
from inver.servers.server import Progress
from schemas.errors import Fatal

_METADATA_API_KEY = 3
_METADATA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaServer:
    """A single node: every replication factor is 1, no topic appears by a mistyped name."""

    directory: Path
    cache_directory: Path
    port: int
    controller_port: int
    heap_mebibytes: int = 384
    name: str = "kafka"
    start_timeout_seconds: float = 240.0
    stop_timeout_seconds: float = 30.0

    def prepare(self, progress: Progress) -> Launch:
        """Fetches the jars, writes the configuration anew and formats the data folder where it is new."""
        runtime = bundled_java() or find_java()
        progress("kafka: looking for its jars")
        jars = class_path("kafka", self.cache_directory)
        properties = self.directory / "config" / "server.properties"
        logging = self.directory / "config" / "log4j2.properties"
        write_atomically(properties, self._properties())
        write_atomically(logging, _log4j2(self.directory / "logs" / "kafka.log"))
        java = (str(runtime.executable), f"-Dlog4j2.configurationFile={logging}", "-cp", jars)
        if not (self.directory / "data" / "meta.properties").exists():
            self._format((*java, "kafka.tools.StorageTool"), properties)
        heap = (f"-Xmx{self.heap_mebibytes}m", "-Xms128m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50")
        return Launch(
            command=(java[0], *heap, *java[1:], "kafka.Kafka", str(properties)),
            working_directory=self.directory,
            console_log=self.directory / "logs" / "console.log",
        )

    def is_ready(self) -> bool:
        """Whether it lists itself as a live broker: listening alone comes before it may take topics."""
        body = struct.pack(">hhihi", _METADATA_API_KEY, _METADATA_VERSION, 1, -1, 0)
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1.0) as connection:
                connection.sendall(struct.pack(">i", len(body)) + body)
                with connection.makefile("rb") as answer:
                    _size, _correlation, broker_count = struct.unpack(">iii", answer.read(12))
        except (OSError, struct.error):
            return False
        return bool(broker_count >= 1)

    def _format(self, tool: tuple[str, ...], properties: Path) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        done = subprocess.run(
            [*tool, "format", "--standalone", "--cluster-id", cluster_id, "--config", str(properties)],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode != 0:
            raise Fatal(f"kafka's data folder {self.directory / 'data'} can't be formatted: {done.stdout}{done.stderr}")

    def _properties(self) -> str:
        listeners = f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            # 50 and 50 by default: 100 folders and files on every laptop for one consumer.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A first member waits 3 s for others by default, at every start.
            "group.initial.rebalance.delay.ms": "0",
            # Each open segment's indexes are allocated whole: 2 x 10 MiB a partition by default.
            "log.index.size.max.bytes": "1048576",
            "log.segment.bytes": "67108864",
            "log.cleaner.dedupe.buffer.size": "16777216",
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def _log4j2(log_file: Path) -> str:
    return f"""status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log_file}
appender.file.filePattern = {log_file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
logger.kafka.name = kafka.server.KafkaRaftServer
logger.kafka.level = info
"""
