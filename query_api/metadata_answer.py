"""Metadata as it is given back: the form in which it was sent, dates included."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.metadata import FieldType, FilterableValue, MetadataValue, metadata_to_json

MetadataAnswer = dict[str, str | int | float | bool | list[str] | dict[str, str]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def metadata_answer(metadata: Mapping[str, FilterableValue], fields: Mapping[str, FieldType]) -> dict[str, object]:
    """Write a row's metadata; engines keep dates as numbers, and the collection's fields tell which ones they are."""
    values: dict[str, MetadataValue] = {}
    for name, value in metadata.items():
        is_date = isinstance(value, int) and fields.get(name) is FieldType.DATETIME
        values[name] = _EPOCH + timedelta(microseconds=int(value)) if is_date else value  # type: ignore[arg-type]
    return metadata_to_json(values)
