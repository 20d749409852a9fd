"""The endpoints for those who run Inver."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from query_api.app import ApiDependencies, create_app, openapi_document
from query_api.search import Searcher, SearchSettings
from tests.query_api.running_api import RunningApi, client_of, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_collections_are_listed_with_their_counts(api: RunningApi) -> None:
    """Generation, model, and documents by state."""
    collections = (await api.client.get("/v1/collections")).json()["collections"]
    [docs] = [collection for collection in collections if collection["name"] == "docs"]

    assert (docs["generation"], docs["model"]) == ("g1", "hash")
    assert docs["documents"]["searchable"] >= 1


async def test_a_collection_tells_what_it_is_built_with(api: RunningApi) -> None:
    """Fields with their types included."""
    await api.store("typed", text="x y", metadata={"size_of_it": 3})
    collection = (await api.client.get("/v1/collections/docs")).json()

    assert collection["version_source"] == "log"
    assert collection["model_fingerprint"].startswith("hash")
    assert collection["chunking"] == {"strategy": "structure", "max_tokens": 128, "overlap_tokens": 24}
    problem(await api.client.get("/v1/collections/nowhere"), 404, "unknown_collection")


async def test_live_and_ready(api: RunningApi) -> None:
    """Both are ok while everything answers."""
    assert (await api.client.get("/health/live")).json() == {"status": "ok"}
    ready = (await api.client.get("/health/ready")).json()
    assert ready["status"] == "ok"
    assert set(ready["components"].values()) == {"ok"}


async def test_not_ready_names_the_component(api: RunningApi) -> None:
    """A 503 with the sentence, while live stays ok."""

    class Waiting:
        async def ready(self) -> dict[str, str]:
            return {"log": "ok", "catalog": "no answer within 5 s"}

    app = create_app(
        ApiDependencies(
            searcher=Searcher(api.runtime.directory, SearchSettings()),
            collections=api.runtime.directory,
            sink=api.runtime.sink,
            statuses=await api.runtime.wiring.statuses(),
            health=Waiting(),
            metrics=lambda: b"",
            profile="embedded",
        )
    )
    async with client_of(app) as client:
        answer = problem(await client.get("/health/ready"), 503, "not_ready")
        assert answer["detail"] == "catalog: no answer within 5 s"
        assert answer["components"] == {"log": "ok", "catalog": "no answer within 5 s"}
        assert (await client.get("/health/live")).status_code == 200


async def test_metrics_are_prometheus_text(api: RunningApi) -> None:
    """As the process writes them."""
    response = await api.client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=")
    assert b"inver_records_total" in response.content


async def test_version_and_description(api: RunningApi) -> None:
    """The installed version, and the OpenAPI document."""
    assert (await api.client.get("/version")).json() == {"version": version("inver"), "profile": "embedded"}
    assert (await api.client.get("/openapi.json")).json() == openapi_document()


@pytest.mark.parametrize("path", ["/", "/docs", "/v1", "/v1/collections/", "/v1/collections/docs/documents/", "/%2e"])
async def test_an_address_that_is_none_is_a_problem(api: RunningApi, path: str) -> None:
    """No redirects, no pages."""
    problem(await api.client.get(path), 404, "not_found")


async def test_no_page_of_another_origin_may_read(api: RunningApi) -> None:
    """Cross-origin requests are not invited."""
    response = await api.client.get("/health/live", headers={"Origin": "http://example.com"})

    assert not [name for name in response.headers if name.startswith("access-control-")]
