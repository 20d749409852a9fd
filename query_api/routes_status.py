"""The endpoints that tell where documents stand."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from engines.ports import StatusStore
from query_api.addresses import DocumentId, Segment
from query_api.bodies import read_json
from query_api.document_answer import StatusAnswer, StatusesAnswer, status_answer
from query_api.document_request import TenantParameters
from query_api.limits import ApiLimits
from query_api.openapi import json_body, problems
from query_api.responses import json_response
from query_api.serving import Collections
from query_api.status_request import StatusBody, documents_of
from query_api.validation import parse_model
from schemas.keys import DocumentKey, validate_key
from schemas.status import DocumentState, DocumentStatus


class StatusRoutes:
    """The status of one document by its address, or of many by their ids."""

    def __init__(self, *, collections: Collections, statuses: StatusStore, limits: ApiLimits) -> None:
        self._collections = collections
        self._statuses = statuses
        self._limits = limits

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints."""
        app.add_api_route(
            "/v1/collections/{collection}/documents/{id}/status",
            self.of_one,
            methods=["GET"],
            response_model=StatusAnswer,
            responses=problems(404, 503),
        )
        app.add_api_route(
            "/v1/collections/{collection}/status",
            self.of_many,
            methods=["POST"],
            response_model=StatusesAnswer,
            responses=problems(404, 413, 415, 503),
            openapi_extra=json_body("StatusBody"),
        )

    async def of_one(
        self, collection: Segment, document_id: DocumentId, parameters: Annotated[TenantParameters, Query()]
    ) -> Response:
        """Return a document's status; one that was never heard of is ``unknown``."""
        key = DocumentKey(parameters.tenant, document_id)
        validate_key(key)
        [status] = await self._read(collection, [key])
        return json_response(status_answer(status))

    async def of_many(self, collection: Segment, request: Request) -> Response:
        """Return the status of up to 1,000 documents, in the order of their ids."""
        body = parse_model(StatusBody, await read_json(request, limit_bytes=self._limits.question_bytes))
        statuses = await self._read(collection, documents_of(body))
        answer: StatusesAnswer = {"statuses": [status_answer(status) for status in statuses]}
        return json_response(answer)

    async def _read(self, collection: str, documents: list[DocumentKey]) -> list[DocumentStatus]:
        known = await self._statuses.read(collection, documents)
        if not known:
            # Nothing known of any of them: perhaps the collection's name is the mistake.
            await self._collections.record(collection)
        return [
            known.get(document, DocumentStatus(document=document, state=DocumentState.UNKNOWN))
            for document in documents
        ]
