"""Records as rows of the SQLite log: appending, reading and finding offsets on a given connection."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.errors import Fatal
from streams.log import Headers, OutgoingRecord, Position, Record, TopicPartition
from streams.sqlite_database import OFFSET_BITS

_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
_LENGTHS: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Slice:
    """Where to read: a partition, its row's id, and the offsets from ``start`` to before ``end``."""

    partition: TopicPartition
    partition_id: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A record with the partition its key gives it."""

    record: OutgoingRecord
    partition: TopicPartition
    partition_id: int


def encode_headers(headers: Headers) -> bytes | None:
    """Join headers as length-prefixed names and values; None when there are none."""
    if not headers:
        return None
    parts: list[bytes] = []
    for name, value in headers:
        encoded = name.encode()
        parts += (_LENGTHS.pack(len(encoded), len(value)), encoded, value)
    return b"".join(parts)


def decode_headers(data: bytes | None) -> Headers:
    """Read back what ``encode_headers`` wrote."""
    headers: list[tuple[str, bytes]] = []
    place = 0
    while data is not None and place < len(data):
        name_length, value_length = _LENGTHS.unpack_from(data, place)
        place += _LENGTHS.size
        value_start = place + name_length
        headers.append((data[place:value_start].decode(), data[value_start : value_start + value_length]))
        place = value_start + value_length
    return tuple(headers)


def append(connection: sqlite3.Connection, records: Sequence[Placed]) -> list[Position]:
    """Insert in the order given. Raises Fatal when a topic was deleted meanwhile."""
    timestamp_ms = time.time_ns() // 1_000_000
    ends: dict[int, int] = {}
    rows = []
    positions = []
    for placed in records:
        partition_id = placed.partition_id
        if partition_id not in ends:
            ends[partition_id] = _end_offset(connection, placed)
        offset = ends[partition_id]
        ends[partition_id] = offset + 1
        record = placed.record
        rows.append(
            (
                partition_id << OFFSET_BITS | offset,
                timestamp_ms,
                record.key,
                encode_headers(record.headers),
                record.value,
            )
        )
        positions.append(Position(placed.partition.topic, placed.partition.partition, offset))
    connection.executemany(
        "INSERT INTO records (position, timestamp_ms, key, headers, value) VALUES (?, ?, ?, ?, ?)", rows
    )
    connection.executemany(
        "UPDATE partitions SET end_offset = ? WHERE partition_id = ?",
        [(end, partition_id) for partition_id, end in ends.items()],
    )
    return positions


def _end_offset(connection: sqlite3.Connection, placed: Placed) -> int:
    row = connection.execute(
        "SELECT end_offset FROM partitions WHERE partition_id = ? AND topic_id IS NOT NULL", (placed.partition_id,)
    ).fetchone()
    if row is None:
        raise Fatal(f"topic '{placed.partition.topic}' was deleted: create it again")
    end: int = row[0]
    return end


def read(
    connection: sqlite3.Connection, slices: Sequence[Slice], max_records: int, max_bytes: int
) -> dict[TopicPartition, list[Record]]:
    """Read slice after slice until a limit is met; the first record comes whatever its size.

    A slice that holds fewer records than asked for has an entry too, empty or not; one not begun has none.
    """
    found: dict[TopicPartition, list[Record]] = {}
    count = 0
    size = 0
    for part in slices:
        if count >= max_records or size >= max_bytes:
            break
        records = found[part.partition] = []
        cursor = connection.execute(
            "SELECT position, timestamp_ms, key, headers, value FROM records"
            " WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
            (*_bounds(part), max_records - count),
        )
        for position, timestamp_ms, key, headers, value in cursor:
            records.append(
                Record(
                    topic=part.partition.topic,
                    partition=part.partition.partition,
                    offset=position & _OFFSET_MASK,
                    key=key,
                    value=value,
                    headers=decode_headers(headers),
                    timestamp_ms=timestamp_ms,
                )
            )
            size += len(key) + len(value or b"")
            if size >= max_bytes:
                break
        cursor.close()
        count += len(records)
    return found


def end_offsets(connection: sqlite3.Connection, partition_ids: Sequence[int]) -> dict[int, int]:
    """Return each partition's end by partition id."""
    marks = ",".join("?" * len(partition_ids))
    return dict(
        connection.execute(
            f"SELECT partition_id, end_offset FROM partitions WHERE partition_id IN ({marks})",  # noqa: S608 - marks
            tuple(partition_ids),
        )
    )


def first_offset(connection: sqlite3.Connection, partition_id: int, *, since_ms: int | None = None) -> int:
    """Return the first offset there is, or the first appended at or after a moment; else the end.

    Finding a moment reads the partition from its start: the clock may have stepped back between records.
    """
    low, high = partition_id << OFFSET_BITS, (partition_id + 1) << OFFSET_BITS
    row = connection.execute(
        "SELECT position FROM records WHERE position >= ? AND position < ? AND timestamp_ms >= ?"
        " ORDER BY position LIMIT 1",
        (low, high, since_ms if since_ms is not None else -(2**63)),
    ).fetchone()
    if row is not None:
        position: int = row[0]
        return position & _OFFSET_MASK
    return end_offsets(connection, [partition_id]).get(partition_id, 0)


def _bounds(part: Slice) -> tuple[int, int]:
    base = part.partition_id << OFFSET_BITS
    return base | part.start, base + min(part.end, 1 << OFFSET_BITS)


def starting_offsets(
    connection: sqlite3.Connection, group: str, partition_ids: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return where the group reads on: what it committed, or the beginning where that no longer exists."""
    starts: dict[TopicPartition, int] = {}
    for partition, partition_id in partition_ids.items():
        row = connection.execute(
            "SELECT next_offset FROM commits WHERE group_name = ? AND partition_id = ?", (group, partition_id)
        ).fetchone()
        committed = row[0] if row is not None and row[0] is not None else 0
        first = first_offset(connection, partition_id)
        exists = first <= committed <= end_offsets(connection, [partition_id]).get(partition_id, 0)
        starts[partition] = committed if exists else first
    return starts
