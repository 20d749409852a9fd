"""The embedding model on OpenVINO in f32: torch's vectors, without torch, loaded in well under a second."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.batching_embedder import PreparedText
from engines.model_description import ModelDescription
from engines.priority_thread import Urgency
from engines.tokenizer import ModelTokenizer
from schemas.embedding import Vectors
from schemas.errors import Fatal


class OpenVinoModel:
    """An EmbeddingModel. ``graph`` is what ``engines.openvino_conversion`` wrote, with pooling and normalisation."""

    def __init__(self, description: ModelDescription, *, graph: Path) -> None:
        self._tokenizer = ModelTokenizer(description)
        self._pad_token_id = description.pad_token_id
        self.dimension = description.dimension
        self._request, self._inputs = _compile(graph)

    def prepare(self, texts: Sequence[str], urgency: Urgency) -> list[PreparedText]:
        """Cut texts into the tokens that the model reads."""
        if urgency is Urgency.QUERY:
            ids = [self._tokenizer.query_ids(text) for text in texts]
        else:
            ids = self._tokenizer.document_ids(texts)
        return [PreparedText(text=text, token_ids=one, urgency=urgency) for text, one in zip(texts, ids, strict=True)]

    def embed(self, batch: Sequence[PreparedText]) -> Vectors:
        """Return one vector of length 1 for each text."""
        width = max(len(text.token_ids) for text in batch)
        ids = np.full((len(batch), width), self._pad_token_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text.token_ids)] = text.token_ids
            mask[row, : len(text.token_ids)] = 1
        offered = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        outputs = self._request.infer({name: offered[name] for name in self._inputs})
        vectors: Vectors = outputs[0]
        return vectors


def import_openvino() -> Any:
    """Import OpenVINO without its conversion tools, which take time and report every import to their maker."""
    name = "openvino.tools.ovc"
    if name not in sys.modules:
        # None makes an import fail, which OpenVINO allows for.
        sys.modules[name] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _compile(graph: Path) -> tuple[Any, tuple[str, ...]]:
    openvino = import_openvino()
    # f32 has to be asked for: where the processor knows bf16 the default takes it, and loses digits. One stream with
    # all cores, because batches come one after another.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        compiled = openvino.Core().compile_model(str(graph), "CPU", options)
    except RuntimeError as error:
        raise Fatal(f"{graph} cannot be loaded: {error}; delete its folder, and it is made again") from error
    return compiled.create_infer_request(), tuple(name.any_name for name in compiled.inputs)
