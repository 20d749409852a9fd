"""Options that several commands share, and how commands print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where data lives; INVER_DATA_DIRECTORY, then ./inver-data.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="embedded (default), servers or cluster.", metavar="PROFILE")
]
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

DEFAULT_COLLECTION = "documents"
DEFAULT_TENANT = "default"


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Tell something to people, on standard error."""
    sys.stderr.write(line + "\n")
