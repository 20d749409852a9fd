"""An embedder without a model: texts that share words and letters get vectors that are near, equal on every machine."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.batching_embedder import BatchingEmbedder, PreparedText
from engines.priority_thread import Urgency
from engines.tokenizer import refuse_lone_surrogates, too_long
from engines.word_tokenizer import WordTokenizer
from schemas.embedding import Vectors

_WORD: Final = re.compile(r"\w+")
#: A shared word says more than a shared run of three letters, of which every word has several.
_WORD_WEIGHT: Final = 3.0
_TOKEN_BUDGET: Final = 65_536


def load_hash_embedder(*, dimension: int = 384, max_tokens: int = 256) -> BatchingEmbedder:
    """Return an Embedder for tests and benchmarks: thousands of texts a second, and searches that half make sense."""
    return BatchingEmbedder(
        load=partial(HashModel, dimension=dimension, tokenizer=WordTokenizer(max_tokens=max_tokens)),
        fingerprint=f"hash@v1-{dimension}",
        token_budget=_TOKEN_BUDGET,
    )


class HashModel:
    """An EmbeddingModel that adds up hashed words and hashed runs of three bytes."""

    def __init__(self, *, dimension: int, tokenizer: WordTokenizer) -> None:
        self.dimension = dimension
        self._tokenizer = tokenizer

    def prepare(self, texts: Sequence[str], urgency: Urgency) -> list[PreparedText]:
        """Count each text's tokens; a document over the limit is refused, a query cut."""
        if urgency is Urgency.QUERY:
            texts = [self._tokenizer.cut(text) for text in texts]
        refuse_lone_surrogates(texts)
        prepared = []
        for position, text in enumerate(texts):
            tokens = self._tokenizer.count(text) + self._tokenizer.special_tokens
            if tokens > self._tokenizer.max_tokens:
                raise too_long(text, position=position, tokens=tokens, limit=self._tokenizer.max_tokens)
            prepared.append(PreparedText(text=text, token_ids=range(tokens), urgency=urgency))
        return prepared

    def embed(self, batch: Sequence[PreparedText]) -> Vectors:
        """Return one vector of length 1 for each text."""
        return np.stack([_vector(text.text, self.dimension) for text in batch])


def _vector(text: str, dimension: int) -> Vectors:
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = np.fromiter((zlib.crc32(word.encode()) for word in _WORD.findall(plain)), dtype=np.uint64)
    codes = np.concatenate([_mixed(words), _mixed(_runs_of_three(plain.encode()))])
    weights = np.ones(len(codes))
    weights[: len(words)] = _WORD_WEIGHT
    # Half of all features count down, so that texts without anything in common are near 0, not near each other.
    weights[(codes >> np.uint64(63)) == 1] *= -1
    summed = np.bincount((codes % np.uint64(dimension)).astype(np.intp), weights=weights, minlength=dimension)
    length = float(np.linalg.norm(summed))
    if length == 0.0:
        # A text without features still needs a direction.
        summed[0] = length = 1.0
    return (summed / length).astype(np.float32)


def _runs_of_three(content: bytes) -> NDArray[np.uint64]:
    values = np.frombuffer(content, dtype=np.uint8).astype(np.uint64)
    if len(values) < 3:  # noqa: PLR2004 -- three
        return values
    runs: NDArray[np.uint64] = (values[:-2] << np.uint64(16)) | (values[1:-1] << np.uint64(8)) | values[2:]
    return runs | np.uint64(1 << 40)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of SplitMix64: every input bit moves every output bit. Overflow is part of it.
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result
