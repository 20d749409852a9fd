"""Reading what a request carries, with the size checked while the bytes come in."""

from __future__ import annotations

from typing import Final

import orjson
from starlette.requests import Request

from query_api.responses import JSON
from schemas.errors import Poison

_MEBIBYTE: Final = 1024**2


def media_type_of(request: Request) -> str:
    """Return the body's media type in lower case, without parameters; empty where none was named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """Read the whole body. Raises Poison as soon as it is clear that it exceeds the limit."""
    refuse_announced_size(request, limit_bytes=limit_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise body_too_large(limit_bytes)
        parts.append(part)
    return b"".join(parts)


def refuse_announced_size(request: Request, *, limit_bytes: int) -> None:
    """Refuse a body that says of itself that it is too large, before any of it is read. Raises Poison."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise body_too_large(limit_bytes)


def body_too_large(limit_bytes: int) -> Poison:
    """Make the error for a body above its limit."""
    limit = f"{limit_bytes // _MEBIBYTE} MiB" if limit_bytes % _MEBIBYTE == 0 else f"{limit_bytes} bytes"
    return Poison("body_too_large", f"the body may have {limit}; send less at once, or split the document")


async def read_json(request: Request, *, limit_bytes: int) -> object:
    """Read a JSON body. Raises Poison."""
    media_type = media_type_of(request)
    if media_type not in ("", JSON):
        raise unsupported_media_type(media_type, expected=JSON)
    return parse_json(await read_body(request, limit_bytes=limit_bytes))


def unsupported_media_type(media_type: str, *, expected: str) -> Poison:
    """Make the error for a body of the wrong kind."""
    return Poison("unsupported_media_type", f"the body's Content-Type is {media_type!r}; it must be {expected}")


def parse_json(content: bytes) -> object:
    """Decode JSON, strictly: NaN, lone surrogates and bytes that are not UTF-8 are refused. Raises Poison."""
    try:
        decoded: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Poison("invalid_json", f"the body is not JSON in UTF-8: {error}") from None
    return decoded
