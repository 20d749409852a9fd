"""Checks that the rooms are ours: a foreign package named ``schemas`` or ``consumers`` would otherwise shadow one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOMS: Final = ("schemas", "streams", "engines", "consumers", "query_api")


def check_rooms() -> None:
    """Raise ImportError, naming both paths, when a room comes from elsewhere than Inver itself."""
    home = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        spec = find_spec(room)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin is not None else None
        if found != home / room:
            raise ImportError(
                f"Inver needs its own package '{room}' at {home / room}, but Python finds {found or 'none'}: run Inver "
                "in an environment of its own, and not from a folder that holds a package of that name"
            )
