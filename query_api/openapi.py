"""The OpenAPI document: what FastAPI cannot see, because bodies are read and answers written without it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from query_api.document_request import DocumentBody, DocumentLine
from query_api.problems import PROBLEM_JSON, ProblemAnswer
from query_api.responses import JSON
from query_api.search_request import SearchBody
from query_api.status_request import StatusBody
from schemas.filters import DEPTH_LIMIT, NODES_LIMIT
from schemas.metadata import NAME_PATTERN

_REF: Final = "#/components/schemas/{model}"
_DESCRIPTIONS: Final = {
    400: "The request breaks a rule; `field` and `remedy` say which one",
    404: "There is nothing of that name",
    409: "The version was used for other content",
    413: "The body is too large",
    415: "The body is of another kind than this endpoint reads",
    503: "An engine, the log or the catalog does not answer; the same request may succeed after `Retry-After`",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems an endpoint answers with; anything else that fails is a problem too."""
    content = {PROBLEM_JSON: {"schema": {"$ref": _REF.format(model="ProblemAnswer")}}}
    described: dict[int | str, dict[str, Any]] = {
        status: {"description": _DESCRIPTIONS[status], "content": content} for status in (400, *statuses)
    }
    if 503 in described:  # noqa: PLR2004  a status reads best as its number
        described[503]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return described | {"default": {"description": "Any other problem", "content": content}}


def json_body(model: str) -> dict[str, Any]:
    """Describe a JSON body by its model's name."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": _REF.format(model=model)}}}}}


def document_body() -> dict[str, Any]:
    """Describe a document's body: its JSON, or a file as it is."""
    described = json_body("DocumentBody")
    described["requestBody"]["content"]["*/*"] = {"schema": {"type": "string", "format": "binary"}}
    return described


def lines_body(media_type: str) -> dict[str, Any]:
    """Describe a body of many documents, one on each line."""
    schema = {"type": "string", "description": "one `DocumentLine` on each line; blank lines are skipped"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add the shapes that the helpers above refer to."""
    _, bodies = models_json_schema([(SearchBody, "validation"), (StatusBody, "validation")], ref_template=_REF)
    shapes: dict[str, Any] = {"Filter": _filter_schema(), **bodies["$defs"]}
    for shape in (DocumentBody, DocumentLine, ProblemAnswer):
        shapes[shape.__name__] = TypeAdapter(shape).json_schema(ref_template=_REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= shapes
    # FastAPI's own answer to a request it refuses; here that is a problem.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _filter_schema() -> dict[str, Any]:
    this = {"$ref": _REF.format(model="Filter")}
    field = {"type": "string", "pattern": f"^{NAME_PATTERN.pattern}$"}
    moment = {"type": "object", "properties": {"$date": {"type": "string"}}, "required": ["$date"]}
    scalar = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean")] + [moment]}
    bound = {"anyOf": [{"type": "number"}, moment]}
    alternatives = [
        _object({"and": {"type": "array", "items": this}}),
        _object({"or": {"type": "array", "items": this}}),
        _object({"not": this}),
        _object({"field": field, "eq": scalar}),
        _object({"field": field, "in": {"type": "array", "items": scalar}}),
        _object({"field": field, "exists": {"type": "boolean"}}),
        _object({"field": field, "prefix": {"type": "string"}}),
        _object({"field": field, "gt": bound, "gte": bound, "lt": bound, "lte": bound}, required=["field"])
        | {"minProperties": 2},
    ]
    limits = f"Up to {DEPTH_LIMIT} deep, with up to {NODES_LIMIT} conditions; an absent name meets no condition."
    return {"description": f"A condition on metadata. {limits}", "oneOf": alternatives}


def _object(properties: dict[str, Any], *, required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }
