"""Whether answers are in the order reciprocal rank fusion says: run ``python benchmarks/fusion_reference.py DIR``.

DIR is a judged collection (corpus.jsonl, queries.jsonl). Both legs are asked alone for their whole window; their lists
are fused here, by an implementation of its own that computes with exact fractions, and compared with the hybrid
answer: by chunks over everything that was found, and by documents over the first page.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.common import Place, new_parser, open_inver, open_place, while_running
from benchmarks.documents import ingest, read_documents, read_queries
from benchmarks.report import Report, table
from inver.client import LocalClient
from query_api.search import Searcher, SearchSettings
from schemas.keys import DocumentKey, row_key
from schemas.search import LEG_NAMES, LegRequest, SearchRequest, SearchResponse

PAGE = 10
INGEST_SECONDS = 3_600.0
DEADLINE_MS = 60_000


@dataclass(slots=True)
class Comparison:
    """How the queries came out."""

    queries: int = 0
    fused_rows: int = 0
    same_chunks: int = 0
    same_documents: int = 0
    #: Rows whose exact scores are equal, but not the floating point ones, so that the tie rule was not applied.
    rounded_ties: int = 0
    #: The hybrid answer was made from other lists than the legs give alone: the comparison says nothing then.
    other_lists: int = 0
    first_difference: str = ""


def fuse(lists: Sequence[Sequence[str]], k: int) -> list[tuple[str, Fraction]]:
    """Fuse ranked lists by the formula, exactly; equal scores by the best rank in any list, then by key."""
    places = [{key: place for place, key in enumerate(ranked, start=1)} for ranked in lists]
    keys = {key for ranked in lists for key in ranked}

    def order(key: str) -> tuple[Fraction, int, str]:
        ranks = [found[key] for found in places if key in found]
        return -sum((Fraction(1, k + rank) for rank in ranks), Fraction(0)), min(ranks), key

    return [(key, -order(key)[0]) for key in sorted(keys, key=order)]


async def run(options: argparse.Namespace, place: Place, report: Report) -> None:
    """Ingest, then compare query by query."""
    collection = place.collection("fusion")
    documents = read_documents([options.directory / "corpus.jsonl"], place.directory, limit=options.documents)
    queries = read_queries(options.directory, limit=options.queries)
    async with open_inver(place, collection) as runtime:
        client = LocalClient(runtime.app)
        await while_running(runtime, ingest(client, collection, documents), seconds=INGEST_SECONDS)
        searcher = Searcher(runtime.directory, SearchSettings())
        comparison = Comparison()
        for query in queries:
            await compare(searcher, collection, query, options.window, comparison)
        await client.close()
    tell(report, comparison)


async def compare(searcher: Searcher, collection: str, query: str, window: int, comparison: Comparison) -> None:
    """Ask both legs alone, then both together, and compare."""

    async def ask(*legs: str, size: int, collapse: bool = False) -> SearchResponse:
        request = SearchRequest(
            collection=collection,
            query=query,
            size=size,
            legs={name: LegRequest(window=window, required=True) for name in legs},
            collapse=collapse,
            deadline_ms=DEADLINE_MS,
        )
        return await searcher.search(request)

    alone = {leg: keys_of(await ask(leg, size=window)) for leg in LEG_NAMES}
    hybrid = await ask(*LEG_NAMES, size=2 * window)
    page = await ask(*LEG_NAMES, size=PAGE, collapse=True)
    expected = fuse([alone[leg] for leg in LEG_NAMES], k=SearchRequest(collection=collection, query=query).k)
    keys = [key for key, _ in expected]
    found = keys_of(hybrid)
    comparison.queries += 1
    comparison.fused_rows += len(keys)
    if ranks_of(hybrid) != {leg: ranks for leg, ranks in places(alone).items() if ranks}:
        comparison.other_lists += 1
    comparison.same_chunks += found == keys
    comparison.same_documents += keys_of(page) == first_of_documents(keys)[:PAGE]
    if found != keys:
        scores = dict(expected)
        differing = [(here, there) for here, there in zip(found, keys, strict=False) if here != there]
        comparison.rounded_ties += sum(scores.get(here) == scores.get(there) for here, there in differing)
        comparison.first_difference = comparison.first_difference or f"{query!r}: {differing[:2]}"


def keys_of(response: SearchResponse) -> list[str]:
    """Name the rows behind the hits."""
    return [row_key(DocumentKey(hit.tenant, hit.id), hit.version, hit.ordinal) for hit in response.hits]


def ranks_of(response: SearchResponse) -> dict[str, dict[str, int]]:
    """Take each leg's list out of a hybrid answer."""
    ranks: dict[str, dict[str, int]] = {}
    for key, hit in zip(keys_of(response), response.hits, strict=True):
        for leg, rank in hit.legs.items():
            ranks.setdefault(leg, {})[key] = rank.rank
    return ranks


def places(lists: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """Number each list."""
    return {leg: {key: place for place, key in enumerate(ranked, start=1)} for leg, ranked in lists.items()}


def first_of_documents(keys: Sequence[str]) -> list[str]:
    """Keep the first row of each document."""
    seen: dict[str, str] = {}
    for key in keys:
        seen.setdefault(key.rpartition("@")[0], key)
    return list(seen.values())


def tell(report: Report, comparison: Comparison) -> None:
    """Fill the report."""
    figures: dict[str, Any] = {
        "queries": comparison.queries,
        "fused_rows": comparison.fused_rows,
        "identical_by_chunks": comparison.same_chunks,
        "identical_by_documents": comparison.same_documents,
        "places_that_differ_by_rounding_of_exact_ties": comparison.rounded_ties,
        "queries_whose_legs_gave_other_lists": comparison.other_lists,
        "first_difference": comparison.first_difference,
    }
    report.figures = figures
    report.tables.append(table(("what", "count"), list(figures.items())))
    same = min(comparison.same_chunks, comparison.same_documents)
    report.target(
        "order identical to the reference",
        must_be="every query",
        found=f"{same} of {comparison.queries}",
        met=same == comparison.queries > 0,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--window", type=int, default=200, help="candidates of each leg")
    parser.add_argument("--documents", type=int, help="take only so many")
    parser.add_argument("--queries", type=int, help="ask only so many")
    options = parser.parse_args()
    report = Report(benchmark="fusion_reference", profile=options.profile, model=options.model)
    with open_place(options) as place:
        asyncio.run(run(options, place, report))
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
