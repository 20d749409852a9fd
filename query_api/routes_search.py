"""The endpoints that search."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from query_api.addresses import Segment
from query_api.bodies import read_json
from query_api.limits import ApiLimits
from query_api.metadata_answer import known_fields
from query_api.openapi import json_body, problems
from query_api.responses import json_response
from query_api.search import Searcher
from query_api.search_answer import SearchAnswer, search_answer
from query_api.search_request import SearchBody, SearchParameters, request_of_body, request_of_parameters
from query_api.serving import Collections
from query_api.validation import parse_model
from schemas.search import SearchRequest

_DEGRADED: Final = "Inver-Degraded"


class SearchRoutes:
    """Searching by body, for programs, and by address, for people."""

    def __init__(self, *, searcher: Searcher, collections: Collections, limits: ApiLimits) -> None:
        self._searcher = searcher
        self._collections = collections
        self._limits = limits

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints."""
        path = "/v1/collections/{collection}/search"
        degraded = {"schema": {"type": "string"}, "description": "the legs that did not answer, separated by commas"}
        responses = {200: {"headers": {_DEGRADED: degraded}}, **problems(404, 413, 415, 503)}
        app.add_api_route(
            path,
            self.search,
            methods=["POST"],
            response_model=SearchAnswer,
            responses=responses,
            openapi_extra=json_body("SearchBody"),
        )
        responses = {200: {"headers": {_DEGRADED: degraded}}, **problems(404, 503)}
        app.add_api_route(
            path, self.search_by_address, methods=["GET"], response_model=SearchAnswer, responses=responses
        )

    async def search(self, collection: Segment, request: Request) -> Response:
        """Search a collection."""
        body = parse_model(SearchBody, await read_json(request, limit_bytes=self._limits.question_bytes))
        return await self._answer(request_of_body(collection, body))

    async def search_by_address(
        self, collection: Segment, parameters: Annotated[SearchParameters, Query()]
    ) -> Response:
        """Search a collection with what fits into an address."""
        return await self._answer(request_of_parameters(collection, parameters))

    async def _answer(self, request: SearchRequest) -> Response:
        response = await self._searcher.search(request)
        fields = await known_fields(self._collections, request.collection, (hit.metadata for hit in response.hits))
        answer = search_answer(response, fields=fields, explain=request.explain)
        headers = {_DEGRADED: ",".join(response.degraded)} if response.degraded else None
        return json_response(answer, headers=headers)
