"""The Embedder around any model: one thread, batches under a token budget, queries first, no bad vector gets out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from engines.embedding_batches import group_by_length, restore_order
from engines.priority_thread import PriorityThread, Urgency
from schemas.embedding import Vectors
from schemas.errors import Fatal, Retryable

#: Few enough that a query never waits long for texts to be cut into tokens.
_TEXTS_PREPARED_AT_ONCE: Final = 64
#: How far a vector's length may be from 1 through rounding.
_LENGTH_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedText:
    """A text as a model reads it: token ids with prompt and special tokens, and the text for models that want it."""

    text: str
    token_ids: Sequence[int]
    urgency: Urgency


class EmbeddingModel(Protocol):
    """A loaded model, used by one thread at a time."""

    dimension: int

    def prepare(self, texts: Sequence[str], urgency: Urgency) -> list[PreparedText]:
        """Cut texts into tokens. Raises Poison for a document that is over the limit; cuts a query."""

    def embed(self, batch: Sequence[PreparedText]) -> Vectors:
        """Return an array of shape (batch, dimension) of vectors of length 1; all texts have one urgency."""


class BatchingEmbedder:
    """An Embedder. Constructing it loads the model in its thread and waits for that.

    A failure of the library inside a batch is Retryable: memory may be short only now. A vector that is no vector is
    Fatal, because the same text gives it again and a stored one spoils searches unseen.
    """

    def __init__(self, *, load: Callable[[], EmbeddingModel], fingerprint: str, token_budget: int) -> None:
        self.fingerprint = fingerprint
        self._token_budget = token_budget
        self._thread = PriorityThread(f"the embedder of {fingerprint}")
        self._model: EmbeddingModel | None = self._thread.submit(Urgency.QUERY, load).result()
        self.dimension = self._model.dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape (texts, dimension). Raises Poison for a text over the limit before it embeds any."""
        slices = [texts[at : at + _TEXTS_PREPARED_AT_ONCE] for at in range(0, len(texts), _TEXTS_PREPARED_AT_ONCE)]
        works = [partial(self._prepare, some, Urgency.DOCUMENT) for some in slices]
        prepared = [text for some in await self._thread.run_all(Urgency.DOCUMENT, works) for text in some]
        groups = group_by_length([len(text.token_ids) for text in prepared], token_budget=self._token_budget)
        batches = [partial(self._embed, [prepared[index] for index in group]) for group in groups]
        blocks = await self._thread.run_all(Urgency.DOCUMENT, batches)
        return restore_order(groups, blocks, dimension=self.dimension)

    async def embed_query(self, text: str) -> Vectors:
        """Return an array of shape (dimension,); waits for the batch that runs, not for those that wait."""

        def prepare_and_embed() -> Vectors:
            return self._embed(self._prepare([text], Urgency.QUERY))

        vector: Vectors = (await self._thread.run(Urgency.QUERY, prepare_and_embed))[0]
        return vector

    async def close(self) -> None:
        """End the thread after the batch that runs, and release the model."""
        await self._thread.close()
        self._model = None

    def _loaded(self) -> EmbeddingModel:
        if self._model is None:
            raise Fatal(f"the embedder of {self.fingerprint} was closed; make a new one")
        return self._model

    def _prepare(self, texts: Sequence[str], urgency: Urgency) -> list[PreparedText]:
        return self._loaded().prepare(texts, urgency)

    def _embed(self, batch: Sequence[PreparedText]) -> Vectors:
        try:
            vectors = self._loaded().embed(batch)
        except (RuntimeError, MemoryError) as error:
            raise Retryable(
                f"{self.fingerprint} failed on {len(batch)} texts: {error}; is there enough memory?"
            ) from error
        check_vectors(vectors, count=len(batch), dimension=self.dimension, fingerprint=self.fingerprint)
        return vectors


def check_vectors(vectors: Vectors, *, count: int, dimension: int, fingerprint: str) -> None:
    """Raise Fatal unless these are so many float32 vectors of length 1."""
    if vectors.shape != (count, dimension) or vectors.dtype != np.float32:
        raise Fatal(
            f"{fingerprint} returned {vectors.dtype} of shape {vectors.shape} where float32 of {(count, dimension)} is "
            "due; another model is in its folder, fetch the right one again"
        )
    # A comparison with NaN is false, so this refuses what is not finite too.
    sound = np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < _LENGTH_TOLERANCE
    if not sound.all():
        raise Fatal(
            f"{fingerprint} returned a vector that is not finite or not of length 1 for {int((~sound).sum())} of "
            f"{count} texts: the model's files or this machine's memory are damaged; fetch the model again, delete its "
            "cached conversion, and check the memory"
        )
