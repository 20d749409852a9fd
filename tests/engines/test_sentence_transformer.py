"""The torch backend keeps the port's promises, for any sentence-transformers model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.embedders import load_embedder, load_tokenizer
from engines.models import DEFAULT_MODEL
from engines.ports import Embedder, Tokenizer
from schemas.errors import Fatal
from tests.contracts.embedder import EmbedderContract
from tests.engines.embedding_model import CACHE_DIRECTORY, write_tiny_model


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """Load the default model on torch."""
    embedder = load_embedder(DEFAULT_MODEL, model_directory=None, cache_directory=CACHE_DIRECTORY, backend="torch")
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Load its tokenizer."""
    return load_tokenizer(DEFAULT_MODEL, model_directory=None)


class TestSentenceTransformer(EmbedderContract):
    """The contract, on torch."""


async def test_a_model_of_any_shape_runs(tmp_path: Path) -> None:
    """What OpenVINO is not given, such as a dense layer, torch runs although OpenVINO was asked for."""
    folder = write_tiny_model(tmp_path / "model", pooling="lasttoken", dense=12)

    embedder = load_embedder("tiny", model_directory=folder, cache_directory=tmp_path / "cache", backend="openvino")

    assert embedder.dimension == 12
    assert (await embedder.embed_documents(["two", "texts of which one is longer"])).shape == (2, 12)
    assert not (tmp_path / "cache").exists()
    await embedder.close()


async def test_prompts_are_applied(tmp_path: Path) -> None:
    """Queries and documents get their own."""
    plain = write_tiny_model(tmp_path / "plain")
    prompted = write_tiny_model(tmp_path / "prompted", prompts={"query": "find: ", "passage": "read: "})
    without = load_embedder("tiny", model_directory=plain, cache_directory=tmp_path, backend="torch")
    with_prompts = load_embedder("tiny", model_directory=prompted, cache_directory=tmp_path, backend="torch")

    document, query = await without.embed_documents(["read: rivers", "find: rivers"])

    assert np.allclose(document, (await with_prompts.embed_documents(["rivers"]))[0], atol=1e-5)
    assert np.allclose(query, await with_prompts.embed_query("rivers"), atol=1e-5)
    assert without.fingerprint != with_prompts.fingerprint
    await without.close()
    await with_prompts.close()


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    """Weights that are none end in a sentence, not in a traceback."""
    folder = write_tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(Fatal, match=r"cannot be loaded.*fetch it again or use another model"):
        load_embedder("tiny", model_directory=folder, cache_directory=tmp_path, backend="torch")


def test_code_inside_a_model_is_never_run(tmp_path: Path) -> None:
    """A model that needs its own code is refused."""
    folder = write_tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoModel": "code.Model", "AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    with pytest.raises(Fatal, match="cannot be loaded"):
        load_embedder("tiny", model_directory=folder, cache_directory=tmp_path, backend="torch")
    assert not (tmp_path / "ran").exists()
