"""The command line beside a running service: every command asks it over HTTP, whatever it is asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.inver.command_line import INVER, CommandLine, environment
from tests.inver.shapes import STATUS_SHAPE

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
COUNT = 10


@pytest.fixture(scope="module")
def inver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A running service that has the sample documents."""
    command = CommandLine(tmp_path_factory.mktemp("served"))
    with command.up():
        outcome = command("ingest", str(EXAMPLES))
        assert (outcome.code, outcome.out) == (0, ""), outcome
        assert outcome.err == f"{COUNT} accepted, {COUNT} searchable, 0 failed\n"
        yield command


def test_a_search_for_people_shows_ranks_titles_and_text(inver: CommandLine):
    """Without --json each hit shows its place, id, ranks and own words; --explain adds what each leg contributed."""
    outcome = inver("search", "halocline", "--leg", "sparse", "--explain")

    assert outcome.code == 0
    first, *rest = outcome.out.splitlines()
    assert first.startswith("  1. documents/estuary-handbook.md  score 0.0164  dense –  sparse #1 (")
    assert first.endswith("→ +0.01639)")
    assert any("halocline" in line for line in rest)


def test_filters_that_are_given_several_times_must_all_hold(inver: CommandLine):
    """name=value, name>=number, name!=value and the JSON form narrow the answer together."""
    filters = ("topic=species", "length_cm>=80", "migratory!=true", '{"field": "length_cm", "lt": 1000}')
    arguments = [part for condition in filters for part in ("--filter", condition)]

    answer = inver("search", "fish", *arguments, "--json").json()

    assert [hit["id"] for hit in answer["hits"]] == ["species/grey-heron"]


def test_status_show_and_collections_tell_about_what_is_there(inver: CommandLine):
    """A document's status has its version and timings; its text is shown whole; its collection is listed."""
    status = inver("status", "species/european-eel", "--json").json()
    jsonschema.validate(status, STATUS_SHAPE)
    assert (status["state"], status["row_count"]) == ("searchable", 1)
    assert set(status["timings"]) == {"chunk", "embed", "index"}

    shown = inver("show", "species/european-eel")
    assert shown.out.startswith("Anguilla anguilla is born in the Sargasso Sea")
    assert str(status["version"]) in shown.err

    listed = inver("collections", "--json").json()
    [collection] = listed["collections"]
    assert (collection["name"], collection["documents"]["searchable"]) == ("documents", COUNT)


def test_what_was_never_heard_of_is_unknown(inver: CommandLine):
    """The status of an unknown id is an answer, not a mistake."""
    outcome = inver("status", "never", "--json")

    jsonschema.validate(outcome.json(), STATUS_SHAPE)
    assert (outcome.code, outcome.json()["state"], outcome.json()["version"]) == (0, "unknown", None)


def test_output_into_a_reader_that_leaves_is_no_failure(inver: CommandLine):
    """`inver search … | head -1` ends quietly, with nothing on standard error and exit code 0."""
    command = f"'{INVER}' search river -k 10 | head -c 1; exit ${{PIPESTATUS[0]}}"

    piped = subprocess.run(
        ["bash", "-c", command],
        cwd=inver.home,
        env=environment(inver.home, {"INVER_DATA_DIRECTORY": str(inver.data)}),
        capture_output=True,
        check=False,
    )

    assert (piped.returncode, piped.stdout, piped.stderr) == (0, b" ", b"")


def test_lines_from_standard_input_files_and_one_file(inver: CommandLine):
    """Events and BEIR lines are read from stdin, together with files of their own; `-c` makes another collection."""
    (inver.home / "note.txt").write_text("A single file about otters.")
    lines = (
        b'{"_id": "beir", "title": "Otters", "text": "A BEIR line about otters.", "metadata": {"year": 2026}}\n'
        b'\n{"id": "event", "op": "upsert", "schema": 1, "text": "An event about otters."}\n'
        b'{"id": "elsewhere", "tenant": "acme", "text": "Otters of another tenant."}'
    )

    outcome = inver("ingest", "-", "note.txt", "-c", "others", "--json", stdin=lines)
    answer = inver("search", "otters", "-c", "others", "--json").json()

    assert (outcome.code, outcome.json()) == (0, {"accepted": 4, "searchable": 4, "failed": []})
    assert {hit["id"] for hit in answer["hits"]} == {"beir", "event", "note.txt"}
    [beir] = [hit for hit in answer["hits"] if hit["id"] == "beir"]
    assert (beir["title"], beir["metadata"]) == ("Otters", {"year": 2026})


IDS = ('über/straße "7".md', "..", "?a=1&b#c 100%", "日本語\u2028🚀", "-dash")


def test_ids_may_hold_anything(inver: CommandLine):
    """Slashes, spaces, quotes, dots and any script survive the way in, and into status, show, search and delete."""
    lines = "\n".join(json.dumps({"id": identifier, "text": f"odd words {identifier}"}) for identifier in IDS)
    assert inver("ingest", "-", "-c", "odd", "--json", stdin=lines.encode()).json()["searchable"] == len(IDS)

    assert {hit["id"] for hit in inver("search", "odd words", "-c", "odd", "--json").json()["hits"]} == set(IDS)
    for identifier in IDS:
        assert inver("show", "-c", "odd", "--json", "--", identifier).json()["id"] == identifier
        deleted = inver("delete", "-c", "odd", "--json", "--", identifier)
        assert (deleted.code, deleted.json()["id"], deleted.json()["state"]) == (0, identifier, "deleted")


def test_a_deleted_document_is_gone_and_said_to_be(inver: CommandLine):
    """After a delete neither search nor show finds the document, its status says why, and deleting again is fine."""
    inver("ingest", "-", "-c", "short", stdin=b'{"id": "a", "text": "short lived"}\n{"id": "b", "text": "lives on"}')

    deleted = inver("delete", "a", "-c", "short")
    assert (deleted.code, deleted.err) == (0, "a: deleted\n")
    assert [hit["id"] for hit in inver("search", "short lived", "-c", "short", "--json").json()["hits"]] == ["b"]
    assert "was deleted" in inver("show", "a", "-c", "short").sentence(3)
    assert inver("delete", "a", "-c", "short").code == 0
    assert inver("status", "a", "-c", "short", "--json").json()["state"] == "deleted"
