"""How much memory Inver holds after an ingest, and after the same again: run ``python benchmarks/memory.py PATH…``.

PATHs (JSON lines, folders, archives) are ingested into a real ``inver up`` until so many chunks are searchable; then
the same documents are ingested again. After each ingest some queries are asked, so that searching is in the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Place, new_parser, open_place
from benchmarks.documents import finished, ingest, read_documents
from benchmarks.report import Report, table
from benchmarks.service import Service, running_service
from inver.client import collection_path, post_json
from inver.sources import SourceDocument

LIMIT_MEBIBYTES = 1_536.0
GROWTH_MUST_BE = 0.05
SLICE_DOCUMENTS = 500
SETTLE_SECONDS = 5.0
QUERIES = 50


async def measure(options: argparse.Namespace, place: Place, report: Report) -> None:
    """Ingest twice (or as often as asked for) and weigh the process each time."""
    collection = place.collection("memory")
    documents = read_documents(options.paths, place.directory)
    if options.vectors is not None:
        shutil.copyfile(options.vectors, place.directory / "vectors.sqlite")
    with running_service(place) as service:
        start = service.rss_mebibytes()
        weighed: list[dict[str, Any]] = []
        taken: list[SourceDocument] = []
        chunks = 0
        for _ in range(options.rounds):
            # The first round decides how many documents make enough chunks; the others repeat just those.
            asked = taken or documents
            taken, chunks, figures = await one_round(service, collection, asked, options.chunks)
            weighed.append(figures)
    report.figures = {"start_mebibytes": round(start), "documents": len(taken), "chunks": chunks, "rounds": weighed}
    report.tables.append(f"{len(taken)} documents, {chunks} chunks; {start:.0f} MiB before the first")
    rows = [
        (number, one["settled_mebibytes"], one["peak_mebibytes"], one["seconds"])
        for number, one in enumerate(weighed, start=1)
    ]
    report.tables.append(table(("ingest", "MiB after it", "MiB at most", "seconds"), rows))
    tell(report, weighed, chunks, options.chunks)


async def one_round(
    service: Service, collection: str, documents: Sequence[SourceDocument], chunks_wanted: int
) -> tuple[list[SourceDocument], int, dict[str, Any]]:
    """Ingest until there are enough chunks; return what was ingested, its chunks, and the memory meanwhile."""
    started = time.perf_counter()
    peak = [service.rss_mebibytes()]
    watching = asyncio.create_task(watch(service, peak))
    taken: list[SourceDocument] = []
    chunks = 0
    for begin in range(0, len(documents), SLICE_DOCUMENTS):
        some = [document for document in documents[begin : begin + SLICE_DOCUMENTS] if document.event is not None]
        await ingest(service.client, collection, some)
        taken += some
        chunks += (await finished(service.client, collection, [document.id for document in some])).chunks
        if chunks >= chunks_wanted:
            break
    seconds = time.perf_counter() - started
    for number in range(QUERIES):
        question = {"query": f"what is said about number {number} and its cause", "size": 10}
        await post_json(service.client, collection_path(collection, "search"), question)
    await asyncio.sleep(SETTLE_SECONDS)
    watching.cancel()
    settled = service.rss_mebibytes()
    figures = {"settled_mebibytes": round(settled), "peak_mebibytes": round(max(peak)), "seconds": round(seconds)}
    return taken, chunks, figures


async def watch(service: Service, peak: list[float]) -> None:
    """Weigh the process twice a second."""
    while True:
        peak[0] = max(peak[0], service.rss_mebibytes())
        await asyncio.sleep(0.5)


def tell(report: Report, weighed: Sequence[dict[str, Any]], chunks: int, chunks_wanted: int) -> None:
    """Judge."""
    peak = max(one["peak_mebibytes"] for one in weighed)
    first, last = weighed[0]["settled_mebibytes"], weighed[-1]["settled_mebibytes"]
    growth = last / first - 1
    report.target("chunks", must_be=f">= {chunks_wanted:,}", found=f"{chunks:,}", met=chunks >= chunks_wanted)
    report.target(
        "memory at most", must_be=f"<= {LIMIT_MEBIBYTES:.0f} MiB", found=f"{peak} MiB", met=peak <= LIMIT_MEBIBYTES
    )
    report.target(
        "growth over the same again",
        must_be=f"<= {GROWTH_MUST_BE:.0%}",
        found=f"{growth:+.1%}",
        met=growth <= GROWTH_MUST_BE,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    parser.add_argument("--chunks", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vectors", type=Path, help="a vectors.sqlite to start with, so that embedding is a look-up")
    options = parser.parse_args()
    report = Report(benchmark="memory", profile=options.profile, model=options.model)
    with open_place(options) as place:
        asyncio.run(measure(options, place, report))
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
