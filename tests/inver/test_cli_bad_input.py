"""Bad input on the command line: each document that fails is named with its reason, and its neighbours are found."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from pypdf import PdfWriter

from tests.inver.command_line import CommandLine
from tests.inver.shapes import INGEST_SHAPE

LIMIT_BYTES = 4_096


@pytest.fixture(scope="module")
def inver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A running service that takes small documents only, in a place whose collection knows the number `year`."""
    command = CommandLine(tmp_path_factory.mktemp("bad"))
    with command.up(env={"INVER_MAX_TEXT_BYTES": str(LIMIT_BYTES)}):
        first = b'{"id": "first", "text": "good neighbour", "metadata": {"year": 2025}}'
        assert command("ingest", "-", stdin=first).code == 0
        yield command


def pdf(password: str | None = None) -> bytes:
    """Write a PDF of one blank page."""
    writer = PdfWriter()
    writer.add_blank_page(width=72, height=72)
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


#: By line: what is wrong, and words of the reason given. Where a line has no id to be named by, its place names it.
BAD_LINES: dict[bytes, tuple[str, str]] = {
    b'{"id": "broken", "text": ': ("stdin:1", "is not JSON in UTF-8"),
    b'{"id": "latin", "text": "caf\xe9"}': ("stdin:3", "is not JSON in UTF-8"),
    b'{"id": "surrogate", "text": "\\ud800"}': ("surrogate", "surrogate"),
    b'{"id": "\\ud800", "text": "x"}': ("\ud800", "surrogate"),
    b'{"id": "nul", "text": "a\\u0000b"}': ("nul", "it must not contain NUL characters"),
    b'{"id": "empty", "text": ""}': ("empty", "it holds no visible character"),
    b'{"text": "nameless"}': ("stdin:13", "field 'id' has value None: it is required"),
    b'{"id": "merge", "op": "merge", "text": "x"}': ("merge", "it must be 'upsert' or 'delete'"),
    b'{"id": "future", "schema": 9, "text": "x"}': ("future", "this Inver reads version 1"),
    b'{"id": 7, "text": "x"}': ("stdin:19", "it must be a string, not int"),
    b'{"id": "typed", "text": ["x"]}': ("typed", "it must be a string, not list"),
    b'{"id": "' + b"x" * 2_000 + b'", "text": "x"}': ("x" * 2_000, "field 'id'"),
    b'{"id": "nan", "text": "x", "metadata": {"year": NaN}}': ("nan", "not JSON"),
    b'{"id": "retyped", "text": "x", "metadata": {"year": "MMXXV"}}': ("retyped", "field 'metadata.year'"),
    b'{"id": "unknown", "text": "x", "colour": "red"}': ("unknown", "it is not a field of an event"),
    b'{"id": "versioned", "text": "x", "version": 3}': ("versioned", "version"),
    b"[1, 2]": ("stdin:33", "must be a JSON object"),
    b'{"id": "large", "text": "' + b"x" * LIMIT_BYTES + b'x"}': ("large", f"{LIMIT_BYTES}"),
    b'{"id": "deep", "metadata": ' + b"[" * 50_000 + b"}": ("stdin:37", "stdin:37"),
}


def test_each_bad_line_fails_with_its_reason_and_spares_its_neighbours(inver: CommandLine):
    """Bad lines between good ones: every good one is searchable, every bad one is named with a sentence."""
    lines = []
    for number, bad in enumerate(BAD_LINES):
        lines += [bad, f'{{"id": "good-{number}", "text": "good neighbour"}}'.encode()]

    outcome = inver("ingest", "-", "--json", stdin=b"\n".join(lines))

    answer = outcome.json()
    jsonschema.validate(answer, INGEST_SHAPE)
    assert (outcome.code, outcome.err) == (1, "")
    assert answer["searchable"] == len(BAD_LINES)
    # A field whose type was learned less than a second ago is found to have changed by the chunk stage instead.
    assert answer["accepted"] - answer["searchable"] in (0, 1)
    reasons = {failure["id"]: failure["reason"] for failure in answer["failed"]}
    assert len(reasons) == len(answer["failed"]) == len(BAD_LINES)
    for identifier, words in BAD_LINES.values():
        assert words in reasons[identifier], identifier
        assert "\n" not in reasons[identifier], identifier
    found = {hit["id"] for hit in inver("search", "good neighbour", "-k", "100", "--json").json()["hits"]}
    assert found == {"first"} | {f"good-{number}" for number in range(len(BAD_LINES))}


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "picture.png": (b"\x89PNG", "'picture.png' is of an unknown kind (.png); known: .txt"),
    "Makefile": (b"all:", "'Makefile' is of an unknown kind (no suffix)"),
    "empty.txt": (b"", "holds no text"),
    "blank.md": (b" \n\t\n", "holds no text"),
    "latin.txt": (b"caf\xe9 au lait", "UTF-8"),
    "large.txt": (b"many words " * 1_000, f"{LIMIT_BYTES}"),
    "scan.pdf": (pdf(), "none of the PDF's 1 pages has a text layer; run OCR on it first"),
    "secret.pdf": (pdf("open sesame"), "the PDF opens with a password only"),
    "torn.pdf": (b"%PDF-1.7 and nothing more", "the PDF cannot be read"),
    "invisible.html": (b"<html><script>alert(1)</script></html>", "no visible character"),
}


def test_each_bad_file_fails_with_its_reason_and_spares_its_neighbours(inver: CommandLine):
    """A folder with bad files in it: the good ones are searchable, the bad ones and the missing ones are named."""
    folder = inver.home / "folder"
    folder.mkdir()
    for name, (content, _) in BAD_FILES.items():
        (folder / name).write_bytes(content)
    (folder / "good.txt").write_text("a good file")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("a file whose name is not UTF-8")

    outcome = inver("ingest", "folder", "missing.txt", "-c", "files", "--json")

    answer = outcome.json()
    jsonschema.validate(answer, INGEST_SHAPE)
    assert (outcome.code, outcome.err) == (1, "")
    assert answer["searchable"] == 1
    reasons = {failure["id"]: failure["reason"] for failure in answer["failed"]}
    expected = {f"folder/{name}": words for name, (_, words) in BAD_FILES.items()}
    expected |= {"missing.txt": "there is no file or folder 'missing.txt'", "folder/caf\udce9.txt": "surrogate"}
    assert set(reasons) == set(expected)
    for identifier, words in expected.items():
        assert words in reasons[identifier], identifier
    assert [hit["id"] for hit in inver("search", "good file", "-c", "files", "--json").json()["hits"]] == [
        "folder/good.txt"
    ]
    failed = inver("status", "folder/scan.pdf", "-c", "files")
    assert (failed.code, failed.out.split(" (")[0]) == (0, "folder/scan.pdf: failed")
    assert "chunk: no_text_layer: none of the PDF's 1 pages has a text layer" in failed.out


def test_failures_are_listed_for_people_too(inver: CommandLine):
    """Without --json the failures follow the counts, and the exit code is the same."""
    outcome = inver("ingest", "-", stdin=b'{"text": "nameless"}\n{"id": "fine", "text": "fine words"}')

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "1 accepted, 1 searchable, 1 failed",
        "  stdin:1: field 'id' has value None: it is required",
    ]


def test_a_text_of_50_megabytes_fails_with_one_sentence(inver: CommandLine):
    """A file that no request could carry is refused by itself; the file beside it is searchable."""
    (inver.home / "huge.txt").write_bytes(b"fifty million words\n" * 2_500_000)
    (inver.home / "small.txt").write_text("a small file")

    outcome = inver("ingest", "small.txt", "huge.txt", "-c", "huge", "--json")

    assert (outcome.code, outcome.json()["accepted"], outcome.json()["searchable"]) == (1, 1, 1)
    [failure] = outcome.json()["failed"]
    assert failure["id"] == "huge.txt"
    assert json.dumps(failure["reason"]).count("\\n") == 0
    assert "split" in failure["reason"]
    Path(inver.home / "huge.txt").unlink()
