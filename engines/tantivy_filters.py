"""Translates a filter into a Tantivy query over the one field of exact terms."""

from __future__ import annotations

from typing import Final, assert_never

from tantivy import Occur, Query, Schema

from engines.filter_terms import equal_terms, exists_term, range_terms, single_string_term
from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range

TERMS_FIELD: Final = "terms"


def filter_query(condition: Filter, schema: Schema) -> Query:
    """Return a query that matches exactly the documents for which ``evaluate`` is true; its scores mean nothing."""
    match condition:
        case And(conditions):
            return _all_of([filter_query(inner, schema) for inner in conditions])
        case Or(conditions):
            return _any_of([filter_query(inner, schema) for inner in conditions])
        case Not(inner):
            everything = Query.all_query()
            return Query.boolean_query([(Occur.Must, everything), (Occur.MustNot, filter_query(inner, schema))])
        case Equal(field, value):
            return _any_term(equal_terms(field, value), schema)
        case In(field, values):
            return _any_term([term for value in values for term in equal_terms(field, value)], schema)
        case Range():
            any_of, none_of = range_terms(condition)
            inside = _any_term(any_of, schema)
            if not none_of:
                return inside
            return Query.boolean_query([(Occur.Must, inside), (Occur.MustNot, _any_term(none_of, schema))])
        case Exists(field):
            return _any_term([exists_term(field)], schema)
        case Prefix(field, value):
            # At distance 0 nothing is fuzzy about it: this is the one query that takes a prefix literally, whole.
            return Query.fuzzy_term_query(
                schema, TERMS_FIELD, single_string_term(field, value), distance=0, prefix=True
            )
        case _:
            assert_never(condition)


def _all_of(queries: list[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, query) for query in queries]) if queries else Query.all_query()


def _any_of(queries: list[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries]) if queries else Query.empty_query()


def _any_term(terms: list[str], schema: Schema) -> Query:
    return Query.term_set_query(schema, TERMS_FIELD, terms)
