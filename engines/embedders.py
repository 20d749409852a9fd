"""Turns the name of a model into its Embedder and its Tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from engines.batching_embedder import BatchingEmbedder, EmbeddingModel
from engines.hash_embedder import load_hash_embedder
from engines.model_description import ModelDescription, describe_model
from engines.models import fingerprint, locate_model
from engines.ports import Embedder, Tokenizer
from engines.tokenizer import ModelTokenizer
from engines.word_tokenizer import WordTokenizer

Backend = Literal["openvino", "torch"]

#: The model that is none: see ``engines.hash_embedder``.
HASH_MODEL: Final = "hash"
#: Measured by benchmarks/embedding.py; docs/decisions/0003-openvino-f32-by-default.md has the figures.
TOKEN_BUDGET: Final = 1_024

_logger = structlog.get_logger(__name__)


def load_embedder(model: str, *, model_directory: Path | None, cache_directory: Path, backend: Backend) -> Embedder:
    """Return the model's Embedder, loaded and ready.

    Blocks, so call it in a thread: under a second as a rule; longer the first time, when the model is downloaded or
    converted. Raises Fatal with the way out. What OpenVINO cannot run, torch does: the vectors are the same.
    """
    if model == HASH_MODEL:
        return load_hash_embedder()
    folder = locate_model(model, model_directory=model_directory)
    description = describe_model(folder.path)
    name = fingerprint(folder)
    load: Callable[[], EmbeddingModel]
    if backend == "openvino" and description.graph_pooling is not None:
        load = partial(_load_openvino, description, fingerprint=name, cache_directory=cache_directory)
    else:
        if backend == "openvino":
            _logger.warning("model.torch_instead", model=model, reason="its modules are not what OpenVINO is given")
        load = partial(_load_torch, description)
    return BatchingEmbedder(load=load, fingerprint=name, token_budget=TOKEN_BUDGET)


def load_tokenizer(model: str, *, model_directory: Path | None) -> Tokenizer:
    """Return the model's Tokenizer, without its weights being read. Blocks for well under 100 ms. Raises Fatal."""
    if model == HASH_MODEL:
        return WordTokenizer()
    return ModelTokenizer(describe_model(locate_model(model, model_directory=model_directory).path))


def _load_openvino(description: ModelDescription, *, fingerprint: str, cache_directory: Path) -> EmbeddingModel:
    from engines.openvino import OpenVinoModel
    from engines.openvino_conversion import converted_graph

    graph = converted_graph(description, fingerprint=fingerprint, cache_directory=cache_directory / "openvino")
    return OpenVinoModel(description, graph=graph)


def _load_torch(description: ModelDescription) -> EmbeddingModel:
    from engines.sentence_transformer import SentenceTransformerModel

    return SentenceTransformerModel(description)
