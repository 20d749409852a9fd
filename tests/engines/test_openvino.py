"""OpenVINO gives torch's vectors, converts a model once, and loads it without torch."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.embedders import load_embedder, load_tokenizer
from engines.model_description import describe_model
from engines.models import DEFAULT_MODEL
from engines.openvino_conversion import converted_graph
from engines.ports import Embedder, Tokenizer
from schemas.errors import Fatal
from tests.contracts.embedder import EmbedderContract
from tests.engines.embedding_model import CACHE_DIRECTORY, copy_without_weights, default_model_folder, write_tiny_model
from tests.engines.texts import varied_texts


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """Load the default model on OpenVINO."""
    embedder = load_embedder(DEFAULT_MODEL, model_directory=None, cache_directory=CACHE_DIRECTORY, backend="openvino")
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Load its tokenizer."""
    return load_tokenizer(DEFAULT_MODEL, model_directory=None)


class TestOpenVino(EmbedderContract):
    """The contract, on OpenVINO."""


async def test_vectors_equal_those_of_sentence_transformers(embedder: Embedder) -> None:
    """Two hundred texts of many scripts and lengths, each at a cosine of at least .99999 to the reference's."""
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(default_model_folder()), device="cpu", local_files_only=True)
    texts = varied_texts(200)

    expected = reference.encode_document(texts, normalize_embeddings=True, show_progress_bar=False)
    cosines = (await embedder.embed_documents(texts) * expected).sum(axis=1)
    queries = reference.encode_query(texts[:20], normalize_embeddings=True, show_progress_bar=False)
    query_cosines = [float(await embedder.embed_query(text) @ queries[at]) for at, text in enumerate(texts[:20])]

    assert cosines.min() >= 0.99999
    assert min(query_cosines) >= 0.99999


async def test_both_backends_share_a_fingerprint_and_vectors(tmp_path: Path) -> None:
    """So an index may change from one to the other; here for pooling by the first token, and with prompts."""
    folder = write_tiny_model(tmp_path / "model", pooling="cls", prompts={"query": "find: ", "document": "read: "})
    fast = load_embedder("tiny", model_directory=folder, cache_directory=tmp_path / "cache", backend="openvino")
    slow = load_embedder("tiny", model_directory=folder, cache_directory=tmp_path / "cache", backend="torch")
    texts = varied_texts(40)

    assert slow.fingerprint == fast.fingerprint
    assert np.allclose(await slow.embed_documents(texts), await fast.embed_documents(texts), atol=1e-5)
    assert np.allclose(await slow.embed_query("rivers"), await fast.embed_query("rivers"), atol=1e-5)
    await slow.close()
    await fast.close()

    graph = next((tmp_path / "cache").rglob("model.xml"))
    written_at = graph.stat().st_mtime_ns
    again = load_embedder("tiny", model_directory=folder, cache_directory=tmp_path / "cache", backend="openvino")
    await again.close()
    assert written_at == graph.stat().st_mtime_ns, "a second start converts again"
    assert len(list((tmp_path / "cache" / "openvino").iterdir())) == 1, "a conversion leaves things behind"


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The error says why and what to do; the next start tries again."""
    folder = copy_without_weights(tmp_path / "model")
    description = describe_model(folder)
    (folder / "modules.json").write_text("{broken")

    with pytest.raises(Fatal, match=r"cannot be converted for OpenVINO: Fatal: .*cannot be read.*set the embedding"):
        converted_graph(description, fingerprint="tiny@0", cache_directory=tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    """With the folder to delete."""
    from engines.openvino import OpenVinoModel

    (tmp_path / "model.xml").write_text("<net")

    with pytest.raises(Fatal, match=r"cannot be loaded: (.|\n)*delete its folder"):
        OpenVinoModel(describe_model(default_model_folder()), graph=tmp_path / "model.xml")


@pytest.mark.usefixtures("embedder")  # It has converted the model.
def test_a_start_needs_neither_torch_nor_time_nor_the_network() -> None:
    """Imports, fingerprint, load and first query together; telemetry stays away."""
    program = f"""
import time; began = time.process_time()
import asyncio, sys; from pathlib import Path
from engines.embedders import load_embedder
embedder = load_embedder({DEFAULT_MODEL!r}, model_directory=None, cache_directory=Path({str(CACHE_DIRECTORY)!r}),
                         backend="openvino")
asyncio.run(embedder.embed_query("where do rivers meet?"))
print(time.process_time() - began, *{{"torch", "transformers", "openvino_telemetry"}} & set(sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
        for _ in range(3)
    ]

    assert not any(run.stdout.split()[1:] for run in runs)
    # Processor time, which other work on the machine does not change; the waiting time of an idle one is below it.
    assert min(float(run.stdout.split()[0]) for run in runs) < 2.0
