"""Generates metadata and filters, hostile ones included, on which every engine must agree with ``evaluate``."""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range, Scalar
from schemas.metadata import FilterableValue

Drawn = TypeVar("Drawn")

#: Few, so that filters meet documents; among them words and signs that mean something in some engine's language.
NAMES: Final = ("lang", "Lang", "year", "tags", "a-b", "_id", "and", "exists", "tenant", "n" * 64)
#: Drawn most often, so that most documents carry them.
FREQUENT_NAMES: Final = ("lang", "year", "a-b")
FREQUENT_STRINGS: Final = ("", "en", "eng", 'e"\\', "e%", "é\n")

#: Few, so that values repeat between documents and filters; each has broken some escaping somewhere.
HOSTILE_STRINGS: Final = (
    "",
    " ",
    "en",
    "en ",
    "EN",
    "eng",
    "e",
    "1",
    "1.0",
    "true",
    "null",
    '"',
    "'",
    "\\",
    '\\"',
    "\\\\",
    "\\n",
    "\n",
    "\r\n\t",
    "\x01\x1f\x7f",
    "%",
    "e%",
    "_n",
    "*",
    "e*",
    "?",
    "[a-z]",
    ".*",
    "{x}",
    "${x}",
    '" or 1 == 1 or "',
    "') or true --",
    "\\u0065n",
    "é",
    "e\u0301",
    "ß",
    "日本語",
    "\U0001d518\U0001f600",
    "\u2028\ufeff\uffff",
    "\u202eabc",
    "a/b@1#2",
    "x" * 255,
    "x" * 256,
    "x" * 8_192,
)

#: Whole and broken, near the limits, and dates as microseconds, of which those far off have no exact double.
NUMBERS: Final = (
    0,
    0.0,
    -0.0,
    1,
    1.0,
    -1,
    2,
    0.1,
    0.5,
    1.5,
    -2.75,
    10,
    9,
    1e-300,
    5e-324,
    1e300,
    -1e300,
    2**31,
    2**53,
    -(2**53),
    2**53 - 1,
    float(2**53),
    1_767_225_600_000_000,
    1_767_225_600_000_001,
    -62_135_596_800_000_000,
    253_402_300_799_999_998,
    253_402_300_799_999_999,
)


def hostile_strings() -> st.SearchStrategy[str]:
    """Strings that metadata may carry: no NUL, no lone surrogates, at most 8,192 bytes."""
    anything = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
    return st.one_of(st.sampled_from(FREQUENT_STRINGS), st.sampled_from(HOSTILE_STRINGS), anything)


def numbers() -> st.SearchStrategy[int | float]:
    """Integers with an exact double, dates in microseconds, and finite floats."""
    return st.one_of(
        st.sampled_from(NUMBERS[:8]),
        st.sampled_from(NUMBERS),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
    )


def scalars() -> st.SearchStrategy[Scalar]:
    """Any single value."""
    return st.one_of(hostile_strings(), numbers(), st.booleans())


def metadata() -> st.SearchStrategy[dict[str, FilterableValue]]:
    """A document's metadata in the form engines store; any kind of value under any name, names often missing."""
    lists = st.lists(hostile_strings(), max_size=4).map(tuple)
    values = st.one_of(scalars(), lists)
    frequent = st.dictionaries(st.sampled_from(FREQUENT_NAMES), values)
    return st.builds(lambda first, second: first | second, frequent, st.dictionaries(_names(), values, max_size=4))


def filters() -> st.SearchStrategy[Filter]:
    """A filter over the same names and values, a few levels deep."""
    return st.recursive(_conditions(), _combinations, max_leaves=8)


def _names() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(FREQUENT_NAMES), st.sampled_from(NAMES))


def _conditions() -> st.SearchStrategy[Filter]:
    names = st.one_of(_names(), _names(), st.just("absent"))
    bounds = st.one_of(st.none(), numbers())
    return st.one_of(
        st.builds(Equal, names, scalars()),
        st.builds(In, names, st.lists(scalars(), max_size=5).map(tuple)),
        st.builds(Range, field=names, gt=bounds, gte=bounds, lt=bounds, lte=bounds),
        st.builds(Exists, names),
        st.builds(Prefix, names, hostile_strings()),
        st.builds(Prefix, names, hostile_strings().map(lambda text: text[:1])),
    )


def _combinations(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, inner))


def draw_many(strategy: st.SearchStrategy[Drawn], count: int) -> list[Drawn]:
    """Return the same ``count`` values on every run, for suites that load them into a real engine once."""
    drawn: list[Drawn] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Drawn) -> None:
        drawn.append(value)

    collect()
    return drawn[:count]
