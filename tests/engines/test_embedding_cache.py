"""The vector cache saves work and never changes a vector."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from engines.cached_vectors import hash_text
from engines.embedders import load_tokenizer
from engines.embedding_cache import CachingEmbedder
from engines.hash_embedder import load_hash_embedder
from engines.ports import Embedder, Tokenizer
from schemas.embedding import Vectors
from schemas.errors import Fatal, Poison
from tests.contracts.embedder import EmbedderContract

PLENTY_BYTES = 64 * 1024 * 1024


class CountingEmbedder:
    """Passes everything on and remembers which documents it was asked for."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension
        self.asked: list[str] = []

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return await self._embedder.embed_documents(texts)

    async def embed_query(self, text: str) -> Vectors:
        return await self._embedder.embed_query(text)

    async def close(self) -> None:
        await self._embedder.close()


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    """Cache the hash embedder."""
    embedder = CachingEmbedder(load_hash_embedder(), tmp_path_factory.mktemp("cache") / "vectors.sqlite3", PLENTY_BYTES)
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Load the hash embedder's."""
    return load_tokenizer("hash", model_directory=None)


class TestCachingEmbedder(EmbedderContract):
    """The contract, on a cache around the hash embedder."""

    waiting_texts = 4_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet, in a folder that is not either."""
    return tmp_path / "folder" / "vectors.sqlite3"


@pytest.fixture
async def counting() -> AsyncIterator[CountingEmbedder]:
    """Make an embedder that counts."""
    counting = CountingEmbedder(load_hash_embedder(dimension=16))
    yield counting
    await counting.close()


async def test_known_texts_are_not_embedded_again(counting: CountingEmbedder, path: Path) -> None:
    """Not in this process and not in the next; new ones are, once each, and all come in order."""
    expected = await load_hash_embedder(dimension=16).embed_documents(["a", "b", "c", "b", "a"])
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)
    await cache.embed_documents(["a", "b"])
    reopened = CachingEmbedder(counting, path, PLENTY_BYTES)

    vectors = await reopened.embed_documents(["a", "b", "c", "b", "a"])

    assert counting.asked == ["a", "b", "c"]
    assert np.array_equal(expected, vectors)
    await reopened.embed_query("a")
    assert counting.asked == ["a", "b", "c"]
    await reopened.close()
    await cache.close()


async def test_models_do_not_share_vectors(counting: CountingEmbedder, path: Path) -> None:
    """The same text under another fingerprint is another entry."""
    other = CountingEmbedder(load_hash_embedder(dimension=16))
    other.fingerprint = "other"
    first, second = CachingEmbedder(counting, path, PLENTY_BYTES), CachingEmbedder(other, path, PLENTY_BYTES)

    await first.embed_documents(["a"])
    await second.embed_documents(["a"])

    assert (counting.asked, other.asked) == (["a"], ["a"])
    await first.close()
    await second.close()


async def test_errors_pass_through_and_are_not_kept(counting: CountingEmbedder, path: Path) -> None:
    """A text over the limit is refused each time."""
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)

    for _ in range(2):
        with pytest.raises(Poison, match="reads 256"):
            await cache.embed_documents(["fine", "word " * 300])
    await cache.close()


async def test_the_file_stays_near_its_limit(counting: CountingEmbedder, path: Path) -> None:
    """What was used last stays; what was unused for longest goes."""
    limit_bytes = 200_000
    cache = CachingEmbedder(counting, path, limit_bytes)

    await cache.embed_documents(["kept by use"])
    for number in range(60):
        await cache.embed_documents([f"{number} {position}" for position in range(100)])
        await cache.embed_documents(["kept by use"])

    assert counting.asked.count("kept by use") == 1
    await cache.embed_documents(["59 99", "0 0"])
    assert counting.asked.count("59 99") == 1
    assert counting.asked.count("0 0") == 2
    await cache.close()
    assert path.stat().st_size <= limit_bytes * 1.1


async def test_forgotten_texts_are_gone_from_the_disk(counting: CountingEmbedder, path: Path) -> None:
    """Neither the vector nor the hash is left in any file, for any model; others stay."""
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)
    secret, _ = await cache.embed_documents(["secret", "public"])
    other = CountingEmbedder(load_hash_embedder(dimension=16))
    other.fingerprint = "other"
    second = CachingEmbedder(other, path, PLENTY_BYTES)
    await second.embed_documents(["secret"])
    assert bytes_anywhere(path, secret.tobytes())

    await cache.forget(["secret", "never seen"])

    assert not bytes_anywhere(path, secret.tobytes())
    assert not bytes_anywhere(path, hash_text("secret"))
    await cache.embed_documents(["public", "secret"])
    await second.embed_documents(["secret"])
    assert counting.asked == ["secret", "public", "secret"]
    assert other.asked == ["secret", "secret"]
    await cache.close()
    await second.close()


def bytes_anywhere(path: Path, content: bytes) -> bool:
    """Tell whether the bytes are in the file or in any beside it."""
    return any(content in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("damage", ["not a database", "torn", "emptied"])
async def test_a_damaged_file_is_replaced(counting: CountingEmbedder, path: Path, damage: str) -> None:
    """Vectors are right, an event tells, and the new file works."""
    texts = [f"text {number}" for number in range(400)]
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)
    expected = await cache.embed_documents(texts)
    await cache.close()
    content = path.read_bytes()
    match damage:
        case "not a database":
            path.write_bytes(b"scrambled eggs " * 1_000)
        case "torn":
            path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        case _:
            path.write_bytes(b"")
    again = CachingEmbedder(CountingEmbedder(load_hash_embedder(dimension=16)), path, PLENTY_BYTES)

    with capture_logs() as events:
        vectors = await again.embed_documents(texts)
        vectors_of_the_new_file = await again.embed_documents(texts)

    assert np.array_equal(expected, vectors)
    assert np.array_equal(expected, vectors_of_the_new_file)
    if damage != "emptied":  # An empty file is a new one.
        assert [event["event"] for event in events] == ["embedding_cache.started_anew"]
        assert path.with_name("vectors.sqlite3.damaged").exists()
        await again.forget(["text 0"])
        assert not path.with_name("vectors.sqlite3.damaged").exists()
    await again.close()


async def test_a_changed_vector_is_computed_again(counting: CountingEmbedder, path: Path) -> None:
    """The checksum notices what the database cannot."""
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)
    expected = await cache.embed_documents(["a", "b"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE id = 2) WHERE id = 1")
    connection.close()

    vectors = await cache.embed_documents(["a", "b"])

    assert np.array_equal(expected, vectors)
    assert counting.asked == ["a", "b", "a"]
    assert np.array_equal(expected, await cache.embed_documents(["a", "b"]))
    assert counting.asked == ["a", "b", "a"]
    await cache.close()


async def test_a_file_of_something_else_is_left_alone(counting: CountingEmbedder, path: Path) -> None:
    """A wrong path in the settings must not cost anyone their data."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (data)")
    connection.close()
    before = path.read_bytes()
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)

    with pytest.raises(Fatal, match="database of something else"):
        await cache.embed_documents(["a"])

    assert before[:16] == path.read_bytes()[:16]
    assert path.exists()
    await cache.close()


async def test_a_file_that_is_locked_costs_only_time(counting: CountingEmbedder, path: Path) -> None:
    """Vectors are computed, and an event tells."""
    cache = CachingEmbedder(counting, path, PLENTY_BYTES)
    await cache.embed_documents(["a"])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with capture_logs() as events:
        vectors = await cache.embed_documents(["a", "b"])

    assert vectors.shape == (2, 16)
    assert [event["event"] for event in events] == ["embedding_cache.unavailable"]
    other.close()
    await cache.close()
