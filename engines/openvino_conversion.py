"""Converts a sentence-transformers model to an OpenVINO graph, once, in a process of its own that ends with torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from engines.model_description import ModelDescription, describe_model
from schemas.errors import Fatal, Retryable

if TYPE_CHECKING:
    import torch

GRAPH: Final = "model.xml"
_PATIENCE_SECONDS: Final = 900.0
#: Below this the graph is not the model, whatever the reason.
_LEAST_COSINE: Final = 0.9999
_CHECKED_TEXTS: Final = (
    "water",
    "Where do the rivers meet?",
    "Zwei Flüsse, 東京, e\u0301 and 🌊: text that is not plain English still has to come out the same.",
    "A longer text, so that a batch has to be padded and the mask has something to hide from pooling. " * 6,
)

_logger = structlog.get_logger(__name__)


def converted_graph(description: ModelDescription, *, fingerprint: str, cache_directory: Path) -> Path:
    """Return the model's graph, converting it first where this version of OpenVINO has not done so yet.

    Blocks, for about half a minute when it converts. Raises Fatal when that is impossible.
    """
    name = f"{fingerprint.rpartition('@')[2]}-openvino-{version('openvino')}"
    finished = cache_directory / name
    if not (finished / GRAPH).is_file():
        _logger.info("model.converting", model=fingerprint, folder=str(finished))
        cache_directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache_directory, ignore_cleanup_errors=True) as attempt:
            _convert_in_a_process(description, Path(attempt) / "graph")
            _publish(Path(attempt) / "graph", finished)
        _logger.info("model.converted", model=fingerprint, folder=str(finished))
    return finished / GRAPH


def _convert_in_a_process(description: ModelDescription, target: Path) -> None:
    command = [sys.executable, "-P", "-m", "engines.openvino_conversion", str(description.folder), str(target)]
    try:
        ended = subprocess.run(  # noqa: S603 -- this interpreter, this module, two paths
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired as error:
        raise Retryable(f"converting {description.folder} took over {_PATIENCE_SECONDS:.0f} seconds") from error
    if ended.returncode != 0:
        _logger.error("model.conversion_failed", folder=str(description.folder), output=ended.stderr)
        reason = ended.stderr.strip().splitlines()[-1:] or [f"it ended with {ended.returncode} and said nothing"]
        raise Fatal(
            f"the model in {description.folder} cannot be converted for OpenVINO: {reason[0]}; "
            "set the embedding backend to 'torch'"
        )


def _publish(graph: Path, finished: Path) -> None:
    # The rename is what makes the graph count: a process that dies before it leaves nothing that could be loaded.
    for path in graph.iterdir():
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    try:
        graph.rename(finished)
    except OSError:
        if not (finished / GRAPH).is_file():
            shutil.rmtree(finished, ignore_errors=True)
            graph.rename(finished)
        # Otherwise another process was first, with the same graph.


def convert(folder: Path, target: Path) -> None:
    """Convert, compare the graph's vectors with the model's own, and leave the graph in ``target``."""
    description = describe_model(folder)
    # Before OpenVINO is imported: its tools report each import and each conversion to their maker.
    # None makes an import fail, which they allow for.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino
    import torch

    from engines.sentence_transformer import load_sentence_transformer

    model = load_sentence_transformer(description, attn_implementation="sdpa").to("cpu")
    example = _example(model)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(
            _graph_module(model, description, tuple(example)), example_input=tuple(example.values())
        )
    for port, name in zip(graph.inputs, example, strict=True):
        port.get_tensor().set_names({name})
    # The default would halve the weights to 16 bits.
    openvino.save_model(graph, target / GRAPH, compress_to_fp16=False)
    _compare(model, description, target / GRAPH)


def _example(model: Any) -> dict[str, torch.Tensor]:
    features = model.preprocess(["rivers", "where the rivers meet"])
    known = ("input_ids", "attention_mask", "token_type_ids")
    return {name: features[name] for name in known if name in features}


def _graph_module(model: Any, description: ModelDescription, inputs: tuple[str, ...]) -> torch.nn.Module:
    import torch

    class Graph(torch.nn.Module):  # type: ignore[misc]  # torch's types are not read
        """The transformer, its pooling and its normalisation as one function of its inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = model[0].auto_model

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            named = dict(zip(inputs, values, strict=True))
            states = self.transformer(**named).last_hidden_state
            if description.graph_pooling == "cls":
                return torch.nn.functional.normalize(states[:, 0], dim=1)
            weights = named["attention_mask"].unsqueeze(-1).to(states.dtype)
            return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=1)

    return Graph().eval()


def _compare(model: Any, description: ModelDescription, graph: Path) -> None:
    from engines.openvino import OpenVinoModel
    from engines.priority_thread import Urgency

    converted = OpenVinoModel(description, graph=graph)
    texts = list(_CHECKED_TEXTS)
    expected = model.encode_query(
        texts, prompt=description.query_prompt, normalize_embeddings=True, show_progress_bar=False
    )
    cosines = (converted.embed(converted.prepare(texts, Urgency.QUERY)) * expected).sum(axis=1)
    # A comparison with NaN is false, so this refuses NaN too.
    if not (cosines >= _LEAST_COSINE).all():
        raise Fatal(f"the converted graph gives other vectors than the model: cosines {cosines.tolist()}")


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as problem:  # noqa: BLE001 -- whatever it is, the parent has to hear of it
        # The parent shows the last line and logs all of them.
        traceback.print_exc()
        sys.exit(f"{type(problem).__name__}: {next(iter(str(problem).splitlines()), '')}")
