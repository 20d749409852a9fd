"""Translates a filter into an OpenSearch query over the one field of exact terms."""

from __future__ import annotations

from typing import Final, assert_never

from engines.filter_terms import equal_terms, exists_term, range_terms, single_string_term
from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range

TERMS_FIELD: Final = "terms"
QueryJson = dict[str, object]


def filter_query(condition: Filter) -> QueryJson:
    """Return a query that matches exactly the documents for which ``evaluate`` is true.

    Values only ever stand where JSON takes a string as it is: nothing is concatenated, quoted or parsed.
    """
    match condition:
        case And(conditions):
            return {"bool": {"filter": [filter_query(inner) for inner in conditions]}}
        case Or(conditions):
            if not conditions:
                return {"match_none": {}}
            return {"bool": {"should": [filter_query(inner) for inner in conditions], "minimum_should_match": 1}}
        case Not(inner):
            return {"bool": {"must_not": [filter_query(inner)]}}
        case Equal(field, value):
            return _any_term(equal_terms(field, value))
        case In(field, values):
            return _any_term([term for value in values for term in equal_terms(field, value)])
        case Range():
            any_of, none_of = range_terms(condition)
            if not none_of:
                return _any_term(any_of)
            return {"bool": {"filter": [_any_term(any_of)], "must_not": [_any_term(none_of)]}}
        case Exists(field):
            return _any_term([exists_term(field)])
        case Prefix(field, value):
            return {"prefix": {TERMS_FIELD: {"value": single_string_term(field, value)}}}
        case _:
            assert_never(condition)


def clause_count(condition: Filter | None) -> int:
    """Return how many clauses Lucene counts in the condition against its limit for a whole search, or a few more."""
    match condition:
        case None:
            return 0
        case And(conditions) | Or(conditions):
            return max(1, sum(clause_count(inner) for inner in conditions))
        case Not(inner):
            # A negation alone stands beside a clause that matches everything.
            return 1 + clause_count(inner)
        case Range(gt=bound) if bound is not None:
            return 2
        case _:
            return 1


def _any_term(terms: list[str]) -> QueryJson:
    return {"terms": {TERMS_FIELD: terms}}
