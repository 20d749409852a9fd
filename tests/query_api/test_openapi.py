"""The OpenAPI document: the published one is the generated one, and what it says of requests is what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import orjson
import pytest
from jsonschema import Draft202012Validator

from query_api.app import openapi_document
from query_api.document_request import DocumentBody, DocumentLine, event_of_line
from schemas.document import KNOWN_FIELDS
from schemas.errors import Poison
from schemas.filters import parse_filter
from tests.query_api.described import request_schema

_PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def test_the_published_document_is_the_generated_one() -> None:
    """`inver openapi > docs/reference/openapi.json` has been run since the API last changed."""
    assert orjson.loads(_PUBLISHED.read_bytes()) == openapi_document()


def test_every_shape_is_a_json_schema() -> None:
    """Every reference leads somewhere, and every schema is one."""
    document = openapi_document()
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = set(document["components"]["schemas"])
    assert _references(document) <= {f"#/components/schemas/{name}" for name in names}


def test_every_endpoint_describes_its_problems() -> None:
    """Each operation has a default problem, and none has FastAPI's own."""
    for path, operations in openapi_document()["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (method, path)
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            if "/v1/" in path:
                assert {"400", "default"} <= set(operation["responses"]), (method, path)


def test_a_document_has_the_fields_of_an_event() -> None:
    """What the API describes is what the log's events may carry."""
    assert set(get_type_hints(DocumentLine)) == KNOWN_FIELDS
    assert set(get_type_hints(DocumentBody)) == KNOWN_FIELDS - {"schema", "op", "tenant", "id"}


@pytest.mark.parametrize(
    ("line", "is_event"),
    [
        ({"id": "a", "text": "x"}, True),
        ({"id": "a", "op": "delete"}, True),
        ({"id": "a", "text": "x", "metadata": {"n": 1, "s": "x", "l": ["a"], "d": {"$date": "2026-01-01"}}}, True),
        ({"text": "x"}, False),
        ({"id": "a", "text": "x", "op": "patch"}, False),
        ({"id": "a", "text": "x", "schema": 2}, False),
        ({"id": "a", "text": 7}, False),
        ({"id": "a", "text": "x", "txt": "y"}, False),
    ],
)
def test_the_described_line_is_the_one_that_is_read(line: dict[str, Any], *, is_event: bool) -> None:
    """The schema refuses what the reader refuses, as far as a schema can tell."""
    assert (list(request_schema("DocumentLine").iter_errors(line)) == []) == is_event
    try:
        event_of_line(line)
        read = True
    except Poison:
        read = False
    assert read == is_event


@pytest.mark.parametrize(
    ("condition", "is_filter"),
    [
        ({"field": "a", "eq": 1}, True),
        ({"field": "a", "in": ["x", True]}, True),
        ({"field": "a", "exists": False}, True),
        ({"field": "a", "prefix": "x"}, True),
        ({"field": "a", "gt": 1, "lte": {"$date": "2026-01-01"}}, True),
        ({"and": [{"not": {"field": "a", "eq": "x"}}, {"or": []}]}, True),
        ({}, False),
        ({"field": "a"}, False),
        ({"field": "a", "eq": 1, "gt": 1}, False),
        ({"field": "a", "gt": "x"}, False),
        ({"field": "a b", "eq": 1}, False),
        ({"and": {}}, False),
        ({"and": [], "or": []}, False),
        ({"field": "a", "eq": [1]}, False),
    ],
)
def test_the_described_filter_is_the_one_that_is_read(condition: dict[str, Any], *, is_filter: bool) -> None:
    """The schema and the parser agree."""
    assert (list(request_schema("Filter").iter_errors(condition)) == []) == is_filter
    try:
        parse_filter(condition)
        read = True
    except Poison:
        read = False
    assert read == is_filter


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()
