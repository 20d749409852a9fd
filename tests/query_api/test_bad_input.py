"""Bad input at the HTTP edge: a 4xx problem that names what is wrong, never a 5xx, and nothing is stored."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.query_api.running_api import RunningApi, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (b"", "invalid_json", None),
        (b'{"text": ', "invalid_json", None),
        (b'{"text": "\xff\xfe"}', "invalid_json", None),
        (b'{"text": "\\ud800"}', "invalid_json", None),
        (b'{"text": "x", "metadata": {"n": NaN}}', "invalid_json", None),
        (b'{"text": "x", "metadata": {"n": Infinity}}', "invalid_json", None),
        (b'{"text": "x", "metadata": {"n": 1e999}}', "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'["text"]', "undecodable", None),
        (b"null", "undecodable", None),
        (b"{}", "invalid_field", "text"),
        (b'{"text": "x", "content": "eA=="}', "invalid_field", "text"),
        (b'{"text": ""}', "invalid_field", "text"),
        (b'{"text": " \\n "}', "invalid_field", "text"),
        (b'{"text": "a\\u0000b"}', "invalid_field", "text"),
        (b'{"text": 7}', "invalid_field", "text"),
        (b'{"text": "x", "title": ["t"]}', "invalid_field", "title"),
        (b'{"text": "x", "titel": "t"}', "invalid_field", "titel"),
        (b'{"text": "x", "metadata": []}', "invalid_field", "metadata"),
        (b'{"text": "x", "metadata": {"a b": 1}}', "invalid_field", "metadata"),
        (b'{"text": "x", "metadata": {"n": {"x": 1}}}', "invalid_field", "metadata.n"),
        (b'{"text": "x", "metadata": {"n": [1]}}', "invalid_field", "metadata.n"),
        (b'{"text": "x", "metadata": {"n": 9007199254740993}}', "invalid_field", "metadata.n"),
        (b'{"text": "x", "metadata": {"n": {"$date": "soon"}}}', "invalid_field", "metadata.n"),
        (b'{"text": "x", "version": 0}', "invalid_field", "version"),
        (b'{"text": "x", "version": 1e30}', "invalid_field", "version"),
        (b'{"text": "x", "occurred_at": "yesterday"}', "invalid_field", "occurred_at"),
        (b'{"content": "not base64!"}', "invalid_field", "content"),
        (b'{"content": ""}', "invalid_field", "content"),
        (b'{"content": "eA==", "media_type": "pdf"}', "invalid_field", "media_type"),
        (b'{"content_uri": "blob:x"}', "invalid_field", "content_sha256"),
    ],
)
async def test_a_bad_document_is_refused(api: RunningApi, body: bytes, reason: str, field: str | None) -> None:
    """The problem names the reason and, where there is one, the field; the document stays unknown."""
    address = api.path("documents", "refused")
    answer = problem(await api.client.put(address, content=body, headers=_JSON), 400, reason)

    assert answer.get("field") == field
    assert (await api.client.get(f"{address}/status")).json()["state"] == "unknown"


@pytest.mark.parametrize(
    ("line", "reason", "field"),
    [
        ({"text": "x"}, "missing_field", "id"),
        ({"id": None, "text": "x"}, "missing_field", "id"),
        ({"id": "", "text": "x"}, "invalid_field", "id"),
        ({"id": 7, "text": "x"}, "invalid_field", "id"),
        ({"id": "a\nb", "text": "x"}, "invalid_field", "id"),
        ({"id": "x" * 2_000, "text": "x"}, "invalid_field", "id"),
        ({"id": "a", "text": "x", "op": "merge"}, "unknown_operation", "op"),
        ({"id": "a", "text": "x", "op": None}, "unknown_operation", "op"),
        ({"id": "a", "text": "x", "schema": 2}, "unknown_schema", "schema"),
        ({"id": "a", "text": "x", "schema": "1"}, "invalid_field", "schema"),
        ({"id": "a", "op": "delete", "text": "x"}, "invalid_field", "text"),
        ({"id": "a", "text": "x", "tenant": 3}, "invalid_field", "tenant"),
    ],
)
async def test_a_bad_line_is_refused(api: RunningApi, line: dict[str, Any], reason: str, field: str) -> None:
    """What only an event can get wrong: its id, operation and schema version."""
    [item] = (await api.lines(orjson.dumps(line)))["items"]

    assert item["status"] == 400
    assert item["problem"]["type"] == f"urn:inver:problem:{reason}"
    assert item["problem"]["field"] == field


@pytest.mark.parametrize("document_id", ["x" * 2_000, "ü" * 70, "a\x00b", "a\nb", "\x7f"])
async def test_an_id_no_engine_could_hold_is_refused(api: RunningApi, document_id: str) -> None:
    """At every endpoint that takes one."""
    address = api.path("documents", document_id)
    for response in (
        await api.client.put(address, json={"text": "x"}),
        await api.client.get(address),
        await api.client.delete(address),
        await api.client.get(f"{address}/status"),
    ):
        assert problem(response, 400, "invalid_field")["field"] == "id"


async def test_bytes_in_an_address_that_are_not_utf8_are_refused(api: RunningApi) -> None:
    """In a path and in a query string; lone surrogates as some encode them included."""
    for path in ("/documents/%ff", "/documents/%ED%A0%80"):
        assert problem(await api.client.get(api.path() + path), 400, "invalid_field")["field"] == "id"
    problem(await api.client.get(f"{api.path('search')}?q=%ff"), 400, "invalid_utf8")
    problem(await api.client.put(f"{api.path('documents', 'a')}?title=%ff", json={"text": "x"}), 400, "invalid_utf8")


async def test_fifty_megabytes_of_text_are_refused(api: RunningApi) -> None:
    """Announced or not, alone or as a line among others."""
    text = "fifty MB " * 5_600_000
    body = orjson.dumps({"text": text})

    async def in_parts() -> Any:
        for start in range(0, len(body), 1024**2):
            yield body[start : start + 1024**2]

    address = api.path("documents", "huge")
    problem(await api.client.put(address, content=body, headers=_JSON), 413, "body_too_large")
    problem(await api.client.put(address, content=in_parts(), headers=_JSON), 413, "body_too_large")
    answer = await api.lines(orjson.dumps({"id": "huge", "text": text}), orjson.dumps({"id": "small", "text": "ok"}))
    assert [item["status"] for item in answer["items"]] == [413, 202]


async def test_a_question_above_its_limit_is_refused(api: RunningApi) -> None:
    """A search is no place for megabytes."""
    response = await api.client.post(api.path("search"), json={"query": "x", "filter": {"pad": "x" * 1024**2}})

    problem(response, 413, "body_too_large")


async def test_metadata_that_changes_its_type_is_refused(api: RunningApi) -> None:
    """The collection remembers what a name was; the document keeps its version."""
    version = await api.store("typed-once", text="It has a year.", metadata={"typed_year": 2020})
    await api.knows("typed_year")
    response = await api.client.put(
        api.path("documents", "typed-once"), json={"text": "x", "metadata": {"typed_year": "2020"}}
    )

    assert problem(response, 400, "field_type_changed")["field"] == "metadata.typed_year"
    assert (await api.client.get(api.path("documents", "typed-once"))).json()["version"] == version


@pytest.mark.parametrize("media_type", ["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_body_of_no_kind_is_refused(api: RunningApi, media_type: str) -> None:
    """Forms are what clients send when they were not told otherwise."""
    headers = {"Content-Type": media_type} if media_type else {}
    response = await api.client.put(api.path("documents", "a"), content=b"text=x", headers=headers)

    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["nonsense", "a/b/c", "text/"])
async def test_a_media_type_that_is_none_is_refused(api: RunningApi, media_type: str) -> None:
    """The field is named."""
    response = await api.client.put(api.path("documents", "a"), content=b"x", headers={"Content-Type": media_type})

    assert problem(response, 400, "invalid_field")["field"] == "media_type"


async def test_an_empty_file_is_refused(api: RunningApi) -> None:
    """It would be a document without anything to find."""
    response = await api.client.put(api.path("documents", "a"), content=b"", headers={"Content-Type": "text/plain"})

    assert problem(response, 400, "invalid_field")["field"] == "content"


@pytest.mark.parametrize("name", ["search", "status"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"query": "\\ud800"}', b'{"query": NaN}', b"[]", b'"x"', b"null"]
)
async def test_a_bad_question_is_refused(api: RunningApi, name: str, body: bytes) -> None:
    """Whatever is not an object in strict JSON."""
    response = await api.client.post(api.path(name), content=body, headers=_JSON)

    assert response.status_code == 400


async def test_a_question_that_is_no_json_is_refused(api: RunningApi) -> None:
    """By its Content-Type; without one it is read as JSON."""
    response = await api.client.post(api.path("search"), content=b"query=x", headers={"Content-Type": "text/plain"})
    problem(response, 415, "unsupported_media_type")

    assert (await api.client.post(api.path("search"), content=b'{"query": "first"}')).status_code == 200


async def test_a_pdf_without_text_is_accepted_and_fails_in_its_status(api: RunningApi) -> None:
    """Only reading it tells; its neighbours are searchable."""
    answer = await api.lines(
        orjson.dumps({"id": "near-1", "text": "neighbour one"}),
        orjson.dumps({"id": "scan", "content": base64.b64encode(_PDF).decode(), "media_type": "application/pdf"}),
        orjson.dumps({"id": "near-2", "text": "neighbour two"}),
    )

    assert answer["accepted"] == 3
    states = [(await api.settled(item["id"], item["version"]))["state"] for item in answer["items"]]
    assert states == ["searchable", "failed", "searchable"]


_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
