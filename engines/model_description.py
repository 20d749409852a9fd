"""Reads from a model folder's own files what the model is: its parts, dimension, limit, pooling and prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.errors import Fatal

_POOLING_FLAGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
#: Tokenizers without a limit of their own write a number of this size or above.
_NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One step of a sentence-transformers model, such as Transformer, Pooling or Normalize."""

    kind: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What has to be known about a model before it is loaded."""

    folder: Path
    #: Where ``tokenizer.json`` is: the first module's folder.
    tokenizer_folder: Path
    dimension: int
    #: What the model reads at most, special tokens included.
    max_tokens: int
    pad_token_id: int
    #: Whether texts are put in lower case before they are cut into tokens.
    lowercase: bool
    document_prompt: str
    query_prompt: str
    #: ``mean`` or ``cls`` where the model is a transformer with that pooling, and no more than normalisation after it;
    #: None for any other, which torch alone can run.
    graph_pooling: str | None


def read_modules(folder: Path) -> tuple[Module, ...]:
    """Return the model's steps in order; a folder without ``modules.json`` is a transformer with mean pooling."""
    listed = _json(folder / "modules.json") if (folder / "modules.json").is_file() else None
    if listed is None:
        config = _optional_json(folder / "config.json")
        pooling = {"embedding_dimension": config.get("hidden_size"), "pooling_mode": "mean"}
        return (
            Module(kind="Transformer", folder=folder, config=config),
            Module(kind="Pooling", folder=folder, config=pooling),
        )
    modules = []
    for entry in listed:
        dotted = str(entry["type"])
        if not dotted.startswith("sentence_transformers."):
            raise Fatal(f"{folder / 'modules.json'} asks for {dotted}, code that Inver does not run; use another model")
        path = folder / str(entry["path"])
        modules.append(Module(kind=dotted.rpartition(".")[2], folder=path, config=_optional_json(path / "config.json")))
    return tuple(modules)


def describe_model(folder: Path) -> ModelDescription:
    """Read the description. Raises Fatal for a folder that is no model, or one that does not say what is needed."""
    modules = read_modules(folder)
    prompts = _optional_json(folder / "config_sentence_transformers.json")
    first = modules[0].folder
    settings = _optional_json(first / "sentence_bert_config.json")
    return ModelDescription(
        folder=folder,
        tokenizer_folder=first,
        dimension=_dimension(folder, modules),
        max_tokens=_max_tokens(modules[0], settings),
        pad_token_id=int(modules[0].config.get("pad_token_id") or 0),
        lowercase=bool(settings.get("do_lower_case", False)),
        document_prompt=_prompt(prompts, ("document", "passage", "corpus")),
        query_prompt=_prompt(prompts, ("query",)),
        graph_pooling=_graph_pooling(modules),
    )


def _dimension(folder: Path, modules: tuple[Module, ...]) -> int:
    dimension: object = None
    for module in modules:
        match module.kind:
            case "Pooling":
                width = module.config.get("embedding_dimension", module.config.get("word_embedding_dimension"))
                dimension = width * len(_pooling_modes(module.config)) if isinstance(width, int) else None
            case "Dense":
                dimension = module.config.get("out_features")
            case "StaticEmbedding":
                dimension = _static_dimension(module.folder)
            case _:
                pass
    if not isinstance(dimension, int) or dimension < 1:
        raise Fatal(f"the model in {folder} does not say how long its vectors are; use another model")
    return dimension


def _static_dimension(folder: Path) -> int | None:
    # A safetensors file begins with the length of a JSON header that names each tensor's shape.
    with (folder / "model.safetensors").open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    shapes = [value["shape"] for name, value in header.items() if name != "__metadata__"]
    return int(shapes[0][1]) if len(shapes) == 1 and len(shapes[0]) == 2 else None  # noqa: PLR2004 -- a matrix


def _max_tokens(module: Module, settings: Mapping[str, Any]) -> int:
    if module.kind == "StaticEmbedding":
        return _NO_LIMIT
    own = settings.get("max_seq_length")
    if isinstance(own, int):
        return own
    tokenizer = _optional_json(module.folder / "tokenizer_config.json").get("model_max_length")
    limits = [limit for limit in (tokenizer, module.config.get("max_position_embeddings")) if isinstance(limit, int)]
    if not limits or min(limits) < 1:
        raise Fatal(
            f"the model in {module.folder} does not say how many tokens it reads; "
            "write max_seq_length into its sentence_bert_config.json"
        )
    return min(*limits, _NO_LIMIT)


def _prompt(config: Mapping[str, Any], names: tuple[str, ...]) -> str:
    # sentence-transformers adds an empty "document" prompt to every model, which hides a "passage" one that the model
    # was trained with. So the first that says anything counts, and every backend is handed it.
    prompts = config.get("prompts") or {}
    return next((str(prompts[name]) for name in names if prompts.get(name)), "")


def _graph_pooling(modules: tuple[Module, ...]) -> str | None:
    kinds = [module.kind for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    pooling = modules[1].config
    modes = _pooling_modes(pooling)
    return modes[0] if modes in (["mean"], ["cls"]) and pooling.get("include_prompt", True) else None


def _pooling_modes(config: Mapping[str, Any]) -> list[str]:
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        return [mode]
    if mode is not None:
        return list(mode)
    return [name for flag, name in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]


def _optional_json(path: Path) -> Mapping[str, Any]:
    return _json(path) if path.is_file() else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fatal(f"{path} cannot be read: {error}; fetch the model again") from error
