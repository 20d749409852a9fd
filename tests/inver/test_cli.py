"""The command line in everyday use, with no service running: what goes in comes out, in the documented shapes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.inver.command_line import INVER, CommandLine, environment

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
#: Six files and a BEIR corpus of seven lines less one: see the folder.
COUNT = 10

FAILURE = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "reason": {"type": "string", "minLength": 1}},
    "required": ["id", "reason"],
    "additionalProperties": False,
}
INGEST_SHAPE = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "searchable": {"type": "integer"},
        "failed": {"type": "array", "items": FAILURE},
    },
    "required": ["accepted", "searchable", "failed"],
    "additionalProperties": False,
}
RANK = {"type": "object", "properties": {"rank": {"type": "integer", "minimum": 1}}, "required": ["rank"]}
LEGS = {"type": "object", "properties": {"dense": RANK, "sparse": RANK}, "additionalProperties": False}
HIT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "score": {"type": "number", "exclusiveMinimum": 0},
        "text": {"type": "string"},
        "legs": LEGS | {"minProperties": 1},
    },
    "required": ["id", "score", "text", "legs"],
}
SEARCH_SHAPE = {
    "type": "object",
    "properties": {
        "hits": {"type": "array", "items": HIT},
        "degraded": {"type": "array", "items": {"enum": ["dense", "sparse"]}},
    },
    "required": ["hits", "degraded"],
}
STATUS_SHAPE = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "version": {"type": ["integer", "null"]},
        "state": {"enum": ["searchable", "pending", "failed", "deleted", "unknown"]},
    },
    "required": ["id", "version", "state"],
}


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


def test_a_search_answers_in_the_documented_shape(inver: CommandLine):
    """Hits have id, score, text and each leg's rank; nothing is degraded."""
    outcome = inver("search", "fresh water meets the tide", "-k", "3", "--json")

    answer = outcome.json()
    jsonschema.validate(answer, SEARCH_SHAPE)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(answer["hits"]) == 3
    assert answer["degraded"] == []
    assert answer["hits"][0]["id"] == "documents/estuary-handbook.md"


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


def test_ingesting_again_changes_nothing_and_counts_everything(inver: CommandLine):
    """The second ingest of the same files finds every document searchable and writes no new rows."""
    before = inver("search", "river", "--json").json()["hits"]
    outcome = inver("ingest", str(EXAMPLES), "--json")
    after = inver("search", "river", "--json").json()["hits"]

    assert outcome.json() == {"accepted": COUNT, "searchable": COUNT, "failed": []}
    assert [(hit["id"], hit["score"], hit["version"]) for hit in after] == [
        (hit["id"], hit["score"], hit["version"]) for hit in before
    ]


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


IDS = ("über/straße 7.md", 'a "quoted" id', "100%", "..", "?a=1&b#c", "日本語\u2028🚀", "-dash")


def test_ids_may_hold_anything(inver: CommandLine):
    """Slashes, spaces, quotes, dots and any script survive the way in, and into status, show, search and delete."""
    lines = "\n".join(json.dumps({"id": identifier, "text": f"odd words {identifier}"}) for identifier in IDS)
    assert inver("ingest", "-", "-c", "odd", "--json", stdin=lines.encode()).json()["searchable"] == len(IDS)

    with inver.up():
        assert {hit["id"] for hit in inver("search", "odd words", "-c", "odd", "--json").json()["hits"]} == set(IDS)
        for identifier in IDS:
            assert inver("status", "-c", "odd", "--json", "--", identifier).json()["state"] == "searchable"
            assert inver("show", "-c", "odd", "--json", "--", identifier).json()["id"] == identifier
            deleted = inver("delete", "-c", "odd", "--json", "--", identifier)
            assert (deleted.code, deleted.json()["state"]) == (0, "deleted")


def test_what_was_not_waited_for_is_finished_by_the_next_command_that_writes(inver: CommandLine):
    """--no-wait returns once the log has the document; until stages run it is pending, never lost."""
    outcome = inver(
        "ingest", "-", "-c", "later", "--no-wait", "--json", stdin=b'{"id": "a", "text": "sooner or later"}'
    )
    pending = inver("status", "a", "-c", "later", "--json").json()
    inver("ingest", "-", "-c", "later", stdin=b'{"id": "b", "text": "later or sooner"}')
    answer = inver("search", "sooner later", "-c", "later", "--json").json()

    assert (outcome.code, outcome.json()["accepted"], outcome.json()["failed"]) == (0, 1, [])
    assert pending["state"] in ("pending", "searchable")
    assert {hit["id"] for hit in answer["hits"]} == {"a", "b"}


def test_a_deleted_document_is_gone_and_said_to_be(inver: CommandLine):
    """After a delete neither search nor show finds the document, its status says why, and deleting again is fine."""
    inver("ingest", "-", "-c", "short", stdin=b'{"id": "a", "text": "short lived"}\n{"id": "b", "text": "lives on"}')

    deleted = inver("delete", "a", "-c", "short", "--json")
    jsonschema.validate(deleted.json(), STATUS_SHAPE)
    assert (deleted.code, deleted.json()["state"]) == (0, "deleted")
    assert [hit["id"] for hit in inver("search", "short lived", "-c", "short", "--json").json()["hits"]] == ["b"]
    assert "was deleted" in inver("show", "a", "-c", "short").sentence(3)
    assert inver("delete", "a", "-c", "short").code == 0
    assert inver("status", "a", "-c", "short", "--json").json()["state"] == "deleted"
