"""The command line with no service running: each command is the whole of Inver for as long as it lasts."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from tests.inver.command_line import CommandLine
from tests.inver.shapes import INGEST_SHAPE, SEARCH_SHAPE, STATUS_SHAPE

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
#: Six files, and four lines of JSON.
COUNT = 10


@pytest.fixture(scope="module")
def inver(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A data directory into which the sample documents were ingested."""
    command = CommandLine(tmp_path_factory.mktemp("cli"))
    outcome = command("ingest", str(EXAMPLES), "--json")
    jsonschema.validate(outcome.json(), INGEST_SHAPE)
    assert (outcome.code, outcome.json(), outcome.err) == (
        0,
        {"accepted": COUNT, "searchable": COUNT, "failed": []},
        "",
    )
    return command


def test_a_search_finds_the_same_after_the_same_files_came_again(inver: CommandLine):
    """A search answers in the documented shape; a second ingest counts every document and writes no new rows."""
    first = inver("search", "fresh water meets the tide", "-k", "3", "--json")
    jsonschema.validate(first.json(), SEARCH_SHAPE)
    assert (first.code, first.err, first.json()["degraded"]) == (0, "", [])
    hits = first.json()["hits"]
    assert (len(hits), hits[0]["id"]) == (3, "documents/estuary-handbook.md")

    again = inver("ingest", str(EXAMPLES), "--json")
    assert (again.code, again.json()) == (0, {"accepted": COUNT, "searchable": COUNT, "failed": []})
    assert inver("search", "fresh water meets the tide", "-k", "3", "--json").json()["hits"] == hits


def test_what_was_not_waited_for_is_finished_by_the_next_command_that_writes(inver: CommandLine):
    """--no-wait returns once the log has the document; until stages run again it is pending, never lost."""
    line = b'{"id": "a", "text": "sooner or later"}'
    outcome = inver("ingest", "-", "-c", "later", "--no-wait", "--json", stdin=line)
    assert (outcome.code, outcome.json()["accepted"], outcome.json()["failed"]) == (0, 1, [])
    before = inver("status", "a", "-c", "later", "--json").json()
    assert before["state"] in ("pending", "searchable")

    inver("ingest", "-", "-c", "later", stdin=b'{"id": "b", "text": "later or sooner"}')

    after = inver("status", "a", "-c", "later", "--json").json()
    jsonschema.validate(after, STATUS_SHAPE)
    assert (after["state"], after["version"]) == ("searchable", before["version"])


def test_a_delete_returns_when_the_document_is_gone(inver: CommandLine):
    """A delete is done when it returns, and later commands know of it."""
    deleted = inver("delete", "documents/flood-plan.md", "--json")

    jsonschema.validate(deleted.json(), STATUS_SHAPE)
    assert (deleted.code, deleted.json()["state"]) == (0, "deleted")
    assert "was deleted" in inver("show", "documents/flood-plan.md").sentence(3)
