"""Holds every answer of the API against its own OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import httpx
import orjson
from jsonschema import Draft202012Validator

from query_api.app import openapi_document

_DOCUMENT = openapi_document()
_PATHS = [
    (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), operations)
    for path, operations in _DOCUMENT["paths"].items()
]


def check_described(response: httpx.Response) -> None:
    """Fail unless the endpoint, the status, the kind and the shape of the answer are in the document."""
    path = response.request.url.raw_path.partition(b"?")[0].decode()
    if path == "/openapi.json":
        return
    operation = _operation(path, response.request.method.lower())
    if operation is None:
        assert response.status_code in (400, 404, 405), response.text
        problem: dict[str, Any] = {"$ref": "#/components/schemas/ProblemAnswer"}
        _check_shape(problem, orjson.loads(response.content))
        return
    described = operation["responses"].get(str(response.status_code))
    assert described is not None, f"{response.status_code} is not described: {response.text}"
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in described["content"], f"{kind} is not among {list(described['content'])}"
    if kind.endswith("json"):
        _check_shape(described["content"][kind]["schema"], orjson.loads(response.content))
    for header in ("Retry-After",) if response.status_code == 503 else ():
        assert header in response.headers


def request_schema(name: str) -> Draft202012Validator:
    """Return a validator of one of the shapes that requests have."""
    return _validator({"$ref": f"#/components/schemas/{name}"})


def _operation(path: str, method: str) -> dict[str, Any] | None:
    # `/documents/{id}/status` and `/documents/{id}` differ in their number of segments, so that at most one fits.
    found = [operations for pattern, operations in _PATHS if pattern.fullmatch(path)]
    return found[0].get(method) if found else None


def _check_shape(schema: dict[str, Any], answer: object) -> None:
    errors = [f"{error.json_path}: {error.message}" for error in _validator(schema).iter_errors(answer)]
    assert errors == []


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": _DOCUMENT["components"]})
