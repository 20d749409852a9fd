"""Unpacks the Milvus server program that the `milvus` wheel carries, once for all data directories."""

import base64
import hashlib
import importlib.metadata
import lzma
import shutil
import tempfile
from pathlib import Path

from schemas.errors import Fatal

VERSION = "2.3.5"
_PACKED_SUFFIX = ".lzma"
_HOW_TO_INSTALL = f"install it with: pip install --no-deps milvus=={VERSION}"


def unpack(cache_directory: Path) -> Path:
    """The folder with the program and its libraries; every packed file is checked against the wheel's own record."""
    target = cache_directory / f"milvus-{VERSION}"
    if target.exists():
        return target
    packed = _packed_files()
    cache_directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_directory, prefix=".unpacking-") as scratch:
        draft = Path(scratch) / "programs"
        draft.mkdir()
        for path, sha256 in packed:
            _unpack_one(path, sha256, draft)
        try:
            # The name appears only when everything is there.
            draft.rename(target)
        except OSError:
            # Someone else was quicker; theirs went through the same checks.
            if not target.exists():
                raise
    return target


def _packed_files() -> list[tuple[Path, str]]:
    try:
        wheel = importlib.metadata.distribution("milvus")
    except importlib.metadata.PackageNotFoundError as error:
        raise Fatal(f"the milvus wheel, which carries the Milvus server, is missing: {_HOW_TO_INSTALL}") from error
    if wheel.version != VERSION:
        raise Fatal(
            f"the milvus wheel is version {wheel.version}, but only {VERSION} is known to work: {_HOW_TO_INSTALL}"
        )
    packed = []
    for file in wheel.files or ():
        if file.suffix == _PACKED_SUFFIX and file.hash is not None:
            digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4))
            packed.append((Path(str(file.locate())), digest.hex()))
    if not packed:
        raise Fatal(f"the milvus wheel holds no server for this kind of machine: {_HOW_TO_INSTALL} on Linux or macOS")
    return packed


def _unpack_one(path: Path, sha256: str, folder: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise Fatal(
            f"{path} has SHA-256 {found}, but its wheel's record names {sha256}: reinstall it; {_HOW_TO_INSTALL}"
        )
    unpacked = folder / path.name.removesuffix(_PACKED_SUFFIX)
    with lzma.open(path) as source, unpacked.open("wb") as destination:
        shutil.copyfileobj(source, destination)
    unpacked.chmod(0o755)
