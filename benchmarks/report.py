"""What a benchmark prints: figures, percentiles, tables, and each target with whether it is met."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What must hold, what was found, and whether that is it."""

    what: str
    must_be: str
    found: str
    met: bool


@dataclass(slots=True, kw_only=True)
class Report:
    """Collected while a benchmark runs; ``figures`` go into the JSON, ``tables`` are for people."""

    benchmark: str
    profile: str
    model: str
    figures: dict[str, Any] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def target(self, what: str, *, must_be: str, found: str, met: bool) -> None:
        """Note a target."""
        self.targets.append(Target(what=what, must_be=must_be, found=found, met=met))

    def show(self, *, as_json: bool) -> int:
        """Print, and return the exit code: 0 only where every target is met."""
        met = all(target.met for target in self.targets)
        cores, load = os.cpu_count(), round(os.getloadavg()[0], 1)
        if as_json:
            targets = [
                {"what": target.what, "must_be": target.must_be, "found": target.found, "met": target.met}
                for target in self.targets
            ]
            answer = {"benchmark": self.benchmark, "profile": self.profile, "model": self.model, "cores": cores}
            print(json.dumps({**answer, "load": load, **self.figures, "targets": targets, "met": met}))
        else:
            print(f"{self.benchmark} · {self.profile} · {self.model} · {cores} cores, load {load}")
            for lines in self.tables:
                print(f"\n{lines}")
            rows = [(one.what, one.must_be, one.found, "yes" if one.met else "NO") for one in self.targets]
            print(f"\n{table(('target', 'must be', 'found', 'met'), rows)}")
        return 0 if met else 1


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return median, 95th and 99th percentile, rounded."""
    found = np.percentile(np.asarray(milliseconds, dtype=np.float64), [50, 95, 99])
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}


def percentile_table(heading: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out percentiles, one line each."""
    lines = [(name, *(f"{value:.2f}" for value in row.values())) for name, row in rows.items()]
    return table((heading, "p50", "p95", "p99"), lines)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out columns: the first to the left, numbers to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [
        column > 0 and all(_is_number(row[column]) for row in cells[1:]) and len(cells) > 1
        for column in range(len(header))
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").replace("%", "").strip().isdigit()
