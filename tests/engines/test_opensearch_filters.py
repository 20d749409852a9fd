"""Filters as terms and as OpenSearch queries, without a server."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.filter_terms import equal_terms, exists_term, range_terms, single_string_term, sortable, terms_of
from engines.opensearch_filters import clause_count, filter_query
from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range, evaluate
from schemas.metadata import FilterableValue
from tests.contracts import filter_cases

#: At most so many, so that a search with the most conditions a filter may have stays small.
TERMS_OF_ONE_RANGE = 1_700


def matches(query: dict[str, object], terms: set[str]) -> bool:
    """Decide a query as OpenSearch does, for a document with these terms."""
    ((kind, body),) = query.items()
    match kind, body:
        case "terms", {"terms": list(wanted)}:
            return not terms.isdisjoint(wanted)
        case "prefix", {"terms": {"value": str(value)}}:
            return any(term.startswith(value) for term in terms)
        case "match_none", {}:
            return False
        case "bool", {"filter": list(inner), "must_not": list(unwanted)}:
            return all(matches(one, terms) for one in inner) and not any(matches(one, terms) for one in unwanted)
        case "bool", {"filter": list(inner)}:
            return all(matches(one, terms) for one in inner)
        case "bool", {"should": list(inner), "minimum_should_match": 1}:
            return any(matches(one, terms) for one in inner)
        case "bool", {"must_not": list(inner)}:
            return not any(matches(one, terms) for one in inner)
        case _:
            pytest.fail(f"unexpected query {query}")


@given(filter_cases.filters(), filter_cases.metadata())
def test_queries_mean_what_evaluate_says(condition: Filter, metadata: dict[str, FilterableValue]) -> None:
    """Any filter, turned into a query over a document's terms, decides as the plain evaluator does."""
    assert matches(filter_query(condition), set(terms_of(metadata))) is evaluate(condition, metadata)


@given(filter_cases.numbers(), filter_cases.numbers())
def test_numbers_keep_their_order(left: float, right: float) -> None:
    """The integers that stand for numbers compare as the numbers do, integers and doubles mixed."""
    assert (sortable(left) < sortable(right)) is (left < right)
    assert (sortable(left) == sortable(right)) is (left == right)
    assert 0 <= sortable(left) < 2**72


@given(
    filter_cases.numbers(),
    st.builds(
        Range, field=st.just("n"), **dict.fromkeys(("gt", "gte", "lt", "lte"), st.none() | filter_cases.numbers())
    ),
)
def test_ranges_hold_exactly_their_numbers(value: float, condition: Range) -> None:
    """A number shares a term with a range when it lies inside, and the terms are never too many."""
    any_of, none_of = range_terms(condition)
    carried = set(terms_of({"n": value}))
    assert len(any_of) == len(set(any_of)) <= TERMS_OF_ONE_RANGE
    assert (not carried.isdisjoint(any_of) and carried.isdisjoint(none_of)) is evaluate(condition, {"n": value})


def test_clauses_are_counted_as_lucene_does() -> None:
    """Leaves count, combinations do not; a negation brings one of its own, and an exclusive lower bound is two."""
    condition = And((Or(()), Not(Equal("a", "x")), Range(field="n", gt=1), Range(field="n", gte=1), Prefix("a", "x")))
    assert clause_count(condition) == 7
    assert clause_count(None) == 0


@given(filter_cases.filters())
def test_queries_are_plain_json(condition: Filter) -> None:
    """A query survives encoding unchanged, so nothing in it depends on escaping of our own."""
    query = filter_query(condition)
    assert orjson.loads(orjson.dumps(query)) == query


def test_terms_are_readable() -> None:
    """What stands in the index can be understood by looking at it."""
    assert terms_of({"lang": "en", "tags": ("a", "b", "a"), "draft": True, "none": ()}) == [
        "e:lang",
        "s:lang:en",
        "e:tags",
        "l:tags:a",
        "l:tags:b",
        "e:draft",
        "b:draft:True",
    ]
    assert exists_term("lang") == "e:lang"
    assert single_string_term("lang", "e") == "s:lang:e"
    assert equal_terms("lang", "en") == ["s:lang:en", "l:lang:en"]


def test_each_condition_has_its_query() -> None:
    """The shapes that OpenSearch is sent."""
    assert filter_query(Equal("a", "x")) == {"terms": {"terms": ["s:a:x", "l:a:x"]}}
    assert filter_query(In("a", ())) == {"terms": {"terms": []}}
    assert filter_query(Exists("a")) == {"terms": {"terms": ["e:a"]}}
    assert filter_query(Prefix("a", "x*")) == {"prefix": {"terms": {"value": "s:a:x*"}}}
    assert filter_query(Or(())) == {"match_none": {}}
    assert filter_query(And(())) == {"bool": {"filter": []}}
    assert filter_query(Range(field="a", gt=1, lt=1)) == {"terms": {"terms": []}}
