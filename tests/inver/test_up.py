"""`inver up`: one process that serves, follows folders, ends when asked, and survives being killed."""

from __future__ import annotations

import asyncio
import fcntl
import json
import random
import signal
import threading
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from engines.sqlite_catalog import SqliteCatalog
from inver.client import RemoteClient, collection_path, post_json
from inver.lock import published_address
from inver.runtime import open_runtime
from inver.settings import load_settings
from schemas.errors import Retryable
from tests.inver.command_line import CommandLine, wait_for

GRACE_SECONDS = 10.0
PATIENCE_SECONDS = 60.0


@pytest.fixture
def inver(tmp_path: Path) -> CommandLine:
    """An empty folder to work in."""
    return CommandLine(tmp_path)


def ask(url: str, path: str) -> dict:
    """Ask a running service."""
    return asyncio.run(RemoteClient(url).request("GET", path))


def state(url: str, identifier: str, collection: str = "documents") -> str:
    """Return where a document stands."""
    return ask(url, collection_path(collection, "documents", identifier, "status"))["state"]


def test_a_watched_folder_is_followed_and_nothing_is_lost_at_the_end(inver: CommandLine):
    """New, changed and deleted files show in searches; SIGTERM ends it in time; a restart knows what was deleted."""
    folder = inver.home / "notes"
    folder.mkdir()
    (folder / "old.md").write_text("# Old\n\nThe heron stands in shallow water.")
    (folder / "gone.txt").write_text("Soon to vanish.")

    with inver.up("notes") as service:
        url = service.url()
        service.wait_to_say("watching: 2 searchable, 0 deleted, 0 failed")
        assert published_address(inver.data) == url
        with (inver.data / "inver.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hits = inver("search", "heron", "--json").json()["hits"]
        assert hits[0]["id"] == "notes/old.md"

        (folder / "new.txt").write_text("A kingfisher dives.")
        (folder / "old.md").write_text("# Old\n\nThe otter swims in deep water.")
        wait_for(
            lambda: "otter" in ask(url, collection_path("documents", "documents", "notes/old.md"))["text"], "change"
        )
        wait_for(lambda: state(url, "notes/new.txt") == "searchable", "the new file")
        (folder / "new.txt").unlink()
        wait_for(lambda: state(url, "notes/new.txt") == "deleted", "the deletion")

        assert service.end() < GRACE_SECONDS
        assert service.process.returncode == 0
        assert "Traceback" not in service.said()
    assert published_address(inver.data) is None

    (folder / "gone.txt").unlink()
    with inver.up("notes") as service:
        service.wait_to_say("watching: 0 searchable, 1 deleted, 0 failed")
        wait_for(lambda: state(service.url(), "notes/gone.txt") == "deleted", "the deletion")
        assert state(service.url(), "notes/old.md") == "searchable"
        service.end(signal.SIGINT)
        assert service.process.returncode == 0


def test_a_service_asked_to_end_while_it_works_loses_nothing(inver: CommandLine):
    """SIGTERM in the middle of an ingest ends the service in time; what it accepted is searchable after a restart."""
    identifiers = [f"doc-{number}" for number in range(200)]
    with inver.up() as service:
        asyncio.run(_send(service.url(), identifiers))
        assert service.end() < GRACE_SECONDS
        assert service.process.returncode == 0, service.said()
        assert "Traceback" not in service.said()

    with inver.up() as service:
        asyncio.run(_drained(service.url(), identifiers))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_kill_at_a_random_moment_leaves_every_document_exactly_once(inver: CommandLine, seed: int):
    """SIGKILL during an ingest, a restart, every document once more: each is in both engines once, with no help."""
    chance = random.Random(seed)
    identifiers = [f"doc-{number}" for number in range(200)]
    with inver.up() as service:
        url = service.url()
        killer = threading.Timer(chance.uniform(0.1, 2.0), service.process.kill)
        killer.start()
        with pytest.raises(Retryable):
            asyncio.run(_send_for_ever(url, identifiers))
        killer.join()
        service.process.wait()
    assert published_address(inver.data) is None

    with inver.up() as service:
        asyncio.run(_send(service.url(), identifiers, edition="last"))
        asyncio.run(_drained(service.url(), identifiers))
        service.end()
        assert service.process.returncode == 0, service.said()
    asyncio.run(_each_exactly_once(inver.data, identifiers, edition="last"))


def test_a_command_whose_service_dies_says_so(inver: CommandLine):
    """An ingest that loses its service ends with exit code 4 and one sentence."""
    with inver.up() as service:
        service.url()
        command = inver.start("ingest", "-")
        assert command.stdin is not None
        assert command.stderr is not None
        line = json.dumps({"id": "a", "text": "words " * 200}).encode() + b"\n"
        command.stdin.write(line * 300)
        command.stdin.flush()
        wait_for(lambda: "documents" in str(ask(service.url(), "/v1/collections")), "the first documents")
        service.process.kill()
        service.process.wait()
        _, err = command.communicate(line * 300, timeout=PATIENCE_SECONDS)

    assert command.returncode == 4
    [sentence] = err.decode().splitlines()
    assert sentence.startswith("inver: Inver at http://127.0.0.1:")
    assert sentence.endswith("is `inver up` still running?")


def test_a_stage_that_cannot_go_on_ends_the_service_with_its_sentence(inver: CommandLine):
    """A model other than the one the index was built with stops `inver up`, and `inver ingest`, with exit code 5."""
    assert inver("ingest", "-", stdin=b'{"id": "a", "text": "words"}').code == 0
    asyncio.run(_forge_fingerprint(inver.data))

    sentence = inver("ingest", "-", stdin=b'{"id": "b", "text": "words"}').sentence(5)
    assert "the index was built with model 'hash'" in sentence
    with inver.service("up", "--port", "0") as service:
        assert service.process.wait(PATIENCE_SECONDS) == 5
        assert sentence in service.said()
        assert "Traceback" not in service.said()


async def _forge_fingerprint(data: Path) -> None:
    """Make the catalog remember a model that is not the one at hand."""
    catalog = SqliteCatalog(data / "catalog.sqlite")
    stored = await catalog.read("documents")
    assert stored is not None
    config = replace(stored.record.live_config, model_fingerprint="hash@another")
    record = replace(stored.record, generations={stored.record.live: config})
    assert await catalog.write(record, stored.token)
    await catalog.close()


async def _send_for_ever(url: str, identifiers: list[str]) -> None:
    for number in count():
        await _send(url, identifiers, edition=str(number))


async def _send(url: str, identifiers: list[str], edition: str = "only") -> None:
    client = RemoteClient(url)
    for start in range(0, len(identifiers), 25):
        lines = [
            json.dumps({"id": identifier, "text": f"Edition {edition} of {identifier} on salmon. " * 20})
            for identifier in identifiers[start : start + 25]
        ]
        answer = await client.request(
            "POST", collection_path("documents", "documents"), "\n".join(lines).encode(), "application/x-ndjson"
        )
        assert answer["failed"] == 0


async def _drained(url: str, identifiers: list[str]) -> None:
    client = RemoteClient(url)

    async def states() -> Counter[str]:
        answer = await post_json(client, collection_path("documents", "status"), {"ids": identifiers})
        return Counter(status["state"] for status in answer["statuses"])

    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while (counts := await states()) != {"searchable": len(identifiers)}:
        assert asyncio.get_running_loop().time() < deadline, counts
        await asyncio.sleep(0.05)


async def _each_exactly_once(data: Path, identifiers: list[str], *, edition: str) -> None:
    settings = load_settings(data_directory=data, embedding={"model": "hash", "cache_bytes": 0})
    async with open_runtime(settings, ()) as runtime:
        engines = await runtime.directory.engines(await runtime.directory.record("documents"))
        dense = Counter([key async for key in engines.vectors.scan()])
        sparse = Counter([key async for key in engines.texts.scan()])
        rows = await engines.texts.fetch(list(sparse))
    assert dense == sparse
    assert set(dense.values()) == {1}
    assert {row.text.split()[1] for row in rows.values()} == {edition}
    versions: dict[str, set[str]] = {}
    for key in dense:
        document, _, place = key.rpartition("@")
        versions.setdefault(document, set()).add(place.partition("#")[0])
    assert set(versions) == {f"default/{identifier}" for identifier in identifiers}
    assert {len(found) for found in versions.values()} == {1}
