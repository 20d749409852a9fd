"""Metadata and filters in Milvus' words: how values are stored, and the expression that decides as ``evaluate`` does.

Milvus compares whatever it finds under a JSON path, and refuses some mixtures; so each kind of value has a namespace
of its own: ``{"s": strings, "l": lists of strings, "n": numbers, "b": booleans, "e": empty lists}``. A path that is
absent makes a comparison false and its negation true, as our filters have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, assert_never

import orjson

from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range, Scalar
from schemas.metadata import FilterableValue

#: Every row has a key, so these are true and false; Milvus knows no constant conditions.
_TRUE: Final = 'key != ""'
_FALSE: Final = 'key == ""'
_LAST_CHARACTER: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


def encode_metadata(metadata: Mapping[str, FilterableValue]) -> dict[str, dict[str, object]]:
    """Give metadata the form the expressions look into."""
    encoded: dict[str, dict[str, object]] = {}
    for name, value in metadata.items():
        encoded.setdefault(_namespace(value), {})[name] = list(value) if isinstance(value, tuple) else value
    return encoded


def decode_metadata(encoded: Mapping[str, Mapping[str, object]]) -> dict[str, FilterableValue]:
    """Read metadata back."""
    return {
        name: tuple(value) if isinstance(value, list) else value  # type: ignore[misc]
        for values in encoded.values()
        for name, value in values.items()
    }


def expression(tenant: str, condition: Filter | None) -> str:
    """Write the filter for one tenant; the tenant is outermost, so that no condition can reach around it."""
    only_tenant = f"tenant == {_literal(tenant)}"
    return only_tenant if condition is None else f"{only_tenant} and ({_written(condition).text})"


def keys_among(keys: Sequence[str]) -> str:
    """Write the filter that finds these row keys."""
    return f"key in {_literal(keys)}"


def keys_above(key: str) -> str:
    """Write the filter that finds the row keys behind one in their order."""
    return f"key > {_literal(key)}"


class _Term(NamedTuple):
    """A piece of an expression and how deep its tree is; the shallowest comes first."""

    depth: int
    text: str


def _written(condition: Filter) -> _Term:
    match condition:
        case And(conditions):
            return _joined("and", [_written(inner) for inner in conditions], _TRUE)
        case Or(conditions):
            return _joined("or", [_written(inner) for inner in conditions], _FALSE)
        case Not(inner):
            depth, text = _written(inner)
            return _Term(depth + 1, f"not ({text})")
        case Equal(field, value):
            return _any_of(field, (value,))
        case In(field, values):
            return _any_of(field, values)
        case Range():
            return _within(condition)
        case Exists(field):
            return _joined("or", [_present(_path(kind, field)) for kind in "slnb"], _FALSE)
        case Prefix(field, prefix):
            return _beginning_with(_path("s", field), prefix)
        case _:
            assert_never(condition)


def _joined(word: str, terms: list[_Term], empty: str) -> _Term:
    """Join terms pairwise, the shallowest first: Milvus refuses trees about 50 deep, as a plain chain would be."""
    if not terms:
        return _Term(1, empty)
    heapify(terms)
    while len(terms) > 1:
        first, second = heappop(terms), heappop(terms)
        heappush(terms, _Term(max(first.depth, second.depth) + 1, f"({first.text}) {word} ({second.text})"))
    return terms[0]


def _any_of(field: str, values: tuple[Scalar, ...]) -> _Term:
    strings = [value for value in values if isinstance(value, str)]
    alternatives: list[_Term] = []
    if strings:
        alternatives.append(_leaf(f"{_path('s', field)} in {_literal(strings)}"))
        alternatives.append(_leaf(f"json_contains_any({_path('l', field)}, {_literal(strings)})"))
    # Milvus refuses lists of mixed kinds.
    for kind, wanted in (("b", _of(bool)), ("n", _of(int)), ("n", _of(float))):
        chosen = [value for value in values if wanted(value)]
        if chosen:
            alternatives.append(_leaf(f"{_path(kind, field)} in {_literal(chosen)}"))
    return _joined("or", alternatives, _FALSE)


def _of(kind: type) -> Callable[[Scalar], bool]:
    return lambda value: type(value) is kind


def _within(bounds: Range) -> _Term:
    path = _path("n", bounds.field)
    signs = ((">", bounds.gt), (">=", bounds.gte), ("<", bounds.lt), ("<=", bounds.lte))
    comparisons = [_leaf(f"{path} {sign} {_literal(bound)}") for sign, bound in signs if bound is not None]
    return _joined("and", comparisons or [_present(path)], _TRUE)


def _beginning_with(path: str, prefix: str) -> _Term:
    # Not ``like``: it gives '%' and '_' a meaning and has no escape. Milvus orders strings by code point, so those
    # that begin with the prefix lie between it and its successor.
    if not prefix:
        return _present(path)
    bounds = [_leaf(f"{path} >= {_literal(prefix)}")]
    if successor := _successor(prefix):
        bounds.append(_leaf(f"{path} < {_literal(successor)}"))
    return _joined("and", bounds, _TRUE)


def _present(path: str) -> _Term:
    return _leaf(f"exists {path}")


def _leaf(text: str) -> _Term:
    return _Term(1, text)


def _successor(prefix: str) -> str:
    """Return the least string above all that begin with the prefix; empty where there is none."""
    kept = prefix.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def _namespace(value: FilterableValue) -> str:
    if isinstance(value, tuple):
        # No filter looks for empty lists, which are the same as absence; they are kept to be read back.
        return "l" if value else "e"
    if isinstance(value, str):
        return "s"
    return "b" if isinstance(value, bool) else "n"


def _path(kind: str, field: str) -> str:
    return f'metadata["{kind}"][{_literal(field)}]'


def _literal(value: object) -> str:
    return orjson.dumps(value).decode()
