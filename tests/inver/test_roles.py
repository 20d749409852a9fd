"""Each role in a process of its own, on real servers: the same answers, also when one of them is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from inver.client import RemoteClient, collection_path, post_json
from inver.servers.cluster import ServersStatus
from tests.inver.command_line import CommandLine, Service

ROLES = ("chunk", "embed", "index", "api")
#: Kafka gives a killed member's partitions away after its session time-out, 10 s by default.
PATIENCE_SECONDS = 90.0


@pytest.fixture
def environment_of_roles(servers: ServersStatus) -> dict[str, str]:
    """Settings that every role shares."""
    return {
        "INVER_PROFILE": "servers",
        "INVER_ADDRESSES__KAFKA": servers.kafka.address,
        "INVER_ADDRESSES__OPENSEARCH": f"http://{servers.opensearch.address}",
        "INVER_ADDRESSES__MILVUS": f"http://{servers.milvus.address}",
    }


@pytest.fixture
def roles(tmp_path: Path, environment_of_roles: dict[str, str]) -> Iterator[dict[str, Service]]:
    """Four processes, one for each role, each with a data directory of its own, as on four machines."""
    with ExitStack() as stack:
        yield {role: stack.enter_context(start(tmp_path, role, environment_of_roles)) for role in ROLES}


def start(home: Path, role: str, env: dict[str, str]):
    """Run one role."""
    port = ("--port", "0") if role == "api" else ()
    return CommandLine(home).service("run", role, *port, env=env, data=home / role)


async def test_four_processes_are_one_pipeline_that_outlives_a_killed_one(
    tmp_path: Path, roles: dict[str, Service], environment_of_roles: dict[str, str]
):
    """What the API took is searchable through chunk, embed and index; a killed index role's successor goes on."""
    inver = CommandLine(tmp_path)
    collection = f"roles-{uuid.uuid4().hex[:10]}"
    client = RemoteClient(await asyncio.to_thread(roles["api"].url))

    before = [f"before-{number}" for number in range(30)]
    await _send(client, collection, before)
    await _drained(client, collection, before)
    applied = await asyncio.to_thread(
        lambda: inver("topics", "apply", "--json", env=environment_of_roles, data=tmp_path / "operator")
    )
    assert applied.code == 0, applied
    assert f"{collection}.documents" in applied.json()["topics"]

    during = [f"during-{number}" for number in range(120)]
    await _send(client, collection, during[:60])
    roles["index"].end(signal.SIGKILL)
    await _send(client, collection, during[60:])
    with start(tmp_path, "index", environment_of_roles):
        await _drained(client, collection, during)

    answer = await post_json(client, collection_path(collection, "search"), {"query": "kingfisher", "size": 200})
    assert answer["degraded"] == []
    found = Counter(hit["id"] for hit in answer["hits"])
    assert found == dict.fromkeys(before + during, 1)
    for role in ("chunk", "embed", "api"):
        took = await asyncio.to_thread(roles[role].end)
        assert (roles[role].process.returncode, took < 10.0) == (0, True), roles[role].said()
        assert "Traceback" not in roles[role].said()


async def _send(client: RemoteClient, collection: str, identifiers: list[str]) -> None:
    lines = [
        json.dumps({"id": identifier, "text": f"The kingfisher {identifier} dives."}) for identifier in identifiers
    ]
    path = collection_path(collection, "documents")
    answer = await client.request("POST", path, "\n".join(lines).encode(), "application/x-ndjson")
    assert answer["failed"] == 0, answer


async def _drained(client: RemoteClient, collection: str, identifiers: list[str]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        answer = await post_json(client, collection_path(collection, "status"), {"ids": identifiers})
        counts = Counter(status["state"] for status in answer["statuses"])
        if counts == {"searchable": len(identifiers)}:
            return
        assert asyncio.get_running_loop().time() < deadline, counts
        await asyncio.sleep(0.1)
