"""Evaluation: how good the answers of each leg, and of both together, are on a collection with judged queries."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from inver.client import Client, collection_path, open_client, post_json
from inver.ingest import Ingest
from inver.progress import ingest_progress
from inver.sources import read_file
from schemas.document import DEFAULT_TENANT
from schemas.errors import Fatal

_LEGS: Final[Mapping[str, list[str]]] = {"dense": ["dense"], "sparse": ["sparse"], "hybrid": ["dense", "sparse"]}
_DEPTH: Final = 100
_NAME_LIMIT: Final = 40

Judgements = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


async def evaluate_directory(
    directory: Path,
    *,
    collection: str | None,
    data_dir: Path | None,
    profile: str | None,
    quiet: bool,
    announce: Callable[[str], None],
) -> dict[str, Any]:
    """Ingest, ask, judge. Raises Fatal for a folder that is not laid out as BEIR collections are."""
    corpus, queries, judgements = _open(directory)
    name = collection or collection_of(directory)
    async with open_client(data_dir=data_dir, profile=profile, writes=True) as client:
        with ingest_progress(quiet=quiet) as progress:
            ingest = Ingest(client, collection=name, tenant=DEFAULT_TENANT, progress=progress)
            await ingest.submit(read_file(corpus, corpus.name, tenant=DEFAULT_TENANT))
            await ingest.wait()
        announce(f"{ingest.report.searchable} documents searchable, {len(ingest.report.failed)} failed")
        legs = {}
        for leg, names in _LEGS.items():
            run = {query: await _ask(client, name, text, names) for query, text in queries.items()}
            legs[leg] = measure(judgements, run)
        described = await client.request("GET", collection_path(name))
        served_by = await client.request("GET", "/version")
    return {
        "collection": name,
        "profile": served_by["profile"],
        "documents": ingest.report.searchable,
        "chunks": described["rows"],
        "queries": len(queries),
        "failed": ingest.report.as_json()["failed"],
        "legs": legs,
    }


def collection_of(directory: Path) -> str:
    """Name the collection that a folder is ingested into."""
    words = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")
    return f"evaluate-{words}"[:_NAME_LIMIT].rstrip("-")


def measure(judgements: Judgements, run: Run) -> dict[str, float]:
    """Compute nDCG@10, Recall@100 and MRR@10, averaged over the judged queries, with ir-measures."""
    from ir_measures import RR, R, calc_aggregate, nDCG

    measures = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr@10": RR @ 10}
    found = calc_aggregate(list(measures.values()), judgements, run)
    return {name: round(float(found[measure]), 4) for name, measure in measures.items()}


def table(report: Mapping[str, Any]) -> str:
    """Lay a report out for people."""
    lines = [
        f"{report['collection']} ({report['profile']}): {report['documents']} documents, {report['chunks']} chunks",
        f"{'leg':<8}{'nDCG@10':>9}{'Recall@100':>12}{'MRR@10':>9}",
    ]
    lines += [
        f"{leg:<8}{figures['ndcg@10']:>9.4f}{figures['recall@100']:>12.4f}{figures['mrr@10']:>9.4f}"
        for leg, figures in report["legs"].items()
    ]
    return "\n".join(lines) + "\n"


async def _ask(client: Client, collection: str, query: str, legs: list[str]) -> dict[str, float]:
    answer = await post_json(
        client, collection_path(collection, "search"), {"query": query, "size": _DEPTH, "legs": legs}
    )
    if answer["degraded"]:
        raise Fatal(f"the {answer['degraded'][0]} leg did not answer {query!r}: figures without it would be wrong")
    # By place, not by score: evaluation tools sort ties their own way, and the order is what people see.
    return {hit["id"]: float(_DEPTH - place) for place, hit in enumerate(answer["hits"])}


def _open(directory: Path) -> tuple[Path, dict[str, str], Judgements]:
    corpus, queries, qrels = directory / "corpus.jsonl", directory / "queries.jsonl", directory / "qrels.tsv"
    for file in (corpus, queries, qrels):
        if not file.is_file():
            raise Fatal(
                f"{directory} has no {file.name}: a judged collection is corpus.jsonl, queries.jsonl, qrels.tsv"
            )
    judgements: Judgements = {}
    for query, document, relevance in _judged(qrels):
        judgements.setdefault(query, {})[document] = relevance
    texts = {query: text for query, text in _queries(queries) if query in judgements}
    if not texts:
        raise Fatal(f"none of the queries in {queries} is judged in {qrels}: nothing can be measured")
    return corpus, texts, judgements


def _queries(queries: Path) -> Iterator[tuple[str, str]]:
    with queries.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                raw = json.loads(line)
                yield str(raw["_id"]), str(raw["text"])
            except (ValueError, KeyError, TypeError):
                raise Fatal(f"{queries}:{number} is not a JSON object with '_id' and 'text'") from None


def _judged(qrels: Path) -> Iterator[tuple[str, str, int]]:
    with qrels.open(encoding="utf-8", errors="replace", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t"), start=1):
            if number == 1 and row[:1] == ["query-id"]:
                continue
            try:
                query, document, relevance = row
                yield query, document, int(relevance)
            except ValueError:
                raise Fatal(f"{qrels}:{number} is not 'query, document, relevance' separated by tabs: {row}") from None
