"""Addresses: which bytes of a URL name what, exactly, so that any id can stand in one path segment.

ASGI hands over a decoded path, in which an id's own slash and a separator look the same. Here paths are matched as
they were sent, and each segment is decoded on its own: ``/documents/a%2Fstatus`` is the document ``a/status``,
``/documents/a/status`` the status of ``a``.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote, unquote_to_bytes

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.problems import Problem, problem_response
from schemas.document import DEFAULT_TENANT
from schemas.keys import DocumentKey

#: URLs give these segments a meaning of their own, and clients resolve them away.
_DOT_SEGMENTS: Final = {".": "%2E", "..": "%2E%2E"}


def decode_segment(segment: str) -> str:
    """Decode one path segment. Raises ValueError for bytes that are not UTF-8."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise ValueError("it must be UTF-8, percent-encoded") from None


#: A path parameter as it was meant.
Segment = Annotated[str, AfterValidator(decode_segment)]
DocumentId = Annotated[str, Path(alias="id"), AfterValidator(decode_segment)]


def encode_segment(value: str) -> str:
    """Write any text so that it stays one path segment."""
    return _DOT_SEGMENTS.get(value) or quote(value, safe="")


def status_address(root: str, collection: str, document: DocumentKey) -> str:
    """Return where a document's status is found."""
    tenant = "" if document.tenant == DEFAULT_TENANT else f"?tenant={quote(document.tenant, safe='')}"
    path = f"{root}/v1/collections/{encode_segment(collection)}/documents/{encode_segment(document.id)}/status"
    return path + tenant


class ExactAddresses:
    """Makes the router see paths as they were sent, and refuses query strings that would be read with losses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its raw path in place of the decoded one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"")
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            problem = Problem(reason="invalid_utf8", detail="the query string must be UTF-8, percent-encoded")
            await problem_response(problem)(scope, receive, send)
            return
        raw = scope.get("raw_path")
        sent = raw.decode("latin-1") if raw else quote(scope["path"])
        await self._app({**scope, "path": sent}, receive, send)
