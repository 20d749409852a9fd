"""The pages agree with the code: generated ones are up to date, reference pages are complete, links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from inver.cli import app
from inver.observer import Metrics
from schemas.filters import evaluate, parse_filter
from schemas.metadata import filterable, parse_metadata
from tests.docs.pages import ROOT, links, read_page

PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_EXAMPLE = re.compile(r"^\| `(\{.*?\})` \| `(\{.*\})` \| (true|false) \|$", re.MULTILINE)


def test_generated_pages_are_up_to_date() -> None:
    """`make docs` has been run since the code last changed."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link inside the repository names a file that is there."""
    folder = (ROOT / page).parent

    assert [target for target in links(read_page(page)) if not (folder / target).exists()] == []


def commands(group: Any, name: str = "inver") -> dict[str, Any]:
    """Return every command by the words that call it."""
    if not hasattr(group, "commands"):
        return {name: group}
    found: dict[str, Any] = {}
    for word, command in group.commands.items():
        found |= commands(command, f"{name} {word}")
    return found


def test_the_command_line_page_names_every_command_and_option() -> None:
    """Whatever `--help` shows is on the page."""
    page = read_page("docs/reference/cli.md")
    headings = "\n".join(re.findall(r"^## (.*)$", page, re.MULTILINE))
    missing: list[str] = []
    for name, command in commands(typer.main.get_command(app)).items():
        parent, _, word = name.rpartition(" ")
        if f"`{name}" not in headings and not (f"`{parent} " in headings and f"`{word}`" in headings):
            missing.append(name)
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        missing += [f"{name} {option}" for option in sorted(options - {"--help"}) if f"`{option}`" not in page]

    assert missing == []


def test_the_metrics_page_names_every_metric_with_its_type() -> None:
    """What Prometheus is told of is on the page, and nothing else is."""
    page = read_page("docs/reference/metrics.md")
    described = dict(re.findall(r"^\| `(inver_\w+)` \| (\w+) \|", page, re.MULTILINE))

    families = {family.name: family.type for family in Metrics().registry.collect()}
    assert described == {f"{name}_total" if kind == "counter" else name: kind for name, kind in families.items()}


def test_the_examples_on_the_filters_page_are_true() -> None:
    """Each row is what the plain evaluator says."""
    rows = _EXAMPLE.findall(read_page("docs/reference/filters.md"))

    assert len(rows) == 16
    for metadata, condition, expected in rows:
        known = filterable(parse_metadata(json.loads(metadata)))
        assert evaluate(parse_filter(json.loads(condition)), known) is (expected == "true"), (metadata, condition)


def test_every_decision_is_listed_and_says_what_would_reopen_it() -> None:
    """A record has all four parts, and its line in the index."""
    folder = Path(ROOT / "docs" / "decisions")
    index = (folder / "README.md").read_text(encoding="utf-8")
    for record in sorted(folder.glob("0*.md")):
        text = record.read_text(encoding="utf-8")
        assert f"({record.name})" in index
        for part in ("## Context", "## Decision", "## Consequences", "## Revisit when"):
            assert part in text, (record.name, part)
