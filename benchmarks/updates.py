"""Whether anybody ever sees two versions of a document, none, or an old one: run ``python benchmarks/updates.py``.

One paragraph of a document of several chunks changes again and again while samplers ask all the time, each leg alone
and both together; then the document is deleted. An answer must hold all chunks of one version, and never an older
version than one that an earlier answer held or that was said to be searchable.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.common import Place, new_parser, open_inver, open_place, while_running
from benchmarks.report import Report, percentile_table, percentiles, table
from inver.runtime import Runtime
from query_api.search import Searcher, SearchSettings
from query_api.writing import Accepted
from schemas.chunk import Operation
from schemas.document import DEFAULT_TENANT, DocumentEvent
from schemas.errors import Retryable
from schemas.keys import DocumentKey
from schemas.search import DENSE, LEG_NAMES, SPARSE, LegRequest, SearchRequest, SearchResponse
from schemas.status import DocumentState

DOCUMENT = DocumentKey(DEFAULT_TENANT, "salmon")
QUERY = "salmon swim upstream"
DELETE_SECONDS = 120.0
QUERY_DEADLINE_MS = 60_000
LEGS: Final[Mapping[str, tuple[str, ...]]] = {"hybrid": LEG_NAMES, "dense": (DENSE,), "sparse": (SPARSE,)}
PARAGRAPHS = 6


@dataclass(slots=True)
class Watch:
    """What all samplers together have seen."""

    chunks: int
    newest_seen: int = 0
    deleting: bool = False
    gone: bool = False
    stopped: bool = False
    samples: Counter[str] = field(default_factory=Counter)
    versions_seen: set[int] = field(default_factory=set)
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def violation(self, kind: str, detail: str) -> None:
        """Note what must not be."""
        self.violations[kind] += 1
        if self.violations[kind] <= 3:
            self.examples.append(f"{kind}: {detail}")

    def judge(self, leg: str, response: SearchResponse, *, floor: int, was_gone: bool) -> None:
        """Judge one answer by what was known before its question was asked."""
        self.samples[leg] += 1
        versions = {hit.version for hit in response.hits}
        if response.degraded:
            self.violation("degraded", f"{leg}: {response.legs}")
        if not versions:
            if self.deleting:
                self.gone = True
            else:
                self.violation("none", leg)
            return
        if was_gone:
            self.violation("came back", f"{leg}: {sorted(versions)}")
        if len(versions) > 1:
            self.violation("two versions", f"{leg}: {sorted(versions)}")
        elif {hit.ordinal for hit in response.hits} != set(range(self.chunks)) or len(response.hits) != self.chunks:
            self.violation("not whole", f"{leg}: chunks {sorted(hit.ordinal for hit in response.hits)}")
        if min(versions) < floor:
            self.violation("backwards", f"{leg}: {min(versions)} after {floor}")
        self.versions_seen |= versions
        self.newest_seen = max(self.newest_seen, *versions)


def text_of(number: int) -> str:
    """Write the document; only the paragraph in its middle changes."""
    paragraphs = [
        f"Salmon swim upstream past weir {weir}. " + "The water is cold and clear. " * 14 for weir in range(PARAGRAPHS)
    ]
    paragraphs[PARAGRAPHS // 2] = f"Salmon swim upstream past weir number {number}. " + "The weir was rebuilt. " * 20
    return "\n\n".join(paragraphs)


async def run(options: argparse.Namespace, place: Place, report: Report) -> None:
    """Update under observation, then delete."""
    collection = place.collection("updates")
    async with open_inver(place, collection) as runtime:
        searcher = Searcher(runtime.directory, SearchSettings())
        first = await put(runtime, collection, 0)
        chunks = await finished(runtime, collection, first)
        watch = Watch(chunks=chunks, newest_seen=first.version)
        tasks = [
            asyncio.create_task(sample(searcher, collection, leg, watch))
            for leg in LEGS
            for _ in range(options.samplers)
        ]
        seconds = options.minutes * 60
        started = time.perf_counter()
        try:
            took = await while_running(runtime, change(options, runtime, collection, watch), seconds=seconds)
            await while_running(runtime, delete(runtime, collection, watch), seconds=DELETE_SECONDS)
        finally:
            watch.stopped = True
            await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - started
    tell(options, report, watch, took, elapsed)


async def change(options: argparse.Namespace, runtime: Runtime, collection: str, watch: Watch) -> list[float]:
    """Change the document, each time (or each few times) waiting until that is searchable; return milliseconds."""
    took = []
    for number in range(1, options.updates + 1):
        started = time.perf_counter()
        accepted = await put(runtime, collection, number)
        if number % options.burst == 0 or number == options.updates:
            await finished(runtime, collection, accepted)
            took.append((time.perf_counter() - started) * 1_000)
            # From here on nobody may see anything older.
            watch.newest_seen = max(watch.newest_seen, accepted.version)
    return took


async def delete(runtime: Runtime, collection: str, watch: Watch) -> None:
    """Delete the document and go on sampling for a while."""
    watch.deleting = True
    event = DocumentEvent(key=DOCUMENT, operation=Operation.DELETE)
    [accepted] = await runtime.sink.submit(collection, [event])
    assert isinstance(accepted, Accepted), accepted
    await finished(runtime, collection, accepted)
    watch.gone = True
    samples = watch.samples.total()
    while watch.samples.total() < samples + 20 * len(LEGS):  # noqa: ASYNC110  polling is simplest here
        await asyncio.sleep(0.02)


async def put(runtime: Runtime, collection: str, number: int) -> Accepted:
    """Send the document as it is now."""
    [accepted] = await runtime.sink.submit(
        collection, [DocumentEvent(key=DOCUMENT, title="Salmon", text=text_of(number))]
    )
    assert isinstance(accepted, Accepted), accepted
    return accepted


async def finished(runtime: Runtime, collection: str, accepted: Accepted) -> int:
    """Wait until a version is finished; return the number of its chunks."""
    statuses = await runtime.wiring.statuses()
    while True:
        status = (await statuses.read(collection, [DOCUMENT]))[DOCUMENT]
        if (status.version or 0) >= accepted.version and status.state is not DocumentState.PENDING:
            assert status.state is not DocumentState.FAILED, status
            return status.row_count
        await asyncio.sleep(0.01)


async def sample(searcher: Searcher, collection: str, leg: str, watch: Watch) -> None:
    """Ask without pause."""
    request = SearchRequest(
        collection=collection,
        query=QUERY,
        size=100,
        legs={name: LegRequest() for name in LEGS[leg]},
        collapse=False,
        deadline_ms=QUERY_DEADLINE_MS,
    )
    while not watch.stopped:
        floor, was_gone = watch.newest_seen, watch.gone
        try:
            response = await searcher.search(request)
        except Retryable as error:
            watch.violation("no answer", str(error))
            await asyncio.sleep(0.1)
        else:
            watch.judge(leg, response, floor=floor, was_gone=was_gone)
        # Answers may come without the loop ever having waited, and the others must have their turn.
        await asyncio.sleep(0)


def tell(options: argparse.Namespace, report: Report, watch: Watch, took: list[float], elapsed: float) -> None:
    """Fill the report."""
    kinds = ("two versions", "none", "not whole", "backwards", "came back", "degraded", "no answer")
    report.figures = {
        "updates": options.updates,
        "chunks": watch.chunks,
        "seconds": round(elapsed, 1),
        "update_ms": percentiles(took),
        "samples": dict(watch.samples),
        "versions_seen": len(watch.versions_seen),
        "violations": {kind: watch.violations[kind] for kind in kinds},
        "examples": watch.examples,
    }
    report.tables.append(table(("samples of", "count"), list(watch.samples.items())))
    report.tables.append(table(("violation", "count"), [(kind, watch.violations[kind]) for kind in kinds]))
    report.tables.append(percentile_table("milliseconds", {"update until searchable": percentiles(took)}))
    report.tables += watch.examples
    report.target(
        f"{options.updates} updates and a delete under {watch.samples.total()} samples, "
        f"{len(watch.versions_seen)} versions seen",
        must_be="no violation",
        found=str(watch.violations.total()),
        met=not watch.violations,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__, model="hash")
    parser.add_argument("--updates", type=int, default=1_000)
    parser.add_argument("--samplers", type=int, default=1, help="for each leg and for both together")
    parser.add_argument("--burst", type=int, default=1, help="send so many updates before waiting for the last of them")
    parser.add_argument("--minutes", type=float, default=60.0, help="fail when the updates take longer")
    options = parser.parse_args()
    report = Report(benchmark="updates", profile=options.profile, model=options.model)
    with open_place(options, cache_bytes=0) as place:
        asyncio.run(run(options, place, report))
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
