"""Whether every file of a corpus ends up searchable, or failed with a reason: ``python benchmarks/corpora.py PATH…``.

Each PATH (an archive or a folder) is ingested by the real ``inver ingest``; then its answer is compared with the
manifests, the rows in both engines, the status of every document, and the dead letters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.audit import Audit, audit
from benchmarks.common import INVER, Place, new_parser, open_inver, open_place
from benchmarks.documents import unpack
from benchmarks.report import Report, table
from inver.runtime import Runtime
from inver.sources import files_of, identifier_of
from schemas.document import DEFAULT_TENANT
from schemas.keys import DocumentKey

INGEST_SECONDS = 3_600.0
_FAILED_DOCUMENTS = 1


def folder_of(path: Path, into: Path, limit: int | None) -> Path:
    """Return the folder to ingest: unpacked, and cut down to so many files where that is asked for."""
    folder = unpack(path, into / "unpacked") if path.is_file() else path
    if limit is None:
        return folder
    few = into / "few" / folder.name
    for file in files_of(folder)[:limit]:
        target = few / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return few


def ingest_command(place: Place, collection: str, folder: Path) -> tuple[dict[str, Any], int]:
    """Run `inver ingest`; return its answer and its exit code."""
    command = [INVER, "ingest", str(folder.resolve()), "--collection", collection, "--json", *place.flags()]
    done = subprocess.run(
        command,
        env=place.environment(),
        cwd=place.directory,
        capture_output=True,
        timeout=INGEST_SECONDS,
        check=False,
    )
    if done.returncode not in (0, _FAILED_DOCUMENTS):
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}:\n{done.stderr.decode()[-2_000:]}")
    return json.loads(done.stdout), done.returncode


async def check(
    place: Place, collection: str, answer: dict[str, Any], identifiers: set[str]
) -> tuple[Audit, dict[str, int]]:
    """Compare what the command answered with what is there."""
    failed = {item["id"]: item["reason"] for item in answer["failed"]}
    async with open_inver(place, collection, stages=()) as runtime:
        known = await (await runtime.wiring.statuses()).counts(collection)
        # A file that is refused before the log, such as one of an unknown kind, was never a document.
        refused = len(identifiers) - answer["accepted"]
        accepted_failures = await _accepted(runtime, collection, set(failed))
        found = await audit(runtime, collection, searchable=identifiers - failed.keys(), failed=accepted_failures)
    for identifier in failed.keys() - identifiers:
        found.problem("failure of something that is no file", identifier)
    for identifier in (identifier for identifier, reason in failed.items() if not reason.strip()):
        found.problem("failure without a reason", identifier)
    if answer["searchable"] + len(failed) != len(identifiers):
        found.problem("counts do not add up", f"{answer['searchable']} + {len(failed)} of {len(identifiers)}")
    if answer["searchable"] != found.visible_documents:
        found.problem("counts do not add up", f"{answer['searchable']} told, {found.visible_documents} visible")
    if len(failed) - len(accepted_failures) != refused:
        found.problem("counts do not add up", f"{refused} not accepted, {len(failed) - len(accepted_failures)} refused")
    if sum(known.values()) != answer["accepted"]:
        found.problem("counts do not add up", f"{answer['accepted']} accepted, {sum(known.values())} have a status")
    return found, {"accepted": answer["accepted"], "refused": refused, "failed": len(failed)}


async def _accepted(runtime: Runtime, collection: str, identifiers: set[str]) -> set[str]:
    store = await runtime.wiring.statuses()
    known = await store.read(collection, [DocumentKey(DEFAULT_TENANT, identifier) for identifier in identifiers])
    return {document.id for document in known}


def run(options: argparse.Namespace, place: Place, report: Report) -> None:
    """Take the corpora one after the other."""
    rows = []
    for number, path in enumerate(options.paths):
        collection = place.collection("corpora")
        folder = folder_of(path, place.directory / f"corpus-{number}", options.files)
        identifiers = {identifier_of(file, folder) for file in files_of(folder)}
        started = time.perf_counter()
        answer, exit_code = ingest_command(place, collection, folder)
        seconds = time.perf_counter() - started
        found, counted = asyncio.run(check(place, collection, answer, identifiers))
        if (exit_code == 0) != (not answer["failed"]):
            found.problem("exit code", f"{exit_code} with {len(answer['failed'])} failed")
        figures = {"files": len(identifiers), "searchable": answer["searchable"], **counted}
        rows.append((folder.name, *figures.values(), found.rows, f"{seconds:.0f}", found.problem_counts.total()))
        tell(report, folder.name, {**figures, "seconds": round(seconds, 1), "exit_code": exit_code}, answer, found)
    header = ("corpus", "files", "searchable", "accepted", "refused", "failed", "rows", "seconds", "problems")
    report.tables.insert(0, table(header, rows))


def tell(report: Report, corpus: str, figures: dict[str, Any], answer: dict[str, Any], found: Audit) -> None:
    """Fill the report."""
    reasons = Counter(item["reason"] for item in answer["failed"])
    report.figures[corpus] = {**figures, "reasons": dict(reasons.most_common(20)), **found.as_json()}
    report.tables += [f"{corpus}: {reason}" for reason, _ in reasons.most_common(5)]
    report.tables += found.examples
    report.target(
        f"{corpus}: searchable or failed with a reason; statuses and rows right",
        must_be=f"{figures['files']} files, no problem",
        found=f"{answer['searchable']} + {len(answer['failed'])}, {found.problem_counts.total()} problems",
        met=not found.problem_counts,
    )


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    parser.add_argument("--files", type=int, help="take only so many of each")
    options = parser.parse_args()
    report = Report(benchmark="corpora", profile=options.profile, model=options.model)
    with open_place(options) as place:
        run(options, place, report)
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
