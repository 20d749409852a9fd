"""The embedding model on sentence-transformers and torch: runs any model, and is the reference for faster backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.batching_embedder import PreparedText
from engines.model_description import ModelDescription
from engines.priority_thread import Urgency
from engines.tokenizer import ModelTokenizer
from schemas.embedding import Vectors
from schemas.errors import Fatal

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformerModel:
    """An EmbeddingModel. Constructing it imports torch and reads the weights: seconds, best spent in a thread."""

    def __init__(self, description: ModelDescription) -> None:
        self._description = description
        self._tokenizer = ModelTokenizer(description)
        self._model = load_sentence_transformer(description)
        self.dimension = description.dimension
        loaded = self._model.get_embedding_dimension()
        if loaded != self.dimension:
            raise Fatal(
                f"the model in {description.folder} makes vectors of {loaded} numbers and its files say "
                f"{self.dimension}; fetch it again"
            )
        limit = self._model.max_seq_length
        if limit is not None and limit < description.max_tokens:
            # The library would cut what the tokenizer lets pass, and say nothing.
            raise Fatal(
                f"the model in {description.folder} reads {limit} tokens and its files say {description.max_tokens}; "
                f"write max_seq_length = {limit} into its sentence_bert_config.json"
            )

    def prepare(self, texts: Sequence[str], urgency: Urgency) -> list[PreparedText]:
        """Cut texts into tokens, to count them; the model cuts them once more itself."""
        if urgency is Urgency.QUERY:
            ids = [self._tokenizer.query_ids(text) for text in texts]
        else:
            ids = self._tokenizer.document_ids(texts)
        return [PreparedText(text=text, token_ids=one, urgency=urgency) for text, one in zip(texts, ids, strict=True)]

    def embed(self, batch: Sequence[PreparedText]) -> Vectors:
        """Return one vector of length 1 for each text."""
        if batch[0].urgency is Urgency.QUERY:
            encode, prompt = self._model.encode_query, self._description.query_prompt
        else:
            encode, prompt = self._model.encode_document, self._description.document_prompt
        vectors = encode(
            [text.text for text in batch],
            prompt=prompt,
            batch_size=len(batch),
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def load_sentence_transformer(description: ModelDescription, **model_options: Any) -> SentenceTransformer:
    """Load the model from its folder alone: safetensors, no network, none of its own code. Raises Fatal."""
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            str(description.folder),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, **model_options},
        )
    except (SafetensorError, ValueError, OSError, KeyError, RuntimeError, ImportError) as error:
        raise Fatal(
            f"the model in {description.folder} cannot be loaded: {error}; fetch it again or use another model"
        ) from error
    return model.eval()
