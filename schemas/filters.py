"""The filter language: a small tree, its JSON form, and the plain evaluator every engine must agree with.

A filter sees a document's metadata as ``schemas.metadata.filterable`` writes it. Logic is two-valued: a condition on
an absent name is false, and so its negation is true. A list matches ``eq`` and ``in`` when any
member does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from schemas.errors import InvalidField
from schemas.metadata import NAME_PATTERN, FilterableValue, MetadataValue, parse_value, to_microseconds

Scalar = str | int | float | bool
DEPTH_LIMIT: Final = 16
NODES_LIMIT: Final = 512


@dataclass(frozen=True, slots=True)
class And:
    """True when every condition is; true when there are none."""

    conditions: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when any condition is; false when there are none."""

    conditions: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True when its condition is false, absence included."""

    condition: Filter


@dataclass(frozen=True, slots=True)
class Equal:
    """True when the value is equal and of the same kind: ``1`` equals ``1.0``, never ``"1"`` or ``true``."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """True when Equal is true for any of the values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """True when a number or date lies between the bounds that are given; never true for strings and booleans."""

    field: str
    gt: int | float | None = None
    gte: int | float | None = None
    lt: int | float | None = None
    lte: int | float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """True when the document carries the name; an empty list is the same as absence."""

    field: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """True when a single string begins with the value. Lists never match: Milvus cannot look into them by prefix."""

    field: str
    value: str


Filter = And | Or | Not | Equal | In | Range | Exists | Prefix


def evaluate(condition: Filter, metadata: Mapping[str, FilterableValue]) -> bool:
    """Decide a filter for one document: the meaning every engine is tested against."""
    match condition:
        case And(conditions):
            return all(evaluate(inner, metadata) for inner in conditions)
        case Or(conditions):
            return any(evaluate(inner, metadata) for inner in conditions)
        case Not(inner):
            return not evaluate(inner, metadata)
        case Equal(field, value):
            return _any_member(metadata, field, lambda member: _same(member, value))
        case In(field, values):
            return _any_member(metadata, field, lambda member: any(_same(member, value) for value in values))
        case Range():
            return _within(metadata.get(condition.field), condition)
        case Exists(field):
            return bool(_members(metadata, field))
        case Prefix(field, value):
            single = metadata.get(field)
            return isinstance(single, str) and single.startswith(value)
        case _:
            assert_never(condition)


def _members(metadata: Mapping[str, FilterableValue], field: str) -> tuple[Scalar, ...]:
    value = metadata.get(field)
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _any_member(metadata: Mapping[str, FilterableValue], field: str, test: Callable[[Scalar], bool]) -> bool:
    return any(test(member) for member in _members(metadata, field))


def _kind(value: Scalar) -> type:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float


def _same(left: Scalar, right: Scalar) -> bool:
    return _kind(left) is _kind(right) and left == right


def _within(value: FilterableValue | None, bounds: Range) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


_COMBINERS: Final = ("and", "or", "not")
_BOUNDS: Final = ("gt", "gte", "lt", "lte")


def parse_filter(raw: object) -> Filter:
    """Read a filter's JSON form, such as ``{"and": [{"field": "year", "gte": 2020}, {"field": "lang", "eq": "en"}]}``.

    Raises InvalidField naming the place, as in ``filter.and[0].gte``.
    """
    budget = [NODES_LIMIT]
    return _parse(raw, "filter", 1, budget)


def _parse(raw: object, place: str, depth: int, budget: list[int]) -> Filter:
    budget[0] -= 1
    if depth > DEPTH_LIMIT or budget[0] < 0:
        raise InvalidField(place, "…", f"a filter may be {DEPTH_LIMIT} deep and have {NODES_LIMIT} conditions")
    if not isinstance(raw, Mapping) or not raw:
        raise InvalidField(place, raw, "it must be an object with 'and', 'or', 'not' or 'field'")
    for combiner in _COMBINERS:
        if combiner in raw:
            if len(raw) > 1:
                raise InvalidField(place, sorted(map(str, raw)), f"'{combiner}' must stand alone in its object")
            return _parse_combiner(combiner, raw[combiner], f"{place}.{combiner}", depth, budget)
    return _parse_condition(raw, place)


def _parse_combiner(combiner: str, raw: object, place: str, depth: int, budget: list[int]) -> Filter:
    if combiner == "not":
        return Not(_parse(raw, place, depth + 1, budget))
    if not isinstance(raw, list | tuple):
        raise InvalidField(place, raw, "it must be a list of conditions")
    inner = tuple(_parse(item, f"{place}[{index}]", depth + 1, budget) for index, item in enumerate(raw))
    return And(inner) if combiner == "and" else Or(inner)


def _parse_condition(raw: Mapping[object, object], place: str) -> Filter:
    field = raw.get("field")
    if not isinstance(field, str) or not NAME_PATTERN.fullmatch(field):
        raise InvalidField(f"{place}.field", field, "it must name a metadata field")
    operators = {str(name): value for name, value in raw.items() if name != "field"}
    match sorted(operators):
        case ["eq"]:
            return Equal(field, _scalar(f"{place}.eq", operators["eq"]))
        case ["in"]:
            values = operators["in"]
            if not isinstance(values, list | tuple):
                raise InvalidField(f"{place}.in", values, "it must be a list of values")
            return In(field, tuple(_scalar(f"{place}.in[{i}]", value) for i, value in enumerate(values)))
        case ["exists"]:
            if not isinstance(operators["exists"], bool):
                raise InvalidField(f"{place}.exists", operators["exists"], "it must be true or false")
            return Exists(field) if operators["exists"] else Not(Exists(field))
        case ["prefix"]:
            value = _scalar(f"{place}.prefix", operators["prefix"])
            if not isinstance(value, str):
                raise InvalidField(f"{place}.prefix", value, "it must be a string")
            return Prefix(field, value)
        case names if names and set(names) <= set(_BOUNDS):
            return Range(field=field, **{name: _bound(f"{place}.{name}", operators[name]) for name in names})
        case names:
            raise InvalidField(place, names, "use one of eq, in, exists, prefix, or bounds out of gt, gte, lt, lte")


def _scalar(place: str, raw: object) -> Scalar:
    value: MetadataValue = parse_value(place, raw)
    if isinstance(value, tuple):
        raise InvalidField(place, raw, "it must be a single value; use 'in' for several")
    return to_microseconds(value) if isinstance(value, datetime) else value


def _bound(place: str, raw: object) -> int | float:
    value = _scalar(place, raw)
    if isinstance(value, bool | str):
        raise InvalidField(place, raw, "only numbers and dates have an order; use 'eq', 'in' or 'prefix'")
    return value
