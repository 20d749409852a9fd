"""The page on producing from any Kafka client: its Python examples are run against real servers, its table is true."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inver.servers.cluster import ServersStatus
from schemas.keys import DocumentKey
from schemas.status import DocumentState
from tests.docs.pages import load_block, read_page
from tests.inver.harness import Harness, open_harness, until

PAGE = read_page("docs/how-to/produce.md")


@pytest.fixture
async def inver(servers: ServersStatus, tmp_path: Path) -> AsyncIterator[Harness]:
    """A running Inver on the real servers, with an empty collection."""
    addresses = {
        "kafka": servers.kafka.address,
        "opensearch": f"http://{servers.opensearch.address}",
        "milvus": f"http://{servers.milvus.address}",
    }
    async with open_harness(tmp_path, f"t{uuid.uuid4().hex[:12]}", profile="servers", addresses=addresses) as harness:
        yield harness


async def becomes(inver: Harness, identifier: str, state: DocumentState) -> None:
    """Wait until a document stands where it should."""

    async def stands() -> bool:
        status = await inver.status(identifier)
        return status is not None and status.state is state

    await until(stands, f"{identifier} to be {state.value}")


async def test_the_aiokafka_example_makes_a_document_searchable_and_deletes_another(
    inver: Harness, servers: ServersStatus
) -> None:
    """What the page shows needs nothing of Inver's to be understood by it."""
    await inver.finished(await inver.put("old.md", "the old words"))
    example = load_block(PAGE, "### Python, aiokafka")

    await example["send"](servers.kafka.address, inver.collection, example["EVENTS"])

    await becomes(inver, "guides/a b.md", DocumentState.SEARCHABLE)
    await becomes(inver, "old.md", DocumentState.DELETED)
    assert [hit.id for hit in (await inver.search("rivers meet")).hits] == ["guides/a b.md"]
    assert await inver.dead_letters() == []


async def test_the_example_of_our_own_producer_takes_large_content_to_the_blob_store(
    inver: Harness, servers: ServersStatus, tmp_path: Path
) -> None:
    """A page above a mebibyte goes in by claim check."""
    await inver.finished(await inver.put("old.md", "the old words"))
    example = load_block(PAGE, "### Python, with Inver's own producer")
    assert len(example["PAGE"]) > 1024**2

    await example["send"](servers.kafka.address, inver.collection, tmp_path / "blobs")

    await becomes(inver, "guides/large.html", DocumentState.SEARCHABLE)
    await becomes(inver, "old.md", DocumentState.DELETED)


def test_the_table_of_keys_is_what_the_code_makes() -> None:
    """Each row gives a tenant, an id and the key that is right for them."""
    rows = re.findall(r"^\| `([^`]+)`, `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)

    assert len(rows) == 3
    assert [key for _, _, key in rows] == [DocumentKey(tenant, identifier).encoded() for tenant, identifier, _ in rows]
