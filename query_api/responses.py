"""The one door through which answers leave: bytes by orjson, and headers that hold for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson
from starlette.responses import Response

JSON: Final = "application/json"
_HEADERS: Final = {"X-Content-Type-Options": "nosniff"}


def json_response(
    answer: object, *, status: int = 200, media_type: str = JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """Write an answer; what it holds must come from JSON or from checked text."""
    return bytes_response(orjson.dumps(answer), status=status, media_type=media_type, headers=headers)


def bytes_response(
    content: bytes, *, status: int = 200, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Send bytes that are already written."""
    return Response(content, status, {**_HEADERS, **(headers or {})}, media_type)
