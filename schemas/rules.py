"""Rules that the log's readers and the HTTP edge apply alike: an event's version, and the fields it may carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.errors import InvalidField, Poison
from schemas.generation import CollectionRecord, VersionSource
from schemas.keys import log_version
from schemas.metadata import FieldType, MetadataValue, field_type

#: More names than this in one collection point at data used as names; engines pay for each of them.
COLLECTION_FIELDS_LIMIT: Final = 512


def check_version(given: int | None, source: VersionSource) -> None:
    """Refuse a version where the log gives them, and its absence where producers do. Raises Poison."""
    if source is VersionSource.LOG and given is not None:
        raise InvalidField(
            "version",
            given,
            "this collection takes versions from its log; leave the field out, or create the collection with "
            "version_source=producer",
            reason="version_not_expected",
        )
    if source is VersionSource.PRODUCER and given is None:
        raise InvalidField(
            "version", given, "this collection takes versions from its producers; send one that only rises"
        )


def event_version(given: int | None, record: CollectionRecord, offset: int) -> int:
    """Stamp an event: the producer's version, or the one its place in the log gives. Raises Poison."""
    check_version(given, record.version_source)
    return log_version(record.epoch, offset) if given is None else given


def tombstone_version(record: CollectionRecord, offset: int) -> int:
    """Stamp a bare tombstone. Raises Poison where only producers could say its version."""
    if record.version_source is VersionSource.PRODUCER:
        raise Poison(
            "unversioned_delete",
            "a record without a value deletes, but carries no version, and this collection takes versions from its "
            "producers: send a delete event with a version instead",
        )
    return log_version(record.epoch, offset)


def new_fields(known: Mapping[str, FieldType], metadata: Mapping[str, MetadataValue]) -> dict[str, FieldType]:
    """Return the names the collection has not seen yet. Raises InvalidField where a known name changed its type."""
    fresh: dict[str, FieldType] = {}
    for name, value in metadata.items():
        kind, before = field_type(value), known.get(name)
        if before is None:
            fresh[name] = kind
        elif before is not kind:
            raise InvalidField(
                f"metadata.{name}",
                value,
                f"this collection knows the name as {before.value} and the value is a {kind.value}; "
                "send the known type, or use another name",
                reason="field_type_changed",
            )
    if fresh and len(known) + len(fresh) > COLLECTION_FIELDS_LIMIT:
        raise InvalidField(
            "metadata", sorted(fresh), f"a collection may have {COLLECTION_FIELDS_LIMIT} names and has {len(known)}"
        )
    return fresh
