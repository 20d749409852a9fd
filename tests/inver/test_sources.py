"""Where documents come from: every file and line becomes a document or says why it does not."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from inver import sources
from inver.sources import SourceDocument, files_of, identifier_of, read_json_lines, read_paths


def lines(content: bytes, tenant: str = "default") -> list[SourceDocument]:
    """Read JSON lines."""
    return list(read_json_lines(io.BytesIO(content), name="corpus.jsonl", tenant=tenant))


def line(**fields: Any) -> bytes:
    """Write one line."""
    return json.dumps(fields).encode() + b"\n"


def paths(*given: Path, tenant: str = "default") -> list[SourceDocument]:
    """Read files and folders."""
    return list(read_paths(given, tenant=tenant))


def test_a_folder_is_read_in_order_without_what_is_hidden(tmp_path: Path):
    """Ids begin with the folder's name and use forward slashes; links and hidden files are left alone."""
    folder = tmp_path / "notes"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b.md", "a.txt", "deep/er/c.rst", ".hidden.md", ".git/config.txt"):
        (folder / name).write_text("words")
    (tmp_path / "outside.md").write_text("secret")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)

    found = paths(folder)

    assert [document.id for document in found] == ["notes/a.txt", "notes/b.md", "notes/deep/er/c.rst"]
    assert [identifier_of(file, folder) for file in files_of(folder)] == [document.id for document in found]


def test_a_file_becomes_an_upsert_with_its_bytes(tmp_path: Path):
    """Kind by suffix, source by path; the bytes are not looked into here."""
    file = tmp_path / "Read Me.MD"
    file.write_bytes(b"\xff words")

    [document] = paths(file, tenant="acme")

    assert document.event == {
        "schema": 1,
        "op": "upsert",
        "tenant": "acme",
        "id": "Read Me.MD",
        "content": base64.b64encode(b"\xff words").decode(),
        "media_type": "text/markdown",
        "source": str(file),
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.exe", b"x", "unsupported_media_type"),
        ("README", b"x", "unsupported_media_type"),
        ("a.md", b"", "empty_file"),
        ("a.txt", b" \n ", "empty_file"),
    ],
)
def test_a_file_that_is_no_document_says_why(tmp_path: Path, name: str, content: bytes, reason: str):
    """Nothing is skipped without a word, and the others go on."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.md").write_text("words")

    bad, good = paths(tmp_path)

    assert bad.failure is not None
    assert (bad.event, bad.failure.reason) == (None, reason)
    assert bad.id == f"{tmp_path.name}/{name}"
    assert good.event is not None


def test_a_path_that_is_not_there_says_so(tmp_path: Path):
    """It does not keep the others from being read."""
    (tmp_path / "a.md").write_text("words")

    absent, there = paths(tmp_path / "absent", tmp_path / "a.md")

    assert absent.failure is not None
    assert absent.failure.reason == "no_such_file"
    assert there.event is not None


def test_a_file_too_large_to_read_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By its size, before it fills the memory."""
    monkeypatch.setattr(sources, "FILE_LIMIT_BYTES", 10)
    (tmp_path / "a.md").write_text("more than ten bytes")

    [document] = paths(tmp_path / "a.md")

    assert document.failure is not None
    assert "a file may have 10 bytes" in str(document.failure)


@pytest.mark.parametrize("name", ["a.md", "a.jsonl"])
def test_a_file_that_vanishes_while_it_is_read_says_so(tmp_path: Path, name: str):
    """Folders change while they are read."""
    file = tmp_path / name
    file.write_text("{}")
    reading = sources.read_file(file, "a", tenant="default")
    file.unlink()

    [document] = list(reading)

    assert document.failure is not None
    assert document.failure.reason == "unreadable_file"


@pytest.mark.skipif(os.geteuid() == 0, reason="whoever may read everything cannot be refused")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path):
    """With the system's own words."""
    file = tmp_path / "a.md"
    file.write_text("words")
    file.chmod(0)

    [document] = paths(file)

    assert document.failure is not None
    assert "Permission denied" in str(document.failure)


def test_a_beir_corpus_is_understood():
    """Its names become ours; what is empty is left out, and the rest of it is left alone."""
    [first, second] = lines(
        line(_id="d1", title="Title", text="words", metadata={"url": "u"}) + line(_id="d2", title="", text="more")
    )

    assert first == SourceDocument(
        id="d1",
        event={
            "schema": 1,
            "op": "upsert",
            "id": "d1",
            "title": "Title",
            "text": "words",
            "metadata": {"url": "u"},
            "tenant": "default",
        },
    )
    assert second.event is not None
    assert (second.event["title"], second.event["metadata"]) == (None, None)


def test_an_event_is_taken_as_it_is():
    """Version, operation and every other field are the line's own."""
    [document] = lines(line(id="a", op="delete", version=7))

    assert document.event == {"schema": 1, "op": "delete", "id": "a", "version": 7, "tenant": "default"}


@pytest.mark.parametrize(
    ("flag", "own", "expected"),
    [("default", None, "default"), ("default", "acme", "acme"), ("emca", None, "emca"), ("emca", "acme", "emca")],
)
def test_a_tenant_that_was_asked_for_counts_for_every_line(flag: str, own: str | None, expected: str):
    """Else a line's own tenant counts."""
    [document] = lines(line(id="a", text="x", **({} if own is None else {"tenant": own})), tenant=flag)

    assert document.event is not None
    assert document.event["tenant"] == expected


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff",
        b"[1]",
        b'"text"',
        b"null",
        b"[" * 200_000,
        b"1" * 5_000,
        b'{"id": "a"} {"id": "b"}',
    ],
    ids=["broken", "no UTF-8", "list", "string", "null", "deeply nested", "endless number", "two on a line"],
)
def test_a_line_that_is_no_object_is_named_by_its_number(bad: bytes):
    """The lines around it are documents."""
    first, middle, last = lines(line(id="a", text="x") + b"\n" + bad + b"\n" + line(id="b", text="y"))

    assert middle.failure is not None
    assert (middle.id, middle.failure.reason) == ("corpus.jsonl:3", "invalid_json")
    assert "corpus.jsonl:3" in str(middle.failure)
    assert (first.id, last.id) == ("a", "b")


def test_a_line_without_an_id_is_named_by_its_place():
    """The API says what is missing; the report says where."""
    [number, absent] = lines(line(id=5, text="x") + line(text="x"))

    assert (number.id, absent.id) == ("corpus.jsonl:1", "corpus.jsonl:2")
    assert number.event is not None
    assert number.event["id"] == 5


def test_a_byte_order_mark_and_windows_lines_are_read():
    """Editors write both."""
    [first, second] = lines(b"\xef\xbb\xbf" + b'{"id": "a", "text": "x"}\r\n{"id": "b", "text": "y"}')

    assert (first.id, second.id) == ("a", "b")


def test_json_lines_in_a_folder_are_many_documents(tmp_path: Path):
    """Their ids are their own."""
    (tmp_path / "corpus.JSONL").write_bytes(line(id="a", text="x") + line(id="b", text="y"))

    assert [document.id for document in paths(tmp_path)] == ["a", "b"]
