"""The command line: assembles the commands, and turns errors into one sentence and a stable exit code."""

from __future__ import annotations

import sys
from typing import Final

import typer

from inver.commands import documents, evaluation, running, searching
from inver.commands.options import note
from schemas.errors import Fatal, InverError, Poison, Retryable

#: 0 done; 1 some documents failed; 2 wrong usage (typer's own); then one for each kind of error.
EXIT_REFUSED: Final = 3
EXIT_UNAVAILABLE: Final = 4
EXIT_FATAL: Final = 5
_EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="inver",
    help="Hybrid search that is whole or not at all: documents in, ranked answers out, every leg accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(running.up)
app.command()(documents.ingest)
app.command()(searching.search)
app.command()(documents.show)
app.command()(documents.status)
app.command()(documents.delete)
app.command()(documents.collections)
app.command()(evaluation.evaluate)
app.command()(running.run)
app.add_typer(running.topics, name="topics")
app.add_typer(running.servers, name="servers")


def main() -> None:
    """Run a command. A user's mistake gets a sentence, never a traceback."""
    try:
        app()
    except InverError as error:
        note(f"inver: {error}")
        sys.exit(_exit_code(error))
    except OSError as error:
        # A disk that is full or gone, a file that may not be read: the system's own words say it best.
        note(f"inver: {error.strerror or error}" + (f": {error.filename}" if error.filename is not None else ""))
        sys.exit(EXIT_FATAL)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


def _exit_code(error: InverError) -> int:
    match error:
        case Poison():
            return EXIT_REFUSED
        case Retryable():
            return EXIT_UNAVAILABLE
        case Fatal():
            return EXIT_FATAL
        case _:
            return EXIT_FATAL
