"""The vector index on a real Milvus server."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import uuid
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from pymilvus import AsyncMilvusClient, MilvusClient
from pymilvus.exceptions import MilvusException

from engines.milvus import WINDOW_LIMIT, MilvusVectorIndex
from engines.milvus_client import translate
from inver.servers.cluster import ServerStatus
from schemas.errors import Fatal, Poison, Retryable
from schemas.filters import Equal, Range
from schemas.generation import VectorParameters
from tests.contracts.vector_index import (
    DIMENSION,
    EAST,
    TENANT,
    OpenIndex,
    VectorIndexContract,
    angled,
    found,
    random_vectors,
    row,
    store,
)

PARAMETERS = VectorParameters()


@pytest.fixture(scope="module")
def collections(milvus_server: ServerStatus) -> Iterator[tuple[str, str]]:
    """The server's URI and a prefix for names; what carries it is dropped at the end.

    Creating and loading a collection takes seconds, so that the tests share one and empty it.
    """
    uri, prefix = f"http://{milvus_server.address}", f"test_{uuid.uuid4().hex[:8]}_"
    yield uri, prefix
    client = MilvusClient(uri=uri, timeout=30)
    for name in client.list_collections(timeout=30):
        if name.startswith(prefix):
            client.drop_collection(name, timeout=30)
    client.close()


@pytest.fixture
async def open_index(collections: tuple[str, str]) -> AsyncIterator[OpenIndex]:
    uri, prefix = collections
    opened: list[MilvusVectorIndex] = []

    def make(name: str, dimension: int) -> MilvusVectorIndex:
        opened.append(MilvusVectorIndex(uri, prefix + name, dimension, PARAMETERS, timeout_seconds=30))
        return opened[-1]

    yield make
    for index in opened:
        await index.close()


class TestMilvusVectorIndex(VectorIndexContract):
    """Milvus keeps the VectorIndex contract."""


async def test_indexed_segments_answer_like_fresh_ones(open_index: OpenIndex, collections: tuple[str, str]) -> None:
    """Once rows lie in sealed segments with an HNSW graph, narrow filters still lose no match."""
    index = open_index("sealed", DIMENSION)
    await index.ensure()
    count = 5_000
    vectors = random_vectors(count)
    await index.upsert([row(f"d{n}", metadata={"n": n % 1_000}) for n in range(count)], vectors)
    await _seal(collections[0], collections[1] + "sealed", count)
    # Over the sealed rows come new ones, deletes and rewrites, as in service.
    await index.delete([row(f"d{n}").key for n in range(10)])
    await store(index, [row(f"d{n}", metadata={"n": -1}) for n in range(10, 20)], vectors[10:20])

    order = [int(n) for n in np.argsort(-(vectors @ EAST), kind="stable")]
    number_of = {n: -1 if n < 20 else n % 1_000 for n in order if n >= 10}
    for condition, numbers in ((Equal("n", 500), {500}), (Range(field="n", lt=10), {-1, *range(10)})):
        expected = [f"d{n}" for n in order if number_of.get(n) in numbers]
        assert await found(index, condition=condition, window=200) == expected
    assert await index.count() == count - 10
    assert {key async for key in index.scan()} == {row(f"d{n}").key for n in number_of}


async def _seal(uri: str, name: str, rows: int) -> None:
    client = AsyncMilvusClient(uri=uri, timeout=30)
    await client.flush(name, timeout=60)
    async with asyncio.timeout(120):
        # The server tells no one when it has finished.
        while (await client.describe_index(name, "vector", timeout=30))["indexed_rows"] < rows:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await client.close()


async def test_another_index_is_refused(open_index: OpenIndex, collections: tuple[str, str]) -> None:
    """A graph built with other parameters needs a new generation."""
    await open_index("shared", DIMENSION).ensure()
    uri, prefix = collections
    other = MilvusVectorIndex(uri, f"{prefix}shared", DIMENSION, dataclasses.replace(PARAMETERS, m=8))
    with pytest.raises(Fatal, match="'M': '16'"):
        await other.ensure()
    await other.close()


async def test_a_foreign_collection_is_refused(open_index: OpenIndex, collections: tuple[str, str]) -> None:
    """A collection of the same name with other fields is left alone."""
    uri, prefix = collections
    client = AsyncMilvusClient(uri=uri, timeout=30)
    await client.create_collection(f"{prefix}foreign", dimension=4, timeout=30)
    await client.close()
    with pytest.raises(Fatal, match="fields"):
        await open_index("foreign", DIMENSION).ensure()


async def test_ensure_finishes_what_a_dead_process_began(open_index: OpenIndex, collections: tuple[str, str]) -> None:
    """A collection that was released or never loaded is loaded again, with its rows."""
    index = open_index("halfway", DIMENSION)
    await index.ensure()
    await store(index, [row("a")])
    client = AsyncMilvusClient(uri=collections[0], timeout=30)
    await client.release_collection(collections[1] + "halfway", timeout=30)
    with pytest.raises(Retryable, match="not loaded"):
        await found(index)
    await client.drop_index(collections[1] + "halfway", "vector", timeout=30)
    await client.close()

    await index.ensure()
    await index.make_searchable([])
    assert await found(index) == ["a"]


async def test_what_is_not_there_is_fatal(open_index: OpenIndex) -> None:
    """A collection that was dropped or never made is no passing trouble."""
    index = open_index("never", DIMENSION)
    for call in (index.upsert([row("a")], angled(0)), found(index), index.count(), index.missing(["a"])):
        with pytest.raises(Fatal, match="does not exist"):
            await call


async def test_an_unreachable_server_is_retryable() -> None:
    """Nobody listens: the error says where and comes in time."""
    index = MilvusVectorIndex("http://127.0.0.1:9", "none", DIMENSION, PARAMETERS, timeout_seconds=1)
    async with asyncio.timeout(10):
        with pytest.raises(Retryable, match=r"127\.0\.0\.1:9"):
            await index.ping()
    await index.close()


async def test_a_silent_server_is_retryable() -> None:
    """Connections are taken and never answered: the time limit holds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        index = MilvusVectorIndex(
            f"http://127.0.0.1:{server.getsockname()[1]}", "c", DIMENSION, PARAMETERS, timeout_seconds=1
        )
        async with asyncio.timeout(20):
            with pytest.raises(Retryable):
                await index.search(EAST, tenant=TENANT, window=5)
        await index.close()


async def test_oversized_rows_and_windows_are_refused(open_index: OpenIndex) -> None:
    """What Milvus would not take is named before anything is sent."""
    index = open_index("shared", DIMENSION)
    await index.ensure()
    for large in (
        dataclasses.replace(row("a"), text="é" * 32_768),
        dataclasses.replace(row("a"), title="x" * 65_536),
        row("a", metadata={f"n{number}": "x" * 8_192 for number in range(8)}),
    ):
        with pytest.raises(Poison, match=r"default/a@1#0.*shorter"):
            await index.upsert([row("b"), large], angled(0, 1))
    with pytest.raises(Poison, match="window"):
        await index.search(EAST, tenant=TENANT, window=WINDOW_LIMIT + 1)
    assert await index.count() == 0


async def test_the_largest_rows_are_stored(open_index: OpenIndex) -> None:
    """Texts and metadata may fill their limits."""
    index = open_index("shared", DIMENSION)
    await index.ensure()
    largest = dataclasses.replace(
        row("a", metadata={f"n{number}": "\n\u2028" * 1_000 for number in range(12)}),
        text="é" * 32_767,
        title="x" * 60_000,
    )
    await store(index, [largest])
    assert await index.fetch([largest.key]) == {largest.key: largest}
    await index.delete([largest.key])


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (1, "[query] Retry timeout: 5s", Retryable),
        (2, "Fail connecting to server", Retryable),
        (8, "rate limit exceeded", Retryable),
        (9, "deny to write, reason: disk quota exceeded", Retryable),
        (65_535, "channel not available", Retryable),
        (100, "collection not found", Fatal),
        (1400, "need authenticate", Fatal),
        (65_535, "auth check failure, please check username and password", Fatal),
        (1100, "invalid parameter", Poison),
        (65_535, "cannot parse expression: key ==", Poison),
    ],
)
def test_milvus_answers_get_one_of_three_types(code: int, message: str, expected: type[Exception]) -> None:
    """The type says whether to try again, to set the record aside, or to stop."""
    error = translate(MilvusException(code, message), "searching c")
    assert type(error) is expected
    assert message in str(error)
