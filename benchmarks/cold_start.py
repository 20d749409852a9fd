"""How long commands take from a cold shell: run ``python benchmarks/cold_start.py``.

Whole processes are timed, each several times: ``inver --help``, ``inver search`` on its own, and ``inver search`` while
``inver up`` runs on the same data directory. The first of each run is left out: it fills the disk's cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import INVER, Place, new_parser, open_place
from benchmarks.report import Report, table
from benchmarks.service import running_service

COMMAND_SECONDS = 600.0
SUBJECTS = ("the heron", "a confluence", "the weir", "salmon", "a spring", "the delta", "an estuary", "the mill race")


def small_collection(documents: int, directory: Path) -> Path:
    """Write a few documents."""
    path = directory / "small.jsonl"
    lines = [
        {"id": f"d{n}", "title": f"Note {n}", "text": f"Note {n} is about {SUBJECTS[n % len(SUBJECTS)]} and the river."}
        for n in range(documents)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return path


def timed(place: Place, times: int, *arguments: str) -> list[float]:
    """Run a command so often and once more; return the seconds of all but the first."""
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        done = subprocess.run(
            [INVER, *arguments],
            env=place.environment(),
            cwd=place.directory,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        seconds.append(time.perf_counter() - started)
        if done.returncode != 0:
            raise RuntimeError(
                f"inver {' '.join(arguments)}: exit code {done.returncode}: {done.stderr.decode()[-2_000:]}"
            )
    return seconds[1:]


def measure(options: argparse.Namespace, place: Place, report: Report) -> None:
    """Time all three."""
    collection = place.collection("cold")
    path = small_collection(options.documents, place.directory)
    ingest = ("ingest", str(path), "--collection", collection, *place.flags())
    timed(place, 0, *ingest)
    search = ("search", "salmon at the weir", "--collection", collection, "--json", *place.flags())
    found = {
        "inver --help": timed(place, options.times, "--help"),
        "inver search": timed(place, options.times, *search),
    }
    with running_service(place):
        found["inver search, inver up running"] = timed(place, options.times, *search)
    must_be = {"inver --help": 0.3, "inver search": 3.0, "inver search, inver up running": 0.5}
    rows = []
    for what, seconds in found.items():
        median = statistics.median(seconds)
        rows.append((what, f"{median:.3f}", f"{min(seconds):.3f}", f"{max(seconds):.3f}"))
        report.figures[what] = {"median_seconds": round(median, 3), "seconds": [round(value, 3) for value in seconds]}
        report.target(
            f"{what}, median of {len(seconds)}",
            must_be=f"<= {must_be[what]} s",
            found=f"{median:.2f} s",
            met=median <= must_be[what],
        )
    report.tables.append(table(("command", "median s", "min", "max"), rows))


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    report = Report(benchmark="cold_start", profile=options.profile, model=options.model)
    with open_place(options) as place:
        measure(options, place, report)
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
