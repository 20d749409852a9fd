"""The endpoints that take documents, give them back, and take them away."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from engines.ports import StatusStore
from query_api.addresses import DocumentId, Segment, status_address
from query_api.bodies import (
    body_too_large,
    media_type_of,
    read_body,
    refuse_announced_size,
    unsupported_media_type,
)
from query_api.bulk import BulkIntake
from query_api.document_answer import AcceptedAnswer, BulkAnswer, DocumentAnswer, document_answer
from query_api.document_request import (
    DeleteParameters,
    PutParameters,
    TenantParameters,
    event_of_delete,
    event_of_put,
)
from query_api.documents import VisibleDocument, read_visible
from query_api.limits import ApiLimits
from query_api.lines import Line, LineCutter
from query_api.metadata_answer import known_fields
from query_api.openapi import document_body, lines_body, problems
from query_api.problems import Problem, problem_of, problem_response
from query_api.responses import json_response
from query_api.serving import Collections
from query_api.writing import DocumentSink
from schemas.document import DocumentEvent
from schemas.errors import InverError, Poison, Retryable
from schemas.generation import validate_collection_name
from schemas.keys import DocumentKey, validate_key
from schemas.manifest import Manifest
from schemas.status import DocumentState

LINES: Final = "application/x-ndjson"
_LINES_TYPES: Final = (LINES, "application/ndjson", "application/jsonl")


class DocumentRoutes:
    """One document by its address, or many as lines."""

    def __init__(
        self, *, collections: Collections, sink: DocumentSink, statuses: StatusStore, limits: ApiLimits
    ) -> None:
        self._collections = collections
        self._sink = sink
        self._statuses = statuses
        self._limits = limits

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints."""
        many = "/v1/collections/{collection}/documents"
        one = many + "/{id}"
        app.add_api_route(
            one,
            self.put,
            methods=["PUT"],
            status_code=202,
            response_model=AcceptedAnswer,
            responses=problems(404, 409, 413, 415, 503),
            openapi_extra=document_body(),
        )
        app.add_api_route(
            one,
            self.delete,
            methods=["DELETE"],
            status_code=202,
            response_model=AcceptedAnswer,
            responses=problems(404, 409, 503),
        )
        app.add_api_route(one, self.get, methods=["GET"], response_model=DocumentAnswer, responses=problems(404, 503))
        app.add_api_route(
            many,
            self.bulk,
            methods=["POST"],
            response_model=BulkAnswer,
            responses=problems(404, 413, 415, 503),
            openapi_extra=lines_body(LINES),
        )

    async def put(
        self,
        collection: Segment,
        document_id: DocumentId,
        parameters: Annotated[PutParameters, Query()],
        request: Request,
    ) -> Response:
        """Store a document in place of what the collection has under its id; it is searchable a little later."""
        key = DocumentKey(parameters.tenant, document_id)
        validate_key(key)
        content = await read_body(request, limit_bytes=self._limits.document_bytes)
        event = event_of_put(key, content, media_type_of(request), parameters)
        return await self._submit(collection, event, request)

    async def delete(
        self,
        collection: Segment,
        document_id: DocumentId,
        parameters: Annotated[DeleteParameters, Query()],
        request: Request,
    ) -> Response:
        """Delete a document; deleting what is not there is no mistake."""
        event = event_of_delete(DocumentKey(parameters.tenant, document_id), parameters.version)
        return await self._submit(collection, event, request)

    async def get(
        self, collection: Segment, document_id: DocumentId, parameters: Annotated[TenantParameters, Query()]
    ) -> Response:
        """Return a document as it is visible now."""
        key = DocumentKey(parameters.tenant, document_id)
        validate_key(key)
        serving = await self._collections.serving(collection)
        visible = await read_visible(serving, key)
        if isinstance(visible, VisibleDocument):
            fields = await known_fields(self._collections, collection, (row.metadata for row in visible.rows[:1]))
            return json_response(document_answer(key, visible, fields=fields))
        return problem_response(await self._not_visible(collection, key, visible))

    async def bulk(self, collection: Segment, request: Request) -> Response:
        """Store or delete many documents, one event on each line; each line has a result of its own."""
        validate_collection_name(collection)
        media_type = media_type_of(request)
        if media_type not in _LINES_TYPES:
            raise unsupported_media_type(media_type, expected=LINES)
        refuse_announced_size(request, limit_bytes=self._limits.bulk_bytes)
        intake = BulkIntake(self._sink, collection, line_limit_bytes=self._limits.document_bytes)
        try:
            await self._take_all(request, intake)
        except (Poison, Retryable) as error:
            return problem_response(_broken_off(error, intake))
        return json_response(intake.answer())

    async def _take_all(self, request: Request, intake: BulkIntake) -> None:
        cutter = LineCutter(limit_bytes=self._limits.document_bytes)
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._limits.bulk_bytes:
                raise body_too_large(self._limits.bulk_bytes)
            for line in cutter.feed(part):
                await self._take(intake, line)
        for line in cutter.finish():
            await self._take(intake, line)
        await intake.hand_on()

    async def _take(self, intake: BulkIntake, line: Line) -> None:
        if line.number > self._limits.bulk_lines:
            raise Poison(
                "body_too_large", f"a bulk request may have {self._limits.bulk_lines} lines; send the rest in another"
            )
        await intake.take(line)

    async def _submit(self, collection: str, event: DocumentEvent, request: Request) -> Response:
        [result] = await self._sink.submit(collection, [event])
        if isinstance(result, Poison):
            raise result
        root = request.scope.get("root_path", "")
        answer: AcceptedAnswer = {
            "id": result.document.id,
            "tenant": result.document.tenant,
            "version": result.version,
            "status": status_address(root, collection, result.document),
        }
        return json_response(answer, status=202)

    async def _not_visible(self, collection: str, key: DocumentKey, manifest: Manifest | None) -> Problem:
        """Say why: deleted, never heard of, still on its way, or failed."""
        state = DocumentState.UNKNOWN if manifest is None else DocumentState.DELETED
        status = (await self._statuses.read(collection, [key])).get(key)
        if status is not None and status.state in (DocumentState.PENDING, DocumentState.FAILED):
            state = status.state
        detail = f"document {key.id!r} of tenant {key.tenant!r} is not visible: {_WHY[state]}"
        if status is not None and status.detail and state is DocumentState.FAILED:
            detail += f" ({status.detail})"
        return Problem(reason="document_not_visible", detail=detail, extensions={"state": state})


_WHY: Final = {
    DocumentState.UNKNOWN: "there is no such document",
    DocumentState.DELETED: "it was deleted",
    DocumentState.PENDING: "its first version is on its way; its status tells when it has arrived",
    DocumentState.FAILED: "it failed",
}


def _broken_off(error: InverError, intake: BulkIntake) -> Problem:
    """Say how far a bulk request came; sending all of it again is safe."""
    problem = problem_of(error)
    return replace(
        problem, extensions={"accepted": intake.accepted, "next_line": intake.next_line, **problem.extensions}
    )
