"""The filter language: what is written is read with its place in every error, and means the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidField
from schemas.filters import (
    DEPTH_LIMIT,
    NODES_LIMIT,
    And,
    Equal,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Prefix,
    Range,
    evaluate,
    parse_filter,
)
from schemas.metadata import FilterableValue, filterable
from tests.schemas.strategies import metadata, metadata_values

DOCUMENT: dict[str, FilterableValue] = {
    "year": 2020,
    "score": 1.5,
    "zero": 0,
    "lang": "en",
    "draft": False,
    "tags": ("red", "green"),
    "none": (),
    "when": 1_000_000,
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"field": "year", "eq": 2020}, Equal("year", 2020)),
        ({"field": "lang", "in": ["en", "de"]}, In("lang", ("en", "de"))),
        ({"field": "year", "gte": 2020, "lt": 2026}, Range(field="year", gte=2020, lt=2026)),
        ({"field": "when", "gt": {"$date": "1970-01-01T00:00:01Z"}}, Range(field="when", gt=1_000_000)),
        ({"field": "lang", "exists": True}, Exists("lang")),
        ({"field": "lang", "exists": False}, Not(Exists("lang"))),
        ({"field": "lang", "prefix": "e"}, Prefix("lang", "e")),
        ({"not": {"field": "lang", "eq": "en"}}, Not(Equal("lang", "en"))),
        ({"and": []}, And(())),
        ({"or": [{"field": "a", "eq": True}, {"and": []}]}, Or((Equal("a", True), And(())))),
    ],
)
def test_filters_are_read(raw: object, expected: Filter):
    """Each form of the language has one meaning."""
    assert parse_filter(raw) == expected


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (None, "filter"),
        ([], "filter"),
        ({}, "filter"),
        ("year = 2020", "filter"),
        ({"eq": 1}, "filter.field"),
        ({"field": "a b", "eq": 1}, "filter.field"),
        ({"field": 5, "eq": 1}, "filter.field"),
        ({"field": "a"}, "filter"),
        ({"field": "a", "like": "x"}, "filter"),
        ({"field": "a", "eq": 1, "in": [1]}, "filter"),
        ({"field": "a", "eq": 1, "gt": 1}, "filter"),
        ({"field": "a", "eq": None}, "filter.eq"),
        ({"field": "a", "eq": ["x"]}, "filter.eq"),
        ({"field": "a", "eq": float("nan")}, "filter.eq"),
        ({"field": "a", "in": "x"}, "filter.in"),
        ({"field": "a", "in": [1, {"x": 1}]}, "filter.in[1]"),
        ({"field": "a", "gte": "x"}, "filter.gte"),
        ({"field": "a", "lt": True}, "filter.lt"),
        ({"field": "a", "exists": 1}, "filter.exists"),
        ({"field": "a", "prefix": 1}, "filter.prefix"),
        ({"and": {"field": "a", "eq": 1}}, "filter.and"),
        ({"and": [{"field": "a", "eq": 1}], "field": "a"}, "filter"),
        (
            {"and": [{"field": "a", "eq": 1}, {"not": {"or": [{"field": "a", "gt": "x"}]}}]},
            "filter.and[1].not.or[0].gt",
        ),
    ],
)
def test_an_error_names_the_place(raw: object, place: str):
    """However deep it is."""
    with pytest.raises(InvalidField) as refused:
        parse_filter(raw)
    assert refused.value.field == place


def nested(depth: int) -> dict[str, Any]:
    """A condition below so many negations."""
    raw: dict[str, Any] = {"field": "a", "eq": 1}
    for _ in range(depth - 1):
        raw = {"not": raw}
    return raw


def test_depth_and_size_have_limits():
    """A limit is the last that passes; nothing about a filter can exhaust the reader."""
    parse_filter(nested(DEPTH_LIMIT))
    with pytest.raises(InvalidField, match="16 deep"):
        parse_filter(nested(DEPTH_LIMIT + 1))
    with pytest.raises(InvalidField, match="16 deep"):
        parse_filter(nested(500))
    parse_filter({"or": [{"field": "a", "eq": 1}] * (NODES_LIMIT - 1)})
    with pytest.raises(InvalidField, match="512 conditions"):
        parse_filter({"or": [{"field": "a", "eq": 1}] * NODES_LIMIT})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (And(()), True),
        (Or(()), False),
        (Equal("year", 2020), True),
        (Equal("year", 2020.0), True),
        (Equal("year", "2020"), False),
        (Equal("zero", False), False),
        (Equal("draft", 0), False),
        (Equal("draft", False), True),
        (Equal("absent", "x"), False),
        (Not(Equal("absent", "x")), True),
        (Equal("tags", "green"), True),
        (Equal("tags", "blue"), False),
        (Not(Equal("tags", "blue")), True),
        (Equal("none", "x"), False),
        (In("lang", ("de", "en")), True),
        (In("lang", ()), False),
        (In("tags", ("blue", "red")), True),
        (In("zero", (False,)), False),
        (Range(field="year"), True),
        (Range(field="year", gt=2019, lt=2021), True),
        (Range(field="year", gte=2020, lte=2020), True),
        (Range(field="year", gt=2020), False),
        (Range(field="score", gt=1, lt=2), True),
        (Range(field="lang"), False),
        (Range(field="draft", gte=0), False),
        (Range(field="tags"), False),
        (Range(field="absent"), False),
        (Not(Range(field="absent")), True),
        (Exists("draft"), True),
        (Exists("zero"), True),
        (Exists("none"), False),
        (Exists("absent"), False),
        (Prefix("lang", "e"), True),
        (Prefix("lang", ""), True),
        (Prefix("lang", "E"), False),
        (Prefix("tags", "r"), False),
        (Prefix("year", ""), False),
    ],
)
def test_conditions_mean_what_their_docstrings_say(condition: Filter, expected: object):
    """Absence is false, its negation true; kinds never mix; lists match by any member."""
    assert evaluate(condition, DOCUMENT) is expected


fields = st.sampled_from(["a", "b", "c"])
scalars = metadata_values.map(lambda value: filterable({"n": value})["n"]).filter(lambda v: not isinstance(v, tuple))
numbers = st.integers(-9, 9) | st.floats(-9, 9)
leaves = st.one_of(
    st.builds(Equal, fields, scalars),
    st.builds(In, fields, st.lists(scalars, max_size=3).map(tuple)),
    st.builds(Range, field=fields, gt=st.none() | numbers, lte=st.none() | numbers),
    st.builds(Exists, fields),
    st.builds(Prefix, fields, st.text(max_size=2)),
)
filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, max_size=3).map(lambda some: And(tuple(some)))
        | st.lists(inner, max_size=3).map(lambda some: Or(tuple(some)))
    ),
    max_leaves=6,
)
documents = st.dictionaries(fields, metadata_values, max_size=3).map(filterable) | metadata.map(filterable)


@given(filters, filters, documents)
def test_logic_is_two_valued(left: Filter, right: Filter, document: Mapping[str, FilterableValue]):
    """A condition or its negation is true, never both, and De Morgan's laws hold, absence included."""
    assert evaluate(Not(left), document) is not evaluate(left, document)
    assert evaluate(Not(And((left, right))), document) is evaluate(Or((Not(left), Not(right))), document)
    assert evaluate(In("a", (1, "x")), document) is evaluate(Or((Equal("a", 1), Equal("a", "x"))), document)


def written(condition: Filter) -> dict[str, Any]:
    """Write a filter as people do."""
    match condition:
        case And(inner):
            return {"and": [written(one) for one in inner]}
        case Or(inner):
            return {"or": [written(one) for one in inner]}
        case Not(inner):
            return {"not": written(inner)}
        case Equal(field, value):
            return {"field": field, "eq": value}
        case In(field, values):
            return {"field": field, "in": list(values)}
        case Exists(field):
            return {"field": field, "exists": True}
        case Prefix(field, value):
            return {"field": field, "prefix": value}
        case Range():
            bounds = {name: getattr(condition, name) for name in ("gt", "gte", "lt", "lte")}
            return {"field": condition.field} | {name: bound for name, bound in bounds.items() if bound is not None}


def _plain(condition: Filter) -> bool:
    """Tell whether the JSON form can say it: a range needs a bound, and large integers and NUL are refused."""
    match condition:
        case And(inner) | Or(inner):
            return all(map(_plain, inner))
        case Not(inner):
            return _plain(inner)
        case Range():
            return condition.gt is not None or condition.lte is not None
        case Equal(_, value):
            return _taken(value)
        case In(_, values):
            return all(map(_taken, values))
        case Prefix(_, value):
            return _taken(value)
        case _:
            return True


def _taken(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    return isinstance(value, bool) or not isinstance(value, int) or abs(value) <= 2**53


@given(filters.filter(_plain))
def test_a_filter_is_read_back(condition: Filter):
    """What is written in JSON is the filter that was meant."""
    assert parse_filter(written(condition)) == condition
