"""The evaluate command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inver.commands.documents import EXIT_FAILED_DOCUMENTS
from inver.commands.options import DataDir, JsonOption, ProfileOption, note, print_json, show_text


def evaluate(
    directory: Annotated[Path, typer.Argument(help="A BEIR-style folder: corpus.jsonl, queries.jsonl, qrels.tsv.")],
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="The collection to ingest into; its own unless set.")
    ] = None,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest a judged collection, run every query on each leg and on both, and report how good the answers are."""
    import asyncio

    from inver.operations.evaluate import evaluate_directory, table

    report = asyncio.run(
        evaluate_directory(
            directory,
            collection=collection,
            data_dir=data_dir,
            profile=profile,
            quiet=as_json,
            announce=(lambda _: None) if as_json else note,
        )
    )
    if as_json:
        print_json(report)
    else:
        show_text(table(report))
    if report["failed"]:
        raise typer.Exit(EXIT_FAILED_DOCUMENTS)
