"""Problems: everything that goes wrong, told as RFC 9457 asks, with a type that programs can rely on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NotRequired, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from query_api.responses import json_response
from query_api.validation import invalid_field
from schemas.errors import InvalidField, InverError, Poison, Retryable

PROBLEM_JSON: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:inver:problem:"
#: Reasons that have a status of their own; every other reason is a 400.
_STATUS_OF_REASON: Final[Mapping[str, int]] = {
    "unknown_collection": 404,
    "not_found": 404,
    "document_not_visible": 404,
    "method_not_allowed": 405,
    "version_reused": 409,
    "body_too_large": 413,
    "document_too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
    "unavailable": 503,
    "not_ready": 503,
}
_REASON_OF_STATUS: Final[Mapping[int, str]] = {404: "not_found", 405: "method_not_allowed"}
_RETRY_AFTER_SECONDS: Final = "1"


class ProblemAnswer(TypedDict):
    """What went wrong and what to do about it; more members may follow, depending on the type."""

    type: str
    title: str
    status: int
    detail: str
    field: NotRequired[str]
    remedy: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem; its type, title and status follow from its reason."""

    reason: str
    detail: str
    extensions: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return _STATUS_OF_REASON.get(self.reason, 400)

    def answer(self) -> ProblemAnswer:
        """Return the problem's JSON form."""
        members = {
            "type": f"{_TYPE_PREFIX}{self.reason}",
            "title": self.reason.replace("_", " ").capitalize(),
            "status": self.status,
            # A message may quote what was sent, and what was sent may be anything.
            "detail": self.detail.encode("utf-8", "backslashreplace").decode(),
            **self.extensions,
        }
        return cast("ProblemAnswer", members)


def problem_of(error: InverError) -> Problem:
    """Translate an error that was raised on purpose; anything that is no one's mistake is an internal error."""
    match error:
        case InvalidField():
            named = {"field": error.field, "remedy": error.remedy}
            return Problem(reason=error.reason, detail=str(error), extensions=named)
        case Poison():
            return Problem(reason=error.reason, detail=str(error))
        case Retryable():
            seconds = error.retry_after_seconds
            wait = {} if seconds is None else {"Retry-After": str(max(math.ceil(seconds), 1))}
            return Problem(reason="unavailable", detail=str(error), headers=wait)
        case _:
            return INTERNAL_ERROR


INTERNAL_ERROR: Final = Problem(
    reason="internal_error", detail="something failed that is not the request's fault; the server's log says what"
)


def problem_response(problem: Problem) -> Response:
    """Answer with a problem."""
    headers = dict(problem.headers)
    if problem.status == _STATUS_OF_REASON["unavailable"]:
        headers.setdefault("Retry-After", _RETRY_AFTER_SECONDS)
    return json_response(problem.answer(), status=problem.status, media_type=PROBLEM_JSON, headers=headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Make every exception leave the application as a problem."""
    app.add_exception_handler(Poison, _on_inver_error)
    app.add_exception_handler(Retryable, _on_inver_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_inver_error(_request: Request, error: Exception) -> Response:
    return problem_response(problem_of(cast("InverError", error)))


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    # FastAPI puts the part of the request in front: ("query", "k").
    return problem_response(problem_of(invalid_field(first, place=first["loc"][1:])))


async def _on_http_error(request: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    reason = _REASON_OF_STATUS.get(http.status_code, "invalid_request")
    headers = dict(http.headers or {})
    detail = http.detail
    if reason == "not_found":
        detail = f"nothing is at this address: {request.method} {request.scope['path']}"
        if "/documents/" in request.scope["path"]:
            detail += "; a slash inside an id is written %2F"
    elif reason == "method_not_allowed":
        headers["Allow"] = ", ".join(_methods_at(request))
        detail = f"{request.method} is not possible here; possible: {headers['Allow']}"
    return problem_response(Problem(reason=reason, detail=detail, headers=headers))


def _methods_at(request: Request) -> list[str]:
    """Name what can be done at an address; the router itself names the first route's methods alone."""
    scope: dict[str, Any] = dict(request.scope)
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return sorted(
        {method for route in routes if route.path_regex.match(scope["path"]) for method in route.methods or ()}
    )


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return problem_response(Problem(reason="client_left", detail="the client left before its request was read"))


async def _on_unexpected(_request: Request, _error: Exception) -> Response:
    # The server logs the exception itself: Starlette raises it again once this answer is sent.
    return problem_response(INTERNAL_ERROR)
