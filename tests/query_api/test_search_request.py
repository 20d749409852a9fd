"""What a search may ask for, and how a mistake in it is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from query_api.bodies import parse_json
from query_api.search_request import SearchBody, SearchParameters, request_of_body, request_of_parameters
from query_api.validation import parse_model
from schemas.errors import InvalidField, Poison
from schemas.filters import And, Equal, Range
from schemas.search import LegRequest, SearchRequest
from tests.query_api.described import request_schema


def _request(**body: Any) -> SearchRequest:
    raw = {"query": "x", **body}
    request = request_of_body("docs", parse_model(SearchBody, parse_json(orjson.dumps(raw))))
    assert list(request_schema("SearchBody").iter_errors(raw)) == []
    return request


def test_a_query_alone_gets_the_defaults() -> None:
    """Both legs, ten hits, one per document."""
    assert _request() == SearchRequest(collection="docs", query="x")


def test_everything_can_be_said() -> None:
    """Each field arrives where it belongs."""
    request = _request(
        query="  two  words ",
        tenant="acme",
        size=200,
        legs={"sparse": {"window": 1000, "weight": 2, "required": True}},
        fusion={"k": 10},
        filter={"and": [{"field": "year", "gte": 2020}, {"field": "lang", "eq": "en"}]},
        collapse=False,
        explain=True,
        deadline_ms=60_000,
    )

    assert request == SearchRequest(
        collection="docs",
        query="  two  words ",
        tenant="acme",
        size=200,
        legs={"sparse": LegRequest(window=1000, weight=2.0, required=True)},
        k=10,
        filter=And((Range(field="year", gte=2020), Equal("lang", "en"))),
        collapse=False,
        explain=True,
        deadline_ms=60_000,
    )


def test_legs_may_be_a_list_of_names() -> None:
    """The short form has the defaults."""
    assert _request(legs=["dense"]).legs == {"dense": LegRequest()}
    assert _request(legs=["sparse", "dense"]).legs == {"sparse": LegRequest(), "dense": LegRequest()}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": " \n\t"}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 10_001}, "query"),
        ({"query": 7}, "query"),
        ({"query": None}, "query"),
        ({"size": 0}, "size"),
        ({"size": 201}, "size"),
        ({"size": "10"}, "size"),
        ({"size": 1.5}, "size"),
        ({"size": True}, "size"),
        ({"topk": 3}, "topk"),
        ({"legs": {}}, "legs"),
        ({"legs": []}, "legs"),
        ({"legs": {"dense": {"window": 1001}}}, "legs.dense.window"),
        ({"legs": {"dense": {"windows": 1}}}, "legs.dense.windows"),
        ({"legs": {"dense": {"weight": -1}}}, "legs.dense.weight"),
        ({"legs": {"dense": {"required": "yes"}}}, "legs.dense.required"),
        ({"fusion": {"k": 0}}, "fusion.k"),
        ({"filter": {"field": "a", "like": "b"}}, "filter"),
        ({"filter": {"and": [{"field": "a", "gte": "b"}]}}, "filter.and[0].gte"),
        ({"filter": []}, "filter"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a\nb"}, "tenant"),
        ({"collapse": 1}, "collapse"),
        ({"deadline_ms": 0}, "deadline_ms"),
    ],
)
def test_a_mistake_is_named(body: dict[str, Any], field: str) -> None:
    """The first field that breaks a rule is named by its place."""
    with pytest.raises(InvalidField) as caught:
        _request(**body)

    assert caught.value.field == field


def test_an_unknown_leg_is_named() -> None:
    """A misspelt leg is not silently left out."""
    with pytest.raises(InvalidField, match="dnse"):
        _request(legs=["dnse"])
    with pytest.raises(InvalidField, match="dnse"):
        _request(legs={"dnse": {}})


def test_a_missing_query_is_said_to_be_missing() -> None:
    """The field is named; nothing of the rest is quoted as its value."""
    with pytest.raises(InvalidField, match="field 'query' has value None: it is required"):
        parse_model(SearchBody, {"size": 3})


@pytest.mark.parametrize("raw", [[], "x", None, 7])
def test_only_an_object_is_a_search(raw: object) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidField, match="it must be a JSON object"):
        parse_model(SearchBody, raw)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"query": "x"} y',
        b'{"query": NaN}',
        b'{"query": "x", "legs": {"dense": {"weight": Infinity}}}',
        b'{"query": "x", "legs": {"dense": {"weight": 1e999}}}',
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b"[" * 5_000,
    ],
)
def test_what_is_not_json_is_refused(content: bytes) -> None:
    """NaN, bytes that are not UTF-8 and lone surrogates are not JSON either."""
    with pytest.raises(Poison) as caught:
        parse_json(content)

    assert caught.value.reason == "invalid_json"


def test_an_address_says_the_same() -> None:
    """The short form of a search, with a filter as JSON."""
    parameters = SearchParameters(q="x", k=3, leg="sparse", tenant="acme", filter='{"field": "lang", "eq": "en"}')

    assert request_of_parameters("docs", parameters) == SearchRequest(
        collection="docs",
        query="x",
        tenant="acme",
        size=3,
        legs={"sparse": LegRequest()},
        filter=Equal("lang", "en"),
    )


def test_a_filter_in_an_address_that_is_no_json_is_named() -> None:
    """The field is named, and where its JSON breaks."""
    with pytest.raises(InvalidField, match=r"field 'filter' has value '\{': it must be JSON"):
        request_of_parameters("docs", SearchParameters(q="x", filter="{"))
