"""The demonstration: sample documents through the whole pipeline, a few questions, and what to do next."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent / "documents"
INVER = Path(sys.executable).with_name("inver")
QUESTIONS = (
    ("where does fresh water mix with the sea?", ()),
    ("halocline", ("--explain",)),
    (
        "fish that come back to the river where they were born",
        ("--filter", "topic=species", "--filter", "migratory=true"),
    ),
)


def inver(*arguments: str) -> None:
    """Run one command as anybody would, and stop the demonstration if it fails."""
    shown = " ".join(f"'{argument}'" if " " in argument or "=" in argument else argument for argument in arguments)
    print(f"\n$ inver {shown}", flush=True)
    subprocess.run([INVER, *arguments], check=True)


def main() -> None:
    """Ingest, ask, update, delete, and say how to go on."""
    with tempfile.TemporaryDirectory(prefix="inver-demo-") as directory:
        data = ("--data-dir", directory)
        inver("ingest", str(EXAMPLES), *data)
        for question, options in QUESTIONS:
            inver("search", question, "-k", "3", *options, *data)
        inver("status", "documents/flood-plan.md", *data)
        inver("delete", "documents/flood-plan.md", *data)
        inver("search", "flood warning levels", "-k", "2", *data)
        inver("collections", *data)
    print(
        "\nHow to go on:\n"
        "  .venv/bin/inver up YOUR-FOLDER        ingest a folder, keep it in step, serve the API on 127.0.0.1:8642\n"
        "  .venv/bin/inver search 'anything'     ask it, from another terminal\n"
        "  .venv/bin/inver servers up            the same on real Kafka, Milvus and OpenSearch, without Docker\n"
        "  README.md                             what it promises, and how well it keeps it\n"
    )


if __name__ == "__main__":
    main()
