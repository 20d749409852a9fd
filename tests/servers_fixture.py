"""The fixtures `servers`, `kafka_server`, `opensearch_server`, `milvus_server`: real servers, started when asked for.

INVER_TEST_SERVERS names a data directory whose servers already run; they are used and left running.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inver.servers.cluster import SERVER_NAMES, ServerOptions, Servers, ServersStatus, ServerState, ServerStatus
from inver.servers.ports import free_port
from schemas.errors import Fatal

#: Brings up the named servers and tells how all are.
BringUp = Callable[[tuple[str, ...]], ServersStatus]


def unusual_ports() -> ServerOptions:
    """Free ports below those that the system hands out by itself, and apart from other test runs."""
    shift = random.randrange(100)
    return ServerOptions(
        kafka_port=free_port(20000 + 100 * shift),
        # The range that OpenSearch's runner allows ends at 9299.
        opensearch_port=free_port(8300 + 8 * shift, last=9199),
        milvus_port=free_port(20050 + 100 * shift),
        opensearch_heap_mebibytes=512,
    )


def refuse(reason: str) -> None:
    """Skips where a person works, so that the rest can be tested; fails in CI, where a skip would pass unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def _bring_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BringUp]:
    existing = os.environ.get("INVER_TEST_SERVERS")
    if existing:
        yield lambda names: _found(Servers(Path(existing)), names)
        return
    servers = Servers(tmp_path_factory.mktemp("servers"), options=unusual_ports())
    try:
        yield lambda names: _started(servers, names)
    finally:
        servers.down()


def _found(servers: Servers, names: tuple[str, ...]) -> ServersStatus:
    status = servers.status()
    silent = [server.name for server in status if server.name in names and server.state is not ServerState.RUNNING]
    if silent:
        refuse(f"INVER_TEST_SERVERS names {servers.data_directory}, where {', '.join(silent)} does not run")
    return status


def _started(servers: Servers, names: tuple[str, ...]) -> ServersStatus:
    try:
        return servers.up(names=names)
    except Fatal as error:
        refuse(f"{', '.join(names)} can't be started: {error}")
        raise


@pytest.fixture(scope="session")
def servers(_bring_up: BringUp) -> ServersStatus:
    """Kafka, OpenSearch and Milvus, all of them answering."""
    return _bring_up(SERVER_NAMES)


@pytest.fixture(scope="session")
def kafka_server(_bring_up: BringUp) -> ServerStatus:
    """A Kafka broker; `address` is what clients call bootstrap_servers."""
    return _bring_up(("kafka",)).kafka


@pytest.fixture(scope="session")
def opensearch_server(_bring_up: BringUp) -> ServerStatus:
    """An OpenSearch node; `address` is its host and port, without http://."""
    return _bring_up(("opensearch",)).opensearch


@pytest.fixture(scope="session")
def milvus_server(_bring_up: BringUp) -> ServerStatus:
    """A Milvus server; `address` is its host and port, without http://."""
    return _bring_up(("milvus",)).milvus
