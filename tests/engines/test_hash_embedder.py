"""The embedder without a model keeps the port's promises, fast, and the same everywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engines.batching_embedder import BatchingEmbedder, PreparedText
from engines.embedders import load_embedder, load_tokenizer
from engines.hash_embedder import HashModel, load_hash_embedder
from engines.ports import Embedder, Tokenizer
from engines.word_tokenizer import WordTokenizer
from schemas.embedding import Vectors
from schemas.errors import Fatal, Retryable
from tests.contracts.embedder import EmbedderContract
from tests.engines.texts import varied_texts


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """Load it as the wiring does."""
    embedder = load_embedder("hash", model_directory=None, cache_directory=Path(), backend="openvino")
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Load it as the wiring does."""
    return load_tokenizer("hash", model_directory=None)


class TestHashEmbedder(EmbedderContract):
    """The contract, on the hash embedder."""

    waiting_texts = 4_000


async def test_vectors_are_the_same_on_every_machine() -> None:
    """These numbers were computed elsewhere; an index built there can be searched here."""
    embedder = load_hash_embedder(dimension=8)

    vector = await embedder.embed_query("Where rivers meet")

    assert embedder.fingerprint == "hash@v1-8"
    assert pytest.approx(vector.tolist(), abs=1e-6) == [
        0.0,
        -0.6123719811439514,
        0.20412400364875793,
        -0.20412400364875793,
        0.0,
        0.0,
        0.6123719811439514,
        -0.40824800729751587,
    ]
    await embedder.close()


async def test_texts_that_share_words_are_nearer() -> None:
    """The more they share, the nearer; nothing shared is about zero."""
    embedder = load_hash_embedder()

    query = await embedder.embed_query("rivers that meet the sea")
    near, middle, far = (
        await embedder.embed_documents(["the rivers meet the sea", "a sea of troubles", "flour, butter, sugar"]) @ query
    )

    assert near > 0.6
    assert near > middle > far
    assert abs(far) < 0.2
    await embedder.close()


async def test_thousands_of_texts_a_second() -> None:
    """Fast enough that a test of the pipeline never waits for it, even on a busy machine."""
    embedder = load_hash_embedder()
    texts = [f"{number} {text}" for number in range(10) for text in varied_texts(200)]

    began = time.process_time()
    await embedder.embed_documents(texts)

    assert len(texts) / (time.process_time() - began) > 1_000
    await embedder.close()


def test_words_are_found_where_they_are() -> None:
    """Spans point into the text that was given."""
    text = "Größe: 3,5 e\u0301 \U0001f30a 東京"

    spans = WordTokenizer().offsets(text)

    assert [text[a:b] for a, b in spans] == ["Größe", ":", "3", ",", "5", "e", "\u0301", "\U0001f30a", "東京"]
    assert len(spans) == WordTokenizer().count(text)


class _Broken(HashModel):
    """A model whose vectors or runs go wrong."""

    def __init__(self, outcome: float | Exception) -> None:
        super().__init__(dimension=8, tokenizer=WordTokenizer())
        self._outcome = outcome

    def embed(self, batch: Sequence[PreparedText]) -> Vectors:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return np.full((len(batch), 8), self._outcome, dtype=np.float32)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0, 1.0])
async def test_a_bad_vector_stops_everything(number: float) -> None:
    """Neither NaN nor infinity nor another length ever gets out."""
    embedder = BatchingEmbedder(load=partial(_Broken, number), fingerprint="broken", token_budget=100)

    with pytest.raises(Fatal, match="1 of 1 texts"):
        await embedder.embed_documents(["text"])
    with pytest.raises(Fatal, match="not finite or not of length 1"):
        await embedder.embed_query("text")
    await embedder.close()


@pytest.mark.parametrize("error", [RuntimeError("allocation failed"), MemoryError("allocation failed")])
async def test_a_failing_library_can_be_tried_again(error: Exception) -> None:
    """Memory may be there later."""
    embedder = BatchingEmbedder(load=partial(_Broken, error), fingerprint="broken", token_budget=100)

    with pytest.raises(Retryable, match="allocation failed"):
        await embedder.embed_documents(["text"])
    await embedder.close()


async def test_a_closed_embedder_says_so() -> None:
    """Closing twice does no harm."""
    embedder = load_hash_embedder()
    await embedder.close()
    await embedder.close()

    with pytest.raises(Fatal, match="was closed"):
        await embedder.embed_query("text")
