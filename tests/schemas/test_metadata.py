"""Metadata: what is taken is given back and compared alike everywhere, what is not is named with its remedy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidField
from schemas.metadata import (
    EXACT_INTEGER_LIMIT,
    FIELDS_LIMIT,
    LIST_LIMIT,
    STRING_LIMIT_BYTES,
    FieldType,
    MetadataValue,
    field_type,
    filterable,
    metadata_to_json,
    parse_metadata,
    parse_moment,
    to_microseconds,
)
from tests.schemas.strategies import metadata, metadata_values

#: A year from either end, because beyond it an offset leaves the calendar.
moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.timezones() | st.just(UTC),
)


@given(metadata)
def test_metadata_is_read_back_from_json(given_metadata: dict[str, MetadataValue]):
    """Through real JSON every value keeps its type and its exact value."""
    raw = json.loads(json.dumps(metadata_to_json(given_metadata)))

    assert parse_metadata(raw) == given_metadata
    assert {name: type(value) for name, value in parse_metadata(raw).items()} == {
        name: type(value) for name, value in given_metadata.items()
    }


@given(moments, moments)
def test_moments_are_ordered_as_they_happened(left: datetime, right: datetime):
    """On the axis engines compare, whatever offset each was written with."""
    assert (to_microseconds(left) < to_microseconds(right)) == (left.astimezone(UTC) < right.astimezone(UTC))


def test_a_moment_is_exact_to_the_microsecond():
    """Seconds since 1970 as a double would not be."""
    moment = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))

    assert to_microseconds(moment) == 1_769_853_600_000_001
    assert to_microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert to_microseconds(datetime(2026, 1, 1)) == to_microseconds(datetime(2026, 1, 1, tzinfo=UTC))  # noqa: DTZ001


@given(metadata_values)
def test_every_value_has_a_type_and_a_form_to_compare(value: MetadataValue):
    """Dates become integers; everything else is compared as it is."""
    compared = filterable({"n": value})["n"]

    if field_type(value) is FieldType.DATETIME:
        assert isinstance(compared, int)
    else:
        assert compared == value
        assert type(compared) is type(value)


def test_an_absent_value_is_an_absent_name():
    """A null says nothing."""
    assert parse_metadata({"a": None, "b": 1}) == {"b": 1}


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ([], "metadata"),
        ({"": 1}, "metadata"),
        ({"1a": 1}, "metadata"),
        ({"a.b": 1}, "metadata"),
        ({"a" * 65: 1}, "metadata"),
        ({f"n{n}": 1 for n in range(FIELDS_LIMIT + 1)}, "metadata"),
        ({"a": float("nan")}, "metadata.a"),
        ({"a": float("-inf")}, "metadata.a"),
        ({"a": EXACT_INTEGER_LIMIT + 1}, "metadata.a"),
        ({"a": -EXACT_INTEGER_LIMIT - 1}, "metadata.a"),
        ({"a": "x" * (STRING_LIMIT_BYTES + 1)}, "metadata.a"),
        ({"a": "ä" * (STRING_LIMIT_BYTES // 2 + 1)}, "metadata.a"),
        ({"a": "\x00"}, "metadata.a"),
        ({"a": "\ud800"}, "metadata.a"),
        ({"a": ["x", 1]}, "metadata.a"),
        ({"a": ["\ud800"]}, "metadata.a"),
        ({"a": ["x"] * (LIST_LIMIT + 1)}, "metadata.a"),
        ({"a": {"b": 1}}, "metadata.a"),
        ({"a": {"$date": "yesterday"}}, "metadata.a"),
        ({"a": {"$date": 5}}, "metadata.a"),
        ({"a": {"$date": "2026-01-01T00:00:00Z", "more": 1}}, "metadata.a"),
        ({"a": b"bytes"}, "metadata.a"),
    ],
)
def test_what_no_engine_could_compare_is_refused_by_name(raw: object, place: str):
    """The error names the place, shows the value, and never more of it than fits a line."""
    with pytest.raises(InvalidField) as refused:
        parse_metadata(raw)
    assert refused.value.field == place
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("value", [EXACT_INTEGER_LIMIT, -EXACT_INTEGER_LIMIT, 0.0, "", [], "x" * STRING_LIMIT_BYTES])
def test_the_limits_themselves_are_taken(value: object):
    """A limit is the last value that fits."""
    assert parse_metadata({"a": value}) == {"a": tuple(value) if isinstance(value, list) else value}


def test_a_moment_without_an_offset_is_utc():
    """The same text means the same moment on every machine."""
    assert parse_moment("f", "2026-01-31T12:00:00") == parse_moment("f", "2026-01-31T12:00:00Z")
    assert parse_moment("f", "2026-01-31T14:00:00+02:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
