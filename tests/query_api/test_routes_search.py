"""Searching over HTTP, on real engines: hits, filters, explanations, and legs that are down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
import pytest

from engines.opensearch import OpenSearchTextIndex
from engines.opensearch_client import OpenSearchClient, OpenSearchSettings
from engines.ports import TextIndex
from query_api.app import ApiDependencies, create_app
from query_api.search import Searcher, SearchSettings
from query_api.serving import Collections, Serving
from schemas.generation import CollectionRecord
from tests.query_api.running_api import RunningApi, client_of, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _library(api: RunningApi, tenant: str) -> None:
    if (await api.search("anything", tenant=tenant))["hits"]:
        return
    await api.store("whales", tenant=tenant, text="Whales sing under water.", metadata={"year": 1990, "lang": "en"})
    await api.store("birds", tenant=tenant, text="Birds sing in the morning.", metadata={"year": 2020, "lang": "en"})
    await api.store("poisson", tenant=tenant, text="Les poissons ne chantent pas.", metadata={"lang": "fr"})


async def test_hits_come_from_both_legs(api: RunningApi) -> None:
    """The best hit says where each leg placed it; nothing is degraded."""
    await _library(api, "library")
    answer = await api.search("singing whales", tenant="library")

    best = answer["hits"][0]
    assert best["id"] == "whales"
    assert best["legs"] == {"dense": {"rank": 1}, "sparse": {"rank": 1}}
    assert best["score"] == pytest.approx(2 / 61)
    assert best["text"] == "Whales sing under water."
    assert best["metadata"] == {"year": 1990, "lang": "en"}
    assert answer["degraded"] == []
    assert {name: leg["state"] for name, leg in answer["legs"].items()} == {"dense": "ok", "sparse": "ok"}
    assert (answer["generation"], answer["visibility"]) == ("g1", "verified")
    assert "steps_ms" not in answer


async def test_explain_adds_scores_contributions_and_steps(api: RunningApi) -> None:
    """The contributions add up to the score."""
    await _library(api, "library")
    answer = await api.search("whales", tenant="library", explain=True, legs={"dense": {"weight": 2}, "sparse": {}})

    best = answer["hits"][0]
    assert sum(leg["contribution"] for leg in best["legs"].values()) == pytest.approx(best["score"])
    assert best["legs"]["dense"]["contribution"] == pytest.approx(2 / 61)
    assert best["legs"]["sparse"]["score"] > 0
    assert {"embed", "legs", "fuse"} <= set(answer["steps_ms"])


@pytest.mark.parametrize("leg", ["dense", "sparse"])
async def test_one_leg_alone(api: RunningApi, leg: str) -> None:
    """The other one is skipped, which is not degraded."""
    await _library(api, "library")
    by_body = await api.search("whales sing", tenant="library", legs=[leg])
    by_address = await api.client.get(
        api.path("search"), params={"q": "whales sing", "leg": leg, "tenant": "library", "k": 10}
    )

    assert {name for hit in by_body["hits"] for name in hit["legs"]} == {leg}
    assert [name for name, status in by_body["legs"].items() if status["state"] == "skipped"] != [leg]
    assert by_body["degraded"] == []
    assert by_address.json()["hits"] == by_body["hits"]


async def test_filters_reach_both_legs(api: RunningApi) -> None:
    """No hit breaks the condition, whichever leg it came from."""
    await _library(api, "library")
    condition = {"and": [{"field": "lang", "eq": "en"}, {"field": "year", "gte": 2000}]}

    answer = await api.search("sing", tenant="library", filter=condition)

    assert [hit["id"] for hit in answer["hits"]] == ["birds"]
    response = await api.client.get(
        api.path("search"), params={"q": "sing", "tenant": "library", "filter": '{"field":"lang","eq":"fr"}'}
    )
    assert [hit["id"] for hit in response.json()["hits"]] == ["poisson"]


async def test_size_only_cuts_the_list(api: RunningApi) -> None:
    """The first hits do not depend on how many are asked for."""
    await _library(api, "library")
    many = await api.search("sing", tenant="library", size=200)
    few = await api.search("sing", tenant="library", size=1)

    assert [hit["id"] for hit in few["hits"]] == [hit["id"] for hit in many["hits"]][:1]
    assert len(many["hits"]) == 3


async def test_collapse_shows_each_document_once(api: RunningApi) -> None:
    """Without it, every chunk may be a hit."""
    await api.store("long", tenant="collapse", text="\n\n".join(f"Part {n}: rivers flow. " * 20 for n in range(8)))

    assert len((await api.search("rivers", tenant="collapse"))["hits"]) == 1
    chunks = (await api.search("rivers", tenant="collapse", collapse=False))["hits"]
    assert len(chunks) > 3
    assert len({hit["ordinal"] for hit in chunks}) == len(chunks)


_ODD_QUERIES = [
    "(+)-",
    '"',
    "\\",
    "title:whales AND (",
    "* ? ~2 ^5 [a TO b] {",
    "'; DROP TABLE rows; --",
    "\x00",
    "\x01\x1f\x7f",
    "\u200b",
    "\ufffe",
    "🐋",
    "AND OR NOT",
    "-whales +birds",
    "/regex/",
    "a" * 10_000,
    "word " * 2_000,
    "日本語の質問",
    "\u05e2\u05d1 \u200f",
]


@pytest.mark.parametrize("query", _ODD_QUERIES)
async def test_any_characters_get_an_answer(api: RunningApi, query: str) -> None:
    """No character of a query has a meaning of its own, and none breaks an engine."""
    await _library(api, "library")
    answer = await api.search(query, tenant="library")

    assert answer["degraded"] == []


async def test_a_tenant_that_nobody_used_has_no_hits(api: RunningApi) -> None:
    """Not an error: tenants are not declared."""
    assert (await api.search("sing", tenant="nobody"))["hits"] == []


async def test_dates_come_back_as_they_were_sent(api: RunningApi) -> None:
    """Engines keep them as numbers; an answer does not."""
    moment = {"$date": "2026-01-31T12:00:00.000001+00:00"}
    await api.store("dated", tenant="dates", text="It has a date.", metadata={"moment": moment})

    [hit] = (await api.search("date", tenant="dates", filter={"field": "moment", "eq": moment}))["hits"]

    assert hit["metadata"] == {"moment": moment}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "q"),
        ({"q": " "}, "q"),
        ({"q": "x", "k": "0"}, "k"),
        ({"q": "x", "k": "many"}, "k"),
        ({"q": "x", "leg": "both"}, "leg"),
        ({"q": "x", "filter": "{"}, "filter"),
        ({"q": "x", "filter": '{"field": "a"}'}, "filter"),
        ({"q": "x", "size": "3"}, "size"),
    ],
)
async def test_a_mistake_in_an_address_is_named(api: RunningApi, parameters: dict[str, str], field: str) -> None:
    """Names that no search has are mistakes too."""
    response = await api.client.get(api.path("search"), params=parameters)

    assert response.json()["field"] == field
    assert response.status_code == 400


async def test_an_unknown_collection_is_a_404(api: RunningApi) -> None:
    """A name that no collection could have is a 400."""
    problem(await api.client.post("/v1/collections/nowhere/search", json={"query": "x"}), 404, "unknown_collection")
    problem(await api.client.post("/v1/collections/UPPER/search", json={"query": "x"}), 400, "invalid_field")


@dataclass(frozen=True, slots=True)
class _WithTexts:
    """The running collections with another text index in place of theirs."""

    collections: Collections
    texts: TextIndex

    async def serving(self, name: str) -> Serving:
        return replace(await self.collections.serving(name), texts=self.texts)

    async def record(self, name: str, *, fresh: bool = False) -> CollectionRecord:
        return await self.collections.record(name, fresh=fresh)

    async def names(self) -> list[str]:
        return await self.collections.names()


@asynccontextmanager
async def _without_sparse(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the same collection with a text index on an OpenSearch that is not there."""
    nowhere = OpenSearchClient(OpenSearchSettings(urls=("http://127.0.0.1:9",)))
    texts = OpenSearchTextIndex(nowhere, index="inver-docs-g1-rows", analyzer="english")
    collections = _WithTexts(api.runtime.directory, texts)
    app = create_app(
        ApiDependencies(
            searcher=Searcher(collections, SearchSettings()),
            collections=collections,
            sink=api.runtime.sink,
            statuses=await api.runtime.wiring.statuses(),
            health=_Healthy(),
            metrics=lambda: b"",
            profile="embedded",
        )
    )
    try:
        async with client_of(app) as client:
            yield client
    finally:
        await texts.close()
        await nowhere.close()


class _Healthy:
    async def ready(self) -> dict[str, str]:
        return {}


async def test_a_leg_that_is_down_is_named(api: RunningApi) -> None:
    """The other one answers; body and header say so."""
    await _library(api, "library")
    async with _without_sparse(api) as client:
        response = await client.post(api.path("search"), json={"query": "whales", "tenant": "library"})

    assert response.status_code == 200
    answer = response.json()
    assert answer["degraded"] == ["sparse"]
    assert response.headers["inver-degraded"] == "sparse"
    assert answer["legs"]["sparse"]["state"] == "unavailable"
    assert answer["legs"]["sparse"]["detail"]
    assert answer["hits"][0]["id"] == "whales"


@pytest.mark.parametrize(
    "legs", [{"dense": {}, "sparse": {"required": True}}, ["sparse"]], ids=["required", "the only one"]
)
async def test_without_a_leg_that_is_needed_there_is_no_answer(api: RunningApi, legs: object) -> None:
    """A required leg, or the last one, makes it a 503 that says when to come back."""
    async with _without_sparse(api) as client:
        response = await client.post(api.path("search"), json={"query": "whales", "legs": legs})

    assert "sparse" in problem(response, 503, "unavailable")["detail"]
    assert int(response.headers["retry-after"]) >= 1


async def test_a_document_is_read_from_the_engine_that_answers(api: RunningApi) -> None:
    """Each engine holds all of a row."""
    await _library(api, "library")
    async with _without_sparse(api) as client:
        response = await client.get(api.path("documents", "birds"), params={"tenant": "library"})

    assert response.json()["text"] == "Birds sing in the morning."
