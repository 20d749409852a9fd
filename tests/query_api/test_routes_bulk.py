"""Bulk requests: every line has a result of its own, memory is bounded, and a break says where to go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
import orjson
import pytest

from query_api.app import ApiDependencies, create_app
from query_api.limits import ApiLimits
from query_api.search import Searcher, SearchSettings
from query_api.writing import Accepted, DocumentSink
from schemas.document import DocumentEvent
from schemas.errors import Poison, Retryable
from tests.query_api.running_api import RunningApi, client_of, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

_LINES = {"Content-Type": "application/x-ndjson"}


def _line(document_id: str, **fields: object) -> bytes:
    return orjson.dumps({"id": document_id, "tenant": "bulk", "text": f"text of {document_id}", **fields})


async def test_each_line_has_its_result(api: RunningApi) -> None:
    """Bad lines are told with their number and problem; their neighbours become searchable."""
    answer = await api.lines(
        _line("good-1"),
        b"",
        b"{broken",
        _line("good-2", schema=1, op="upsert"),
        b'{"text": "no id"}',
        b"   \r",
        b'{"id": "bad-utf8", "text": "\xff"}',
        b'{"id": "nan", "text": "x", "metadata": {"n": NaN}}',
        _line("good-3") + b"\r",
    )

    assert (answer["accepted"], answer["failed"]) == (3, 4)
    assert [item["line"] for item in answer["items"]] == [1, 3, 4, 5, 7, 8, 9]
    assert [item["status"] for item in answer["items"]] == [202, 400, 202, 400, 400, 400, 202]
    good = [item for item in answer["items"] if item["status"] == 202]
    assert [(item["id"], item["tenant"]) for item in good] == [(f"good-{n}", "bulk") for n in (1, 2, 3)]
    missing_id = answer["items"][3]["problem"]
    assert (missing_id["type"], missing_id["field"]) == ("urn:inver:problem:missing_field", "id")
    for item in good:
        assert (await api.settled(item["id"], item["version"], tenant="bulk"))["state"] == "searchable"


async def test_order_is_kept(api: RunningApi) -> None:
    """Later lines of one document win, deletes included."""
    answer = await api.lines(
        _line("twice", text="first"),
        _line("twice", text="second"),
        _line("gone"),
        orjson.dumps({"op": "delete", "tenant": "bulk", "id": "gone"}),
    )

    versions = [item["version"] for item in answer["items"]]
    await api.settled("twice", versions[1], tenant="bulk")
    assert (await api.settled("gone", versions[3], tenant="bulk"))["state"] == "deleted"
    document = await api.client.get(api.path("documents", "twice"), params={"tenant": "bulk"})
    assert document.json()["text"] == "second"


async def test_a_line_the_collection_refuses_leaves_its_neighbours_alone(api: RunningApi) -> None:
    """A field whose type changed is refused by the sink, with the id and the field."""
    await api.store("typed-bulk", tenant="bulk", text="x y", metadata={"bulk_year": 2020})
    await api.knows("bulk_year")
    answer = await api.lines(
        _line("n-1", metadata={"bulk_year": 2021}),
        _line("n-2", metadata={"bulk_year": "2021"}),
        _line("n-3", version=7),
        _line("n-4"),
    )

    assert [item["status"] for item in answer["items"]] == [202, 400, 400, 202]
    assert answer["items"][1]["problem"]["type"] == "urn:inver:problem:field_type_changed"
    assert (answer["items"][1]["id"], answer["items"][1]["problem"]["field"]) == ("n-2", "metadata.bulk_year")
    assert answer["items"][2]["problem"]["type"] == "urn:inver:problem:version_not_expected"


async def test_an_empty_body_is_an_empty_answer(api: RunningApi) -> None:
    """Nothing was sent, nothing failed."""
    assert await api.lines(b"", b"\n") == {"items": [], "accepted": 0, "failed": 0}


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
async def test_only_lines_are_read(api: RunningApi, media_type: str) -> None:
    """A JSON array would have to be held whole."""
    response = await api.client.post(
        api.path("documents"), content=b"[]", headers={"Content-Type": media_type} if media_type else {}
    )

    assert "application/x-ndjson" in problem(response, 415, "unsupported_media_type")["detail"]


async def test_a_name_no_collection_can_have_is_refused(api: RunningApi) -> None:
    """Before any line is read."""
    response = await api.client.post("/v1/collections/No_Such/documents", content=_line("a"), headers=_LINES)

    assert problem(response, 400, "invalid_field")["field"] == "collection"


@dataclass(slots=True)
class _LosingSink:
    """The running sink, whose log is away from its third call on."""

    sink: DocumentSink
    calls: int = 0
    largest: int = 0

    async def submit(self, collection: str, events: Sequence[DocumentEvent]) -> list[Accepted | Poison]:
        self.calls += 1
        self.largest = max(self.largest, len(events))
        if self.calls > 2:
            raise Retryable("the log does not answer", retry_after_seconds=4)
        return await self.sink.submit(collection, events)


async def _limited(
    api: RunningApi, *, limits: ApiLimits | None = None, sink: DocumentSink | None = None
) -> httpx.AsyncClient:
    return client_of(
        create_app(
            ApiDependencies(
                searcher=Searcher(api.runtime.directory, SearchSettings()),
                collections=api.runtime.directory,
                sink=sink or api.runtime.sink,
                statuses=await api.runtime.wiring.statuses(),
                health=None,  # type: ignore[arg-type]  # not asked here
                metrics=bytes,
                profile="embedded",
                limits=limits or ApiLimits(),
            )
        )
    )


async def test_a_log_that_goes_away_says_how_far_it_came(api: RunningApi) -> None:
    """Batches of 500; what was accepted before stays accepted, and the problem names the line to go on from."""
    sink = _LosingSink(api.runtime.sink)
    body = b"\n".join(_line(f"lost-{n}", op="delete", text=None) for n in range(1_600))
    async with await _limited(api, sink=sink) as client:
        response = await client.post(api.path("documents"), content=body, headers=_LINES)

    answer = problem(response, 503, "unavailable")
    assert (answer["accepted"], answer["next_line"]) == (1_000, 1_001)
    assert response.headers["retry-after"] == "4"
    assert sink.largest == 500


async def test_a_line_above_the_limit_leaves_its_neighbours_alone(api: RunningApi) -> None:
    """It is a 413 of its own."""
    body = b"\n".join((_line("s-1"), _line("s-2", text="x" * 2_000), _line("s-3")))
    async with await _limited(api, limits=ApiLimits(document_bytes=1_000)) as client:
        response = await client.post(api.path("documents"), content=body, headers=_LINES)

    items = response.json()["items"]
    assert [item["status"] for item in items] == [202, 413, 202]
    assert items[1]["problem"]["type"] == "urn:inver:problem:document_too_large"


async def test_a_body_above_the_limit_is_refused_before_it_is_read(api: RunningApi) -> None:
    """Its Content-Length is enough."""
    async with await _limited(api, limits=ApiLimits(bulk_bytes=10_000)) as client:
        response = await client.post(api.path("documents"), content=b"\n" * 10_001, headers=_LINES)

    assert "next_line" not in problem(response, 413, "body_too_large")


async def test_a_body_of_unknown_size_is_read_up_to_the_limit(api: RunningApi) -> None:
    """An endless stream is not read to its end."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000
            yield b" " * 999 + b"\n"

    async with await _limited(api, limits=ApiLimits(bulk_bytes=10_000)) as client:
        response = await client.post(api.path("documents"), content=endless(), headers=_LINES)

    assert problem(response, 413, "body_too_large")["next_line"] == 1
    assert sent <= 12_000


async def test_more_lines_than_allowed_are_refused(api: RunningApi) -> None:
    """Results are held until the end, so that their number is bounded."""
    async with await _limited(api, limits=ApiLimits(bulk_lines=3)) as client:
        response = await client.post(api.path("documents"), content=b"x\nx\nx\nx", headers=_LINES)

    assert "3 lines" in problem(response, 413, "body_too_large")["detail"]
