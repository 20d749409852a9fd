"""Metadata as it is given back: the form in which it was sent, dates included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from query_api.serving import Collections
from schemas.metadata import FieldType, FilterableValue

ValueAnswer = str | int | float | bool | list[str] | dict[str, str]
MetadataAnswer = dict[str, ValueAnswer]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def known_fields(
    collections: Collections, name: str, shown: Iterable[Mapping[str, FilterableValue]]
) -> Mapping[str, FieldType]:
    """Return the collection's fields, with every one of those that are shown.

    A document is admitted only after its names are in the catalog: one that is missing means an old copy of it.
    """
    fields = (await collections.record(name)).fields
    if all(field in fields for metadata in shown for field in metadata):
        return fields
    return (await collections.record(name, fresh=True)).fields


def metadata_answer(metadata: Mapping[str, FilterableValue], fields: Mapping[str, FieldType]) -> MetadataAnswer:
    """Write a row's metadata; engines keep dates as numbers, and the collection's fields tell which ones they are."""
    return {name: _value(value, fields.get(name)) for name, value in metadata.items()}


def _value(value: FilterableValue, kind: FieldType | None) -> ValueAnswer:
    if isinstance(value, tuple):
        return list(value)
    if kind is FieldType.DATETIME and isinstance(value, int):
        return {"$date": (_EPOCH + timedelta(microseconds=value)).isoformat()}
    return value
