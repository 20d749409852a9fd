"""Records as aiokafka's consumers hand them over, and how much these fetch at once."""

from __future__ import annotations

from typing import Any, Final

from streams.log import Record

#: No deserializers: an exception in one is raised again by every poll, and the records before it are never seen.
FETCH_OPTIONS: Final = {
    "auto_offset_reset": "earliest",
    # A first record larger than this comes nevertheless, alone.
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
    "fetch_max_bytes": 32 * 1024 * 1024,
}


def to_record(record: Any) -> Record:
    """Make the port's record of aiokafka's."""
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple((name, value if value is not None else b"") for name, value in record.headers),
        timestamp_ms=record.timestamp,
    )
