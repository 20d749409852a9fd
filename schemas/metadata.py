"""Document metadata: flat named values, their types, and the form in which engines compare them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from schemas.errors import InvalidField

#: What a document may carry under one metadata name.
MetadataValue = str | int | float | bool | datetime | tuple[str, ...]
#: What an engine stores and compares: dates are microseconds since 1970 (UTC), lists are lists of strings.
FilterableValue = str | int | float | bool | tuple[str, ...]

NAME_PATTERN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
#: Above this, an integer has no exact double, and engines would compare it differently.
EXACT_INTEGER_LIMIT: Final = 2**53
#: A keyword term in Lucene and Tantivy holds 32,766 bytes; this leaves room for encodings.
STRING_LIMIT_BYTES: Final = 8_192
FIELDS_LIMIT: Final = 128
LIST_LIMIT: Final = 256
#: All names and values of a document together; Milvus keeps 64 KiB of JSON in a field.
METADATA_LIMIT_BYTES: Final = 32 * 1024
_DATE_MARK: Final = "$date"


class FieldType(StrEnum):
    """The type a collection remembers for a metadata name; it never changes within the collection."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


def field_type(value: MetadataValue) -> FieldType:
    """Name a value's type. A list of strings has the type of its members, as one field with many values."""
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, int | float):
        return FieldType.NUMBER
    if isinstance(value, datetime):
        return FieldType.DATETIME
    return FieldType.STRING


def to_microseconds(moment: datetime) -> int:
    """Place a moment on the integer axis engines compare. A moment without an offset is read as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def filterable(metadata: Mapping[str, MetadataValue]) -> dict[str, FilterableValue]:
    """Give metadata the form in which every engine stores and compares it."""
    return {name: to_microseconds(v) if isinstance(v, datetime) else v for name, v in metadata.items()}


def parse_metadata(raw: object) -> dict[str, MetadataValue]:
    """Check metadata as it arrives in JSON; dates are written ``{"$date": "2026-01-31T12:00:00Z"}``.

    A null value is the same as an absent name. Raises InvalidField naming ``metadata.<name>``.
    """
    if not isinstance(raw, Mapping):
        raise InvalidField("metadata", raw, "it must be an object of names and flat values")
    if len(raw) > FIELDS_LIMIT:
        raise InvalidField("metadata", f"{len(raw)} names", f"a document may carry {FIELDS_LIMIT} names")
    parsed: dict[str, MetadataValue] = {}
    for name, value in raw.items():
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            raise InvalidField(
                "metadata", name, "a name is 1 to 64 letters, digits, '_' or '-', and begins with a letter or '_'"
            )
        if value is not None:
            parsed[name] = parse_value(f"metadata.{name}", value)
    check_metadata_size(parsed)
    return parsed


def check_metadata_size(metadata: Mapping[str, MetadataValue]) -> None:
    """Refuse what not every engine could hold. Raises InvalidField."""
    size = sum(len(name) + _size(value) for name, value in metadata.items())
    if size > METADATA_LIMIT_BYTES:
        raise InvalidField(
            "metadata", f"{size} bytes", f"names and values together may have {METADATA_LIMIT_BYTES} bytes"
        )


def _size(value: MetadataValue) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, tuple):
        return sum(len(member.encode()) + 3 for member in value)
    return 8


def parse_value(field: str, value: object) -> MetadataValue:
    """Check one metadata value, or one value of a filter. Raises InvalidField naming ``field``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > EXACT_INTEGER_LIMIT:
            raise InvalidField(field, value, "integers beyond ±2^53 have no exact double; send them as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidField(field, value, "numbers must be finite; leave the name out where there is no value")
        return value
    if isinstance(value, str):
        return _parse_string(field, value)
    if isinstance(value, datetime):
        return value
    if isinstance(value, list | tuple):
        if len(value) > LIST_LIMIT:
            raise InvalidField(field, f"{len(value)} members", f"a list may have {LIST_LIMIT} members")
        if not all(isinstance(member, str) for member in value):
            raise InvalidField(field, value, "a list must hold strings only")
        return tuple(_parse_string(field, member) for member in value)
    if isinstance(value, Mapping) and set(value) == {_DATE_MARK}:
        return parse_moment(field, value[_DATE_MARK])
    raise InvalidField(field, value, 'it must be a string, number, boolean, list of strings or {"$date": …}')


def _parse_string(field: str, value: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidField(field, value, "it must be valid Unicode; remove lone surrogates") from None
    if size > STRING_LIMIT_BYTES:
        raise InvalidField(field, value, f"a string may have {STRING_LIMIT_BYTES} bytes and has {size}")
    if "\x00" in value:
        raise InvalidField(field, value, "it must not contain NUL characters")
    return value


def parse_moment(field: str, value: object) -> datetime:
    """Read an RFC 3339 moment. Raises InvalidField."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidField(field, value, "it must be an RFC 3339 moment such as 2026-01-31T12:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def metadata_to_json(metadata: Mapping[str, MetadataValue]) -> dict[str, object]:
    """Write metadata in the form ``parse_metadata`` reads."""
    return {
        name: {_DATE_MARK: value.isoformat()}
        if isinstance(value, datetime)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in metadata.items()
    }
