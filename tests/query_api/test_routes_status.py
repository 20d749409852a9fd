"""Status over HTTP: one document, many, and those that nobody knows."""

from __future__ import annotations

import pytest

from tests.query_api.running_api import RunningApi, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_document_is_pending_or_searchable_at_once(api: RunningApi) -> None:
    """What was accepted is never unknown afterwards."""
    accepted = await api.put("just-sent", text="on its way")
    status = (await api.client.get(accepted["status"])).json()
    assert status["state"] in ("pending", "searchable")
    assert status["version"] == accepted["version"]

    status = await api.settled("just-sent", accepted["version"])

    assert status["state"] == "searchable"
    assert status["searchable_version"] == accepted["version"]
    assert status["row_count"] == 1
    assert {"chunk", "embed", "index"} <= set(status["timings"])
    assert status["finished_at_ms"] >= status["appended_at_ms"] > 0


async def test_a_document_nobody_knows_is_unknown(api: RunningApi) -> None:
    """That is an answer, not an error; an unknown collection is one."""
    status = (await api.client.get(api.path("documents", "nobody-knows", "status"))).json()
    assert (status["state"], status["version"], status["appended_at_ms"]) == ("unknown", None, None)

    problem(await api.client.get("/v1/collections/nowhere/documents/a/status"), 404, "unknown_collection")


async def test_a_failure_is_told_with_its_reason(api: RunningApi) -> None:
    """A PDF without text is accepted, because only reading it tells, and fails with the stage and the sentence."""
    response = await api.client.put(
        api.path("documents", "no-pdf"), content=b"not a PDF at all", headers={"Content-Type": "application/pdf"}
    )
    assert response.status_code == 202

    status = await api.settled("no-pdf", response.json()["version"])

    assert status["state"] == "failed"
    assert status["stage"] == "chunk"
    assert status["reason"]
    assert status["detail"]
    assert status["dead_letter_id"]


async def test_many_are_answered_in_the_order_of_their_ids(api: RunningApi) -> None:
    """Repeated and unknown ones too."""
    await api.store("known", tenant="many", text="x y z")
    ids = ["nope", "known", "a/b", "known"]
    response = await api.client.post(api.path("status"), json={"ids": ids, "tenant": "many"})

    statuses = response.json()["statuses"]
    assert [status["id"] for status in statuses] == ids
    assert [status["state"] for status in statuses] == ["unknown", "searchable", "unknown", "searchable"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": ["a"] * 1_001}, "ids"),
        ({"ids": [7]}, "ids[0]"),
        ({"ids": [""]}, "id"),
        ({"ids": ["a"], "tenants": "x"}, "tenants"),
    ],
)
async def test_a_mistake_is_named(api: RunningApi, body: object, field: str) -> None:
    """Up to 1,000 ids, each of them one that a document could have."""
    response = await api.client.post(api.path("status"), json=body)

    assert response.status_code == 400
    assert response.json()["field"] == field
