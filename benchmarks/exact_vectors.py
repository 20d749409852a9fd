"""How fast and how exact the embedded vector engine searches: run ``python -m benchmarks.exact_vectors``.

Prints median times for one tenant alone, for a tenant that holds a quarter of the rows, and under a filter that one
row in a hundred meets; recall is against brute force in double precision.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.exact_vectors import ExactVectorIndex
from schemas.embedding import Vectors
from schemas.filters import Equal, Filter
from schemas.keys import DocumentKey
from schemas.metadata import FilterableValue
from schemas.row import Row

BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of question, and which rows it is about."""

    name: str
    tenant: str
    condition: Filter | None
    concerns: Callable[[int], bool]


CASES = (
    Case(name="all rows", tenant="whole", condition=None, concerns=lambda _: True),
    Case(name="tenant with a quarter", tenant="quarter", condition=None, concerns=lambda n: n % 4 == 0),
    Case(name="filter for 1 %", tenant="whole", condition=Equal("group", "g7"), concerns=lambda n: n % 100 == 7),
)


async def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--window", type=int, default=10)
    options = parser.parse_args()

    random = np.random.default_rng(1)
    vectors = normalised(random.standard_normal((options.rows, options.dimension), dtype=np.float32))
    queries = normalised(random.standard_normal((options.queries, options.dimension), dtype=np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        # The tenant with a quarter of the rows shares the index with one that has all of them.
        index = ExactVectorIndex(path, options.dimension)
        await fill(index, "whole", vectors, lambda _: True)
        started = time.perf_counter()
        await fill(index, "other", vectors, lambda n: n % 4 != 0)
        await fill(index, "quarter", vectors, CASES[1].concerns)
        print(f"upsert: {options.rows / (time.perf_counter() - started):,.0f} rows/s, on disk")
        await index.close()

        index = ExactVectorIndex(path, options.dimension)
        started = time.perf_counter()
        await index.ensure()
        print(f"start: {time.perf_counter() - started:.2f} s for {2 * options.rows:,} rows")
        if await index.count() != 2 * options.rows:
            raise SystemExit(f"{await index.count():,} of {2 * options.rows:,} rows are there after opening again")
        products = [timed(partial(np.matmul, vectors, query)) for query in queries]
        print(f"one product of all {options.rows:,} rows, by BLAS: p50 {statistics.median(products):.2f} ms")
        for case in CASES:
            await measure(index, case, vectors, queries, options.window)
        await index.close()


def timed(work: Callable[[], object]) -> float:
    """Return how many milliseconds the work takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1_000


def normalised(vectors: NDArray[np.float32]) -> Vectors:
    """Give every vector the length 1."""
    result: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


async def fill(index: ExactVectorIndex, tenant: str, vectors: Vectors, concerns: Callable[[int], bool]) -> None:
    """Store the rows that concern the tenant."""
    numbers = [number for number in range(len(vectors)) if concerns(number)]
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        await index.upsert([row(tenant, number) for number in batch], vectors[batch])


def row(tenant: str, number: int) -> Row:
    """Make a row with metadata and a text of ordinary size."""
    metadata: dict[str, FilterableValue] = {
        "group": f"g{number % 100}",
        "year": 1990 + number % 35,
        "url": f"https://example.org/{number}",
    }
    return Row(
        document=DocumentKey(tenant, f"d{number}"),
        version=1,
        ordinal=0,
        title=f"Document {number}",
        text="word " * 120,
        prefix=f"Document {number}",
        start=0,
        end=600,
        metadata=metadata,
    )


async def measure(index: ExactVectorIndex, case: Case, vectors: Vectors, queries: Vectors, window: int) -> None:
    """Ask every query once, after a few to warm up, and compare the answers with brute force."""
    concerned = np.array([number for number in range(len(vectors)) if case.concerns(number)])
    exact = vectors[concerned].astype(np.float64)
    for query in queries[:5]:
        await index.search(query, tenant=case.tenant, window=window, condition=case.condition)
    times: list[float] = []
    found = 0
    for query in queries:
        started = time.perf_counter()
        hits = await index.search(query, tenant=case.tenant, window=window, condition=case.condition)
        times.append((time.perf_counter() - started) * 1_000)
        best = concerned[np.argsort(-(exact @ query.astype(np.float64)))[:window]]
        expected = {f"{case.tenant}/d{number}@1#0" for number in best}
        found += len(expected & {hit.key for hit in hits})
    slowest = np.percentile(times, 95)
    recall = found / (window * len(queries))
    print(f"{case.name}: p50 {statistics.median(times):.2f} ms, p95 {slowest:.2f} ms, recall@{window} {recall:.4f}")


if __name__ == "__main__":
    asyncio.run(main())
