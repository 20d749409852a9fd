"""Whether every document is in exactly once after kills during ingest: run ``python benchmarks/kills.py CORPUS…``.

``--kill up``: documents are sent to a real ``inver up``, which is killed (SIGKILL) whenever a random part of them is
searchable, and started again each time; the sender sends again what it got no answer for, as any sender does.
``--kill ingest``: ``inver ingest`` itself is killed at random moments, and then run again until it ends by itself.
Afterwards manifests, the rows of both engines, statuses and dead letters must all tell of every document once.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.audit import Audit, audit
from benchmarks.common import INVER, Place, new_parser, open_inver, open_place
from benchmarks.documents import counts, drained, read_documents
from benchmarks.report import Report, table
from benchmarks.service import Service, start_service
from inver.ingest import Ingest
from inver.sources import SourceDocument
from schemas.document import DEFAULT_TENANT
from schemas.errors import InverError

SLICE_DOCUMENTS = 100
WORK_SECONDS = 1_800.0
#: How long past its random moment a kill may come, so that it hits any step of a batch.
JITTER_SECONDS = 0.3


class Killed:
    """An `inver up` that is killed again and again, each time after a random part of what is left is searchable."""

    def __init__(self, place: Place, collection: str, documents: int, chance: random.Random) -> None:
        self._place = place
        self._collection = collection
        self._documents = documents
        self._chance = chance
        self.service: Service = start_service(place)
        self.kills: list[dict[str, Any]] = []

    async def run(self, times: int) -> None:
        """Kill and start again until all kills are done."""
        done = 0
        for _ in range(times):
            started = time.perf_counter()
            part = self._chance.uniform(0.02, 0.6)
            await self._reached(done + part * (self._documents - done))
            await asyncio.sleep(self._chance.uniform(0.0, JITTER_SECONDS))
            done = await self._reached(0)
            await asyncio.to_thread(self.service.kill)
            killed = time.perf_counter()
            self.service = await asyncio.to_thread(start_service, self._place)
            during = done < self._documents
            again = await self._reached(done + 1)
            self.kills.append(
                {
                    "searchable_before": done,
                    "during": during,
                    "after_seconds": round(killed - started, 2),
                    "goes_on_after_seconds": round(time.perf_counter() - killed, 2),
                    "searchable_then": again,
                }
            )
            done = again

    async def _reached(self, documents: float) -> int:
        while True:
            try:
                found = await counts(self.service.client, self._collection)
            except InverError:
                found = {}
            finished = found.get("searchable", 0) + found.get("failed", 0)
            # The kill may have come when everything was done.
            if finished >= min(documents, self._documents):
                return finished
            await asyncio.sleep(0.02)


async def kill_up(
    place: Place, collection: str, documents: list[SourceDocument], chance: random.Random, times: int
) -> list[dict[str, Any]]:
    """Send everything while the service is killed; return the kills."""
    killed = Killed(place, collection, len(documents), chance)
    try:
        async with asyncio.timeout(WORK_SECONDS):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(killed.run(times))
                tasks.create_task(send(killed, collection, documents))
            await drained(killed.service.client, collection)
    finally:
        await asyncio.to_thread(killed.service.stop)
    return killed.kills


async def send(killed: Killed, collection: str, documents: list[SourceDocument]) -> None:
    """Send slice after slice; what got no answer is sent again."""
    for begin in range(0, len(documents), SLICE_DOCUMENTS):
        while True:
            run = Ingest(killed.service.client, collection=collection, tenant=DEFAULT_TENANT, progress=lambda _: None)
            try:
                await run.submit(documents[begin : begin + SLICE_DOCUMENTS])
            except (InverError, OSError):
                await asyncio.sleep(0.1)
            else:
                assert not run.report.failed, run.report.failed[:3]
                break


def kill_ingest(place: Place, collection: str, path: Path, chance: random.Random, times: int) -> list[dict[str, Any]]:
    """Run `inver ingest` and kill it, then run it to its end; return the kills."""
    undisturbed = place.below("undisturbed")
    started = time.perf_counter()
    _ingest(undisturbed, undisturbed.collection("kills-undisturbed"), path, seconds=WORK_SECONDS)
    whole = time.perf_counter() - started
    kills: list[dict[str, Any]] = []
    for _ in range(times):
        moment = chance.uniform(0.1 * whole, 0.95 * whole)
        code = _ingest(place, collection, path, seconds=moment)
        kills.append(
            {"during": code is None, "after_seconds": round(moment, 2), "undisturbed_seconds": round(whole, 2)}
        )
    code = _ingest(place, collection, path, seconds=WORK_SECONDS)
    assert code == 0, code
    return kills


def _ingest(place: Place, collection: str, path: Path, *, seconds: float) -> int | None:
    """Run the command and return its exit code; None where it was killed because the time was up."""
    command = [INVER, "ingest", str(path), "--collection", collection, *place.flags()]
    process = subprocess.Popen(command, env=place.environment(), cwd=place.directory, stderr=subprocess.DEVNULL)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


async def check(place: Place, collection: str, documents: Sequence[SourceDocument]) -> Audit:
    """Compare everything there is with what was sent."""
    async with open_inver(place, collection, stages=()) as runtime:
        return await audit(runtime, collection, searchable={document.id for document in documents})


def tell(report: Report, kills: list[dict[str, Any]], found: Audit, documents: int) -> None:
    """Fill the report."""
    report.figures |= {"documents": documents, "kills": kills, **found.as_json()}
    report.tables.append(table(tuple(kills[0]), [tuple(kill.values()) for kill in kills]))
    report.tables.append(table(("after the last start", "count"), found.table_rows()))
    report.tables += found.examples
    during = sum(kill["during"] for kill in kills)
    report.target(
        "kills while documents were on their way", must_be=str(len(kills)), found=str(during), met=during == len(kills)
    )
    report.target(
        f"{len(kills)} kills: every document exactly once, no manual step",
        must_be=f"{documents} documents, no problem",
        found=f"{found.visible_documents} documents, {found.problem_counts.total()} problems",
        met=found.visible_documents == documents and not found.problem_counts,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__, model="hash")
    parser.add_argument("paths", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--kill", choices=("up", "ingest"), default="up")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seed", type=int, help="repeats the random moments of another run")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    report = Report(benchmark=f"kills ({options.kill})", profile=options.profile, model=options.model)
    report.figures["seed"] = seed
    report.tables.append(f"seed {seed}")
    with open_place(options, cache_bytes=0) as place:
        found = read_documents(options.paths, place.directory, limit=options.documents)
        # A document with nothing in it fails for good reason and says nothing about kills.
        documents = [document for document in found if document.event is not None and _has_text(document)]
        collection = place.collection("kills")
        chance = random.Random(seed)
        inver = place.below("inver")
        if options.kill == "up":
            kills = asyncio.run(kill_up(inver, collection, documents, chance, options.times))
        else:
            kills = kill_ingest(inver, collection, _written(documents, place), chance, options.times)
        tell(report, kills, asyncio.run(check(inver, collection, documents)), len(documents))
    return report.show(as_json=options.json)


def _has_text(document: SourceDocument) -> bool:
    event = document.event or {}
    return bool(event.get("text") or event.get("content"))


def _written(documents: Sequence[SourceDocument], place: Place) -> Path:
    path = place.directory / "documents.jsonl"
    path.write_text("\n".join(json.dumps(document.event) for document in documents) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
