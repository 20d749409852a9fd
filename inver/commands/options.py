"""Options that several commands share, and how commands print."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where data lives; INVER_DATA_DIRECTORY, then ./inver-data.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="embedded (default), servers or cluster.", metavar="PROFILE")
]
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output: one object, or one a line while running.")
]

DEFAULT_COLLECTION = "documents"
DEFAULT_TENANT = "default"


def print_json(value: Any) -> None:
    """Print one JSON document on standard output, in UTF-8 whatever the terminal's encoding is."""
    # A lone surrogate, as in a file name that is not UTF-8, becomes the escape that JSON has for it.
    _write(sys.stdout, (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def show_text(text: str) -> None:
    """Print an answer for people on standard output."""
    _write(sys.stdout, text.encode(sys.stdout.encoding, "backslashreplace"))


def note(line: str) -> None:
    """Tell something to people, on standard error."""
    _write(sys.stderr, f"{line}\n".encode(sys.stderr.encoding, "backslashreplace"))


def _write(stream: TextIO, content: bytes) -> None:
    """Write at once. A reader who left, as ``head`` does, has seen enough: the work's own exit code stands."""
    try:
        stream.buffer.write(content)
        stream.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
