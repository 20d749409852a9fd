"""The progress bar of an ingest: accepted, searchable, failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from inver.ingest import IngestReport, Progress


@contextmanager
def ingest_progress(*, quiet: bool) -> Iterator[Progress]:
    """Draw on a terminal; say nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("searchable"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("ingest", total=None, failed=0)

        def draw(report: IngestReport) -> None:
            bars.update(task, total=report.accepted, completed=report.searchable, failed=len(report.failed))

        yield draw
