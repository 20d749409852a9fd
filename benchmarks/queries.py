"""How long queries take and what of it is Inver's own: run ``python benchmarks/queries.py DIR``.

DIR is a judged collection. It is ingested, then its queries are asked one after the other: in this process, and over
HTTP from a real ``inver up`` on one kept connection. Overhead is total − embedding − slower leg. Where the text engine
takes longer than the dense leg with its embedding, that formula flatters; ``beyond the critical path`` does not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common import Place, new_parser, open_inver, open_place, while_running
from benchmarks.documents import ingest, read_documents, read_queries
from benchmarks.report import Report, percentile_table, percentiles
from benchmarks.service import running_service
from inver.client import LocalClient, collection_path
from query_api.search import Searcher, SearchSettings
from schemas.search import DENSE, SPARSE, SearchRequest

OVERHEAD_MUST_BE_MS = 5.0
WORK_SECONDS = 3_600.0
WARM_UP = 10
#: A leg left out for lateness would make the others look good.
DEADLINE_MS = 60_000


@dataclass(slots=True)
class Times:
    """Milliseconds of every query, by what they were spent on."""

    columns: dict[str, list[float]] = field(default_factory=dict)

    def add(self, *, total: float, steps: Mapping[str, float], dense: float, sparse: float) -> None:
        """Add one query."""
        embed = steps["embed"]
        row = {
            "total": total,
            "embedding": embed,
            "dense leg": dense,
            "sparse leg": sparse,
            "slower leg": max(dense, sparse),
            "fusing": steps["fuse"],
            "manifests and rows": steps["show"],
            "overhead": total - embed - max(dense, sparse),
            "beyond the critical path": total - max(embed + dense, sparse),
        }
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Return them by what they are of."""
        return {name: percentiles(values) for name, values in self.columns.items()}


async def in_process(options: argparse.Namespace, place: Place, collection: str, queries: list[str]) -> Times:
    """Ingest, then ask in this process."""
    documents = read_documents([options.directory / "corpus.jsonl"], place.directory, limit=options.documents)
    times = Times()
    async with open_inver(place, collection) as runtime:
        client = LocalClient(runtime.app)
        await while_running(runtime, ingest(client, collection, documents), seconds=WORK_SECONDS)
        await client.close()
        searcher = Searcher(runtime.directory, SearchSettings())
        for number, query in enumerate([*queries[:WARM_UP], *queries * options.repeat]):
            request = SearchRequest(collection=collection, query=query, size=options.size, deadline_ms=DEADLINE_MS)
            started = time.perf_counter()
            response = await searcher.search(request)
            total = (time.perf_counter() - started) * 1_000
            assert not response.degraded, response.legs
            if number >= min(WARM_UP, len(queries)):
                dense, sparse = (response.legs[name].took_ms for name in (DENSE, SPARSE))
                times.add(total=total, steps=response.steps_ms, dense=dense, sparse=sparse)
    return times


async def over_http(options: argparse.Namespace, place: Place, collection: str, queries: list[str]) -> Times:
    """Ask a process that runs for itself."""
    times = Times()
    with running_service(place) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as client:
            for number, query in enumerate([*queries[:WARM_UP], *queries * options.repeat]):
                body = {"query": query, "size": options.size, "explain": True, "deadline_ms": DEADLINE_MS}
                started = time.perf_counter()
                response = await client.post(collection_path(collection, "search"), json=body)
                total = (time.perf_counter() - started) * 1_000
                answer: dict[str, Any] = response.json()
                assert response.is_success, answer
                assert not answer["degraded"], answer["legs"]
                if number >= min(WARM_UP, len(queries)):
                    dense, sparse = (answer["legs"][name]["took_ms"] for name in (DENSE, SPARSE))
                    times.add(total=total, steps=answer["steps_ms"], dense=dense, sparse=sparse)
    return times


def tell(report: Report, way: str, times: Times) -> None:
    """Fill the report."""
    found = times.percentiles()
    report.figures[way] = {"queries": len(times.columns["total"]), "milliseconds": found}
    report.tables.append(percentile_table(f"{way}, ms", found))
    overhead = found["overhead"]["p50"]
    report.target(
        f"{way}: total − embedding − slower leg, p50",
        must_be=f"<= {OVERHEAD_MUST_BE_MS:.0f} ms",
        found=f"{overhead:.2f} ms",
        met=overhead <= OVERHEAD_MUST_BE_MS,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--documents", type=int, help="take only so many")
    parser.add_argument("--queries", type=int, help="ask only so many")
    parser.add_argument("--repeat", type=int, default=1, help="ask all so often")
    parser.add_argument("--size", type=int, default=10, help="hits of each answer")
    options = parser.parse_args()
    report = Report(benchmark="queries", profile=options.profile, model=options.model)
    queries = read_queries(options.directory, limit=options.queries)
    with open_place(options) as place:
        collection = place.collection("queries")
        tell(report, "in process", asyncio.run(in_process(options, place, collection, queries)))
        tell(report, "over HTTP", asyncio.run(over_http(options, place, collection, queries)))
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
