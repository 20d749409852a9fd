"""What every Embedder promises, as tests: a class per adapter inherits them and says which embedder and tokenizer."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engines.ports import Embedder, Tokenizer
from schemas.errors import Poison
from tests.engines.texts import varied_texts

#: What rounding may change when a text stands in another batch.
ROUNDING = 1e-5


class EmbedderContract:
    """Inherit, and define the fixtures ``embedder`` and ``tokenizer``."""

    #: Texts of about 100 tokens that surely make more than two batches.
    waiting_texts = 60

    async def test_documents_become_float32_vectors_of_length_one(self, embedder: Embedder) -> None:
        """One row for each text, of the dimension the embedder names."""
        vectors = await embedder.embed_documents(["where rivers meet", "the sea"])

        assert (2, embedder.dimension) == vectors.shape
        assert np.float32 == vectors.dtype
        assert np.allclose(1.0, np.linalg.norm(vectors, axis=1), atol=ROUNDING)

    async def test_no_documents_become_no_vectors(self, embedder: Embedder) -> None:
        """The shape still tells the dimension."""
        vectors = await embedder.embed_documents([])

        assert (0, embedder.dimension) == vectors.shape
        assert np.float32 == vectors.dtype

    async def test_vectors_come_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        """Batching by length shows neither in the order nor in the values."""
        texts = varied_texts(40)

        together = await embedder.embed_documents(texts)

        for position in (0, 7, 22, 39):
            alone = await embedder.embed_documents([texts[position]])
            assert np.allclose(alone[0], together[position], atol=ROUNDING)

    async def test_the_same_text_gets_the_same_vector(self, embedder: Embedder) -> None:
        """Within one call and between calls."""
        first = await embedder.embed_documents(["twice", "a longer neighbour of the first text", "twice"])
        second = await embedder.embed_documents(["twice"])

        assert np.allclose(first[0], first[2], atol=ROUNDING)
        assert np.allclose(first[0], second[0], atol=ROUNDING)

    async def test_a_query_is_nearest_to_the_document_about_it(self, embedder: Embedder) -> None:
        """Queries and documents live in one space."""
        documents = await embedder.embed_documents(
            ["bread is baked from flour and water", "two rivers meet at the bridge", "the index holds rows"]
        )

        query = await embedder.embed_query("the bridge where two rivers meet")

        assert (embedder.dimension,) == query.shape
        assert np.float32 == query.dtype
        assert pytest.approx(float(np.linalg.norm(query)), abs=ROUNDING) == 1.0
        assert int(np.argmax(documents @ query)) == 1

    @pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\U0001f30a"])
    async def test_a_text_without_words_still_gets_a_vector(self, embedder: Embedder, text: str) -> None:
        """No text makes a vector that is not finite."""
        assert pytest.approx(float(np.linalg.norm(await embedder.embed_documents([text]))), abs=ROUNDING) == 1.0
        assert pytest.approx(float(np.linalg.norm(await embedder.embed_query(text))), abs=ROUNDING) == 1.0

    async def test_a_document_up_to_the_limit_is_taken(self, embedder: Embedder, tokenizer: Tokenizer) -> None:
        """The tokenizer's limit is the embedder's."""
        text = "word " * (tokenizer.max_tokens - tokenizer.special_tokens)

        assert tokenizer.max_tokens == tokenizer.count(text) + tokenizer.special_tokens
        assert len(await embedder.embed_documents([text])) == 1

    async def test_a_document_over_the_limit_is_refused(self, embedder: Embedder, tokenizer: Tokenizer) -> None:
        """It is never cut; the error tells which text it was, how long, and how long it may be."""
        text = "word " * (tokenizer.max_tokens - tokenizer.special_tokens + 1)

        with pytest.raises(Poison) as caught:
            await embedder.embed_documents(["short", text])

        assert caught.value.reason == "text_too_long"
        assert "text 1, which begins 'word word" in str(caught.value)
        assert f"has {tokenizer.max_tokens + 1} tokens and the model reads {tokenizer.max_tokens}" in str(caught.value)

    async def test_a_query_over_the_limit_is_cut(self, embedder: Embedder, tokenizer: Tokenizer) -> None:
        """What the model reads of it decides the vector."""
        fits = " ".join(["word"] * (tokenizer.max_tokens - tokenizer.special_tokens))

        cut = await embedder.embed_query(fits + " river" * 500)

        assert np.allclose(await embedder.embed_query(fits), cut, atol=ROUNDING)

    async def test_a_lone_surrogate_is_refused(self, embedder: Embedder) -> None:
        """It is a bad record, not a failure of the program."""
        with pytest.raises(Poison, match="lone surrogate"):
            await embedder.embed_documents(["fine", "half a \ud83c character"])
        with pytest.raises(Poison, match="lone surrogate"):
            await embedder.embed_query("half a \ud83c character")

    async def test_a_query_goes_ahead_of_waiting_documents(self, embedder: Embedder) -> None:
        """It waits for the batch that runs, not for all of them; the loop stays free meanwhile."""
        texts = [f"{number} " + "many rivers flow " * 30 for number in range(self.waiting_texts)]
        documents = asyncio.create_task(embedder.embed_documents(texts))
        await asyncio.sleep(0)

        await embedder.embed_query("rivers")

        assert not documents.done()
        assert (len(texts), embedder.dimension) == (await documents).shape

    async def test_a_cancelled_call_gives_way(self, embedder: Embedder) -> None:
        """The batches nobody waits for any more are not computed, and later calls are not harmed."""
        texts = [f"{number} " + "many rivers flow " * 30 for number in range(self.waiting_texts)]
        documents = asyncio.create_task(embedder.embed_documents(texts))
        await asyncio.sleep(0)

        documents.cancel()

        assert len(await embedder.embed_documents(["afterwards"])) == 1
        assert documents.cancelled()
