"""The data directory: found as the settings would find it, and checked before anything is opened in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from schemas.errors import Fatal

_DEFAULT: Final = Path("inver-data")


def find_data_directory(flag: Path | None) -> Path:
    """Find the data directory without loading the settings: a running Inver knows the rest itself."""
    if flag is not None:
        return flag
    if "INVER_DATA_DIRECTORY" in os.environ:
        return Path(os.environ["INVER_DATA_DIRECTORY"])
    config = Path(os.environ.get("INVER_CONFIG", "inver.toml"))
    return _configured(config) if config.is_file() else _DEFAULT


def prepare_data_directory(directory: Path) -> None:
    """Make the directory if it is missing. Raises Fatal where it cannot be made or nothing can be written into it."""
    if directory.exists() and not directory.is_dir():
        raise Fatal(f"data directory {directory} is a file, not a folder: choose another --data-dir")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(
            f"data directory {directory} cannot be made ({error.strerror}): choose another --data-dir"
        ) from None
    # Only trying shows it: permissions say nothing of a read-only file system, nor of what root may not do.
    trial = directory / f".trial-{os.getpid()}"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise Fatal(
            f"data directory {directory} cannot be written to ({error.strerror}): make room or change its "
            "permissions, or choose another --data-dir"
        ) from None


def _configured(config: Path) -> Path:
    import tomllib

    try:
        return Path(str(tomllib.loads(config.read_text()).get("data_directory", _DEFAULT)))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Fatal(f"{config} is not TOML: {error}") from None
