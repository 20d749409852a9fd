"""Real servers of one data directory: up, down, killed and up again, with their data, leaving no process behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opensearchpy import OpenSearch
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from inver.servers.cluster import Servers, ServersStatus, ServerState, default_cache_directory
from schemas.errors import Fatal
from tests.servers_fixture import refuse, unusual_ports


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, options=unusual_ports())
    yield servers
    servers.down()


def up(servers: Servers, *names: str, lines: list[str] | None = None) -> ServersStatus:
    try:
        return servers.up(names=names, progress=(lines if lines is not None else []).append)
    except Fatal as error:
        refuse(str(error))
        raise


def states(status: ServersStatus) -> set[ServerState]:
    return {server.state for server in status}


def processes_below(folder: Path) -> list[int]:
    """Every process whose command line names the folder, whoever its parent is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = str(folder).encode() in (entry / "cmdline").read_bytes()
            works_there = (entry / "cwd").resolve().is_relative_to(folder)
        except OSError:
            continue
        if named or works_there:
            found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool], *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


async def write_record(address: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        await producer.send_and_wait("kept", b"a record")


async def read_record(address: str) -> bytes | None:
    async with AIOKafkaConsumer("kept", bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        return (await consumer.getone()).value


def write_document(address: str) -> None:
    with OpenSearch([f"http://{address}"]) as client:
        client.indices.create(index="kept", body={"settings": {"number_of_replicas": 0}})
        client.index(index="kept", id="1", body={"text": "a document"})


def read_document(address: str) -> str:
    with OpenSearch([f"http://{address}"]) as client:
        return str(client.get(index="kept", id="1")["_source"]["text"])


def write_vector(address: str) -> None:
    client = MilvusClient(f"http://{address}", timeout=30)
    client.create_collection("kept", dimension=4, timeout=60)
    client.upsert("kept", [{"id": 7, "vector": [1.0, 0.0, 0.0, 0.0]}], timeout=30)
    client.close()


def read_vector(address: str) -> list[int]:
    """The ids found; none while Milvus still loads what it had loaded before it was killed."""
    client = MilvusClient(f"http://{address}", timeout=30)
    try:
        rows = client.query("kept", ids=[7], output_fields=["id"], consistency_level="Strong", timeout=10)
    except MilvusException:
        return []
    finally:
        client.close()
    return [row["id"] for row in rows]


@pytest.mark.timeout(600)
async def test_killed_servers_come_up_again_with_their_data_and_go_without_trace(own_servers: Servers) -> None:
    """Given data in all three, when each is killed, then `status` tells, `up` restores, `down` ends all processes."""
    lines: list[str] = []
    before = up(own_servers, "kafka", "opensearch", "milvus", lines=lines)
    assert before.all_running
    assert any(line.startswith(f"milvus: ready on {before.milvus.address} in ") for line in lines)
    await write_record(before.kafka.address)
    write_document(before.opensearch.address)
    write_vector(before.milvus.address)

    assert own_servers.up() == before, "a second up changes nothing"

    for server in before:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: states(own_servers.status()) == {ServerState.CRASHED}, timeout_seconds=20)

    after = own_servers.up()
    assert [server.address for server in before] == [server.address for server in after]
    assert await read_record(after.kafka.address) == b"a record"
    assert read_document(after.opensearch.address) == "a document"
    wait_for(lambda: read_vector(after.milvus.address) == [7], timeout_seconds=90)

    assert processes_below(own_servers.data_directory)
    assert states(own_servers.down()) == {ServerState.STOPPED}
    assert processes_below(own_servers.data_directory) == []


@pytest.mark.timeout(300)
async def test_one_server_alone_is_stopped_in_order_and_keeps_its_data(own_servers: Servers) -> None:
    first = up(own_servers, "kafka")
    await write_record(first.kafka.address)
    assert first.milvus.state is ServerState.STOPPED

    with pytest.raises(Fatal, match="kafka already runs on"):
        Servers(own_servers.data_directory, options=unusual_ports()).up(names=("kafka",))

    own_servers.down()
    lines: list[str] = []
    own_servers.down(progress=lines.append)
    assert "kafka: was not running" in lines

    assert await read_record(up(own_servers, "kafka").kafka.address) == b"a record"


def test_nothing_was_started_where_nobody_asked(tmp_path: Path) -> None:
    assert states(Servers(tmp_path).status()) == {ServerState.STOPPED}
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_server_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="no server 'redis': choose from kafka, opensearch, milvus"):
        Servers(tmp_path).up(names=("redis",))


def test_the_cache_follows_the_desktop_convention(tmp_path: Path) -> None:
    assert default_cache_directory({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "inver" / "servers"
