"""Documents over HTTP: in, out, away; any id; and what is visible while a document changes."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.query_api.running_api import RunningApi, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ODD_IDS = [
    "a/b",
    "a/status",
    "status",
    "ü",
    "%2F",
    "%",
    "..",
    ".",
    "two words",
    "a?b#c",
    "a+b",
    "//",
    "日本",
    "a;b=c,d",
    "~",
]


@pytest.mark.parametrize("document_id", _ODD_IDS)
async def test_any_id_names_one_document(api: RunningApi, document_id: str) -> None:
    """Whatever stands in an id, storing, asking, reading and deleting mean the same document."""
    accepted = await api.put(document_id, tenant="ids", text=f"the text of {document_id}")
    assert accepted["id"] == document_id
    status = (await api.client.get(accepted["status"])).json()
    assert (status["id"], status["tenant"]) == (document_id, "ids")
    await api.settled(document_id, accepted["version"], tenant="ids")
    address = api.path("documents", document_id)
    document = (await api.client.get(address, params={"tenant": "ids"})).json()
    assert document["id"] == document_id
    assert document["text"] == f"the text of {document_id}"

    deleted = (await api.client.delete(address, params={"tenant": "ids"})).json()

    status = await api.settled(document_id, deleted["version"], tenant="ids")
    assert status["state"] == "deleted"


async def test_a_slash_that_is_not_encoded_is_no_part_of_an_id(api: RunningApi) -> None:
    """One address means one thing; the problem says how a slash is written."""
    response = await api.client.put(f"{api.path('documents')}/a/b", json={"text": "x"})

    assert "%2F" in problem(response, 404, "not_found")["detail"]


async def test_a_document_comes_back_as_it_was_sent(api: RunningApi) -> None:
    """Title, metadata with its dates and lists, source, and the text in chunks with their spans."""
    text = "\n\n".join(f"Paragraph {n} speaks of {'things ' * 30}and ends." for n in range(12))
    metadata = {"year": 2020, "ratio": 0.5, "ok": True, "tags": ["a", "b"], "seen": {"$date": "2026-01-31T12:00:00Z"}}
    version = await api.store("whole", title="A title", text=text, metadata=metadata, source="tests")

    document = (await api.client.get(api.path("documents", "whole"))).json()

    assert document["version"] == version
    assert document["title"] == "A title"
    assert document["source"] == "tests"
    assert document["metadata"] == metadata | {"seen": {"$date": "2026-01-31T12:00:00+00:00"}}
    assert len(document["chunks"]) > 3
    assert [chunk["ordinal"] for chunk in document["chunks"]] == list(range(len(document["chunks"])))
    assert document["text"].split() == text.split()
    for chunk in document["chunks"]:
        assert document["text"][chunk["start"] : chunk["end"]] == chunk["text"] == text[chunk["start"] : chunk["end"]]


async def test_a_document_is_replaced_whole(api: RunningApi) -> None:
    """The newer version shows, and nothing of the older one."""
    first = await api.store("replaced", text="old words " * 200)
    second = await api.store("replaced", text="new words")

    document = (await api.client.get(api.path("documents", "replaced"))).json()

    assert second > first
    assert (document["version"], document["text"]) == (second, "new words")


@pytest.mark.parametrize(
    ("media_type", "content", "title", "text"),
    [
        ("text/plain; charset=utf-8", "Grüße".encode(), "Plain", "Grüße"),
        ("text/markdown", b"# Head\n\nBody of it.", "Marked", "Body of it."),
        ("TEXT/HTML", b"<html><body><p>Para</p></body></html>", "Web", "Para"),
    ],
)
async def test_a_file_is_sent_as_it_is(api: RunningApi, media_type: str, content: bytes, title: str, text: str) -> None:
    """Its Content-Type says what it is; its title goes into the address."""
    response = await api.client.put(
        api.path("documents", f"file-{title}"),
        params={"title": title},
        content=content,
        headers={"Content-Type": media_type},
    )
    assert response.status_code == 202
    await api.settled(f"file-{title}", response.json()["version"])

    document = (await api.client.get(api.path("documents", f"file-{title}"))).json()

    assert document["title"] == title
    assert text in document["text"]


async def test_content_may_come_as_base64_in_json(api: RunningApi) -> None:
    """The form in which the log carries it works here too."""
    content = base64.b64encode(b"carried in base64").decode()
    await api.store("base64", content=content, media_type="text/plain")

    assert (await api.client.get(api.path("documents", "base64"))).json()["text"] == "carried in base64"


async def test_a_claim_check_is_taken(api: RunningApi) -> None:
    """What stands in the blob store already goes by its name and hash."""
    content = b"checked in before"
    blobs = await api.runtime.wiring.blobs()
    uri = await blobs.put(content)
    await api.store("claimed", content_uri=uri, content_sha256=hashlib.sha256(content).hexdigest())

    assert (await api.client.get(api.path("documents", "claimed"))).json()["text"] == "checked in before"


async def test_tenants_do_not_see_each_other(api: RunningApi) -> None:
    """One id in two tenants is two documents."""
    await api.store("shared-id", tenant="one", text="of tenant one")
    await api.store("shared-id", tenant="two", text="of tenant two")
    address = api.path("documents", "shared-id")

    assert (await api.client.get(address, params={"tenant": "one"})).json()["text"] == "of tenant one"
    assert (await api.client.get(address, params={"tenant": "two"})).json()["text"] == "of tenant two"
    problem(await api.client.get(address), 404, "document_not_visible")


async def test_what_is_not_visible_says_why(api: RunningApi) -> None:
    """Never there, deleted, and failed are told apart."""
    answer = problem(await api.client.get(api.path("documents", "never-there")), 404, "document_not_visible")
    assert answer["state"] == "unknown"

    await api.store("going", text="soon gone")
    deleted = (await api.client.delete(api.path("documents", "going"))).json()
    await api.settled("going", deleted["version"])
    answer = problem(await api.client.get(api.path("documents", "going")), 404, "document_not_visible")
    assert answer["state"] == "deleted"

    accepted = (
        await api.client.put(
            api.path("documents", "broken"), content=b"%PDF-1.7 broken", headers={"Content-Type": "application/pdf"}
        )
    ).json()
    await api.settled("broken", accepted["version"])
    answer = problem(await api.client.get(api.path("documents", "broken")), 404, "document_not_visible")
    assert answer["state"] == "failed"


async def test_deleting_what_is_not_there_is_no_mistake(api: RunningApi) -> None:
    """It is accepted, and the document is deleted afterwards."""
    response = await api.client.delete(api.path("documents", "was-never-there"))

    assert response.status_code == 202
    assert (await api.settled("was-never-there", response.json()["version"]))["state"] == "deleted"


async def test_an_unknown_collection_is_not_found_when_reading(api: RunningApi) -> None:
    """Reading creates nothing."""
    problem(await api.client.get("/v1/collections/nowhere/documents/a"), 404, "unknown_collection")
    problem(await api.client.get("/v1/collections/No_Where/documents/a"), 400, "invalid_field")


@pytest.mark.parametrize("name", ["id", "tenant", "op", "schema"])
async def test_what_the_address_says_is_refused_in_the_body(api: RunningApi, name: str) -> None:
    """Two places for one fact would sooner or later disagree."""
    response = await api.client.put(api.path("documents", "a"), json={"text": "x", name: "a"})

    assert problem(response, 400, "invalid_field")["field"] == name


@pytest.mark.parametrize("parameters", [{"title": "x"}, {"version": "3"}])
async def test_with_json_title_and_version_go_into_the_body(api: RunningApi, parameters: dict[str, str]) -> None:
    """The address has them for bodies that have no place for them."""
    response = await api.client.put(api.path("documents", "a"), params=parameters, json={"text": "x"})

    assert problem(response, 400, "invalid_field")["field"] in parameters


async def test_a_version_is_refused_where_the_log_gives_them(api: RunningApi) -> None:
    """The problem says how to create a collection that takes versions."""
    response = await api.client.put(api.path("documents", "a"), json={"text": "x", "version": 3})
    assert problem(response, 400, "version_not_expected")["field"] == "version"

    response = await api.client.delete(api.path("documents", "a"), params={"version": 3})
    assert problem(response, 400, "version_not_expected")["field"] == "version"


async def test_methods_that_are_not_possible_are_named_with_those_that_are(api: RunningApi) -> None:
    """RFC 9110 wants all of them in Allow."""
    response = await api.client.patch(api.path("documents", "a"))

    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE, GET, PUT"
