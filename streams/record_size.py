"""How large a record is, by the one rule that every log refuses oversized records with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.errors import Poison
from streams.log import OutgoingRecord


def record_bytes(record: OutgoingRecord) -> int:
    """Return the bytes of key, value and headers."""
    headers = sum(len(name.encode()) + len(value) for name, value in record.headers)
    return len(record.key) + len(record.value or b"") + headers


def refuse_oversized(records: Sequence[OutgoingRecord], limits: Mapping[str, int]) -> None:
    """Raise Poison for the first record that is larger than its topic's limit."""
    for record in records:
        size = record_bytes(record)
        if size > limits[record.topic]:
            raise Poison(
                "oversized",
                f"a record of {size} bytes is more than topic '{record.topic}' takes ({limits[record.topic]}): "
                "split it, or send a reference to the blob store instead",
            )
