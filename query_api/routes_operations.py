"""The endpoints for those who run Inver: collections, health, metrics, version, and this API's own description."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from engines.ports import StatusStore
from query_api.addresses import Segment
from query_api.collection_answer import (
    CollectionAnswer,
    CollectionsAnswer,
    CollectionSummary,
    collection_answer,
    collection_summary,
)
from query_api.health import Health
from query_api.openapi import problems
from query_api.problems import Problem, problem_response
from query_api.responses import JSON, bytes_response, json_response
from query_api.serving import Collections, UnknownCollection

_METRICS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_OK: Final = "ok"


class LiveAnswer(TypedDict):
    """This process answers."""

    status: str


class ReadyAnswer(TypedDict):
    """Every component is ``ok``."""

    status: str
    components: dict[str, str]


class VersionAnswer(TypedDict):
    """The version of Inver, and the profile it runs in."""

    version: str
    profile: str


class OperationsRoutes:
    """What runs here, and how it is."""

    def __init__(
        self,
        *,
        collections: Collections,
        statuses: StatusStore,
        health: Health,
        metrics: Callable[[], bytes],
        profile: str,
    ) -> None:
        self._collections = collections
        self._statuses = statuses
        self._health = health
        self._metrics = metrics
        self._profile = profile
        self._description: bytes | None = None

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints."""
        add = partial(app.add_api_route, methods=["GET"])
        add("/v1/collections", self.collections, response_model=CollectionsAnswer, responses=problems(503))
        add(
            "/v1/collections/{collection}",
            self.collection,
            response_model=CollectionAnswer,
            responses=problems(404, 503),
        )
        add("/health/live", self.live, response_model=LiveAnswer)
        add("/health/ready", self.ready, response_model=ReadyAnswer, responses=problems(503))
        text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        add("/metrics", self.metrics, response_class=Response, responses=text)
        add("/version", self.version, response_model=VersionAnswer)
        add("/openapi.json", self.description, include_in_schema=False)

    async def collections(self) -> Response:
        """Return all collections."""
        names = await self._collections.names()
        found = await asyncio.gather(*map(self._summary, names))
        answer: CollectionsAnswer = {"collections": [summary for summary in found if summary is not None]}
        return json_response(answer)

    async def collection(self, collection: Segment) -> Response:
        """Return one collection."""
        serving = await self._collections.serving(collection)
        documents, rows = await asyncio.gather(self._statuses.counts(collection), serving.texts.count())
        return json_response(collection_answer(serving.record, documents, rows=rows))

    async def live(self) -> Response:
        """Say that this process answers."""
        answer: LiveAnswer = {"status": _OK}
        return json_response(answer)

    async def ready(self) -> Response:
        """Say whether everything this process needs answers."""
        components = dict(await self._health.ready())
        missing = [f"{name}: {state}" for name, state in components.items() if state != _OK]
        if missing:
            problem = Problem(reason="not_ready", detail="; ".join(missing), extensions={"components": components})
            return problem_response(problem)
        answer: ReadyAnswer = {"status": _OK, "components": components}
        return json_response(answer)

    async def metrics(self) -> Response:
        """Return the metrics in Prometheus' text format."""
        return bytes_response(self._metrics(), media_type=_METRICS_TEXT)

    async def version(self) -> Response:
        """Return the version of Inver and its profile."""
        answer: VersionAnswer = {"version": version("inver"), "profile": self._profile}
        return json_response(answer)

    async def description(self, request: Request) -> Response:
        """Return this API's OpenAPI document."""
        if self._description is None:
            self._description = orjson.dumps(request.app.openapi())
        return bytes_response(self._description, media_type=JSON)

    async def _summary(self, name: str) -> CollectionSummary | None:
        try:
            record = await self._collections.record(name)
        except UnknownCollection:
            # Dropped since its name was read.
            return None
        return collection_summary(record, await self._statuses.counts(name))
