"""What the SQLite log lets go of: expired records, superseded ones of compacted topics, and those of deleted topics."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from streams.sqlite_database import OFFSET_BITS
from streams.sqlite_topics import Topic, lowest_committed

#: Records removed per transaction; appends wait no longer than that takes.
BATCH: Final = 200


def expired(connection: sqlite3.Connection, topic: Topic, now_ms: int) -> list[int]:
    """Name the records past retention that every group has committed; oldest first, up to the first to keep."""
    if topic.retention_ms is None:
        return []
    positions: list[int] = []
    for partition_id in topic.partition_ids:
        low, high = _run(partition_id, lowest_committed(connection, partition_id))
        rows = connection.execute(
            "SELECT position, timestamp_ms FROM records WHERE position >= ? AND position < ? ORDER BY position",
            (low, high),
        )
        for position, timestamp_ms in rows:
            if timestamp_ms >= now_ms - topic.retention_ms:
                break
            positions.append(position)
        rows.close()
    return positions


def superseded(connection: sqlite3.Connection, topic: Topic, now_ms: int) -> list[int]:
    """Name what compaction removes: all but the newest of each key, and old tombstones every group has committed.

    In rising order per partition: a tombstone must never go before the values it hides, or a crash between two
    batches would bring them back.
    """
    if not topic.compacted:
        return []
    positions: list[int] = []
    for partition_id in topic.partition_ids:
        low, high = _run(partition_id, None)
        _, seen = _run(partition_id, lowest_committed(connection, partition_id))
        rows = connection.execute(
            "SELECT position FROM (SELECT position, timestamp_ms, value IS NULL AS tombstone,"
            " LEAD(position) OVER (PARTITION BY key ORDER BY position) AS newer"
            " FROM records WHERE position >= ? AND position < ?)"
            " WHERE newer IS NOT NULL OR (tombstone AND timestamp_ms < ? AND position < ?) ORDER BY position",
            (low, high, now_ms - topic.delete_retention_ms, seen),
        )
        positions.extend(position for (position,) in rows)
    return positions


def remove(connection: sqlite3.Connection, positions: Sequence[int]) -> None:
    """Delete these records; their pages are used again."""
    connection.executemany("DELETE FROM records WHERE position = ?", [(position,) for position in positions])


def remove_dropped(connection: sqlite3.Connection) -> bool:
    """Delete some records of deleted topics. Returns whether there may be more."""
    row = connection.execute("SELECT partition_id FROM partitions WHERE topic_id IS NULL LIMIT 1").fetchone()
    if row is None:
        return False
    low, high = _run(row[0], None)
    removed = connection.execute(
        "DELETE FROM records WHERE position IN"
        " (SELECT position FROM records WHERE position >= ? AND position < ? LIMIT ?)",
        (low, high, BATCH),
    ).rowcount
    if removed < BATCH:
        connection.execute("DELETE FROM partitions WHERE partition_id = ?", row)
    return True


def _run(partition_id: int, end: int | None) -> tuple[int, int]:
    """Return the positions a partition takes up, to before an offset where one is given."""
    base = partition_id << OFFSET_BITS
    return base, base + (end if end is not None else 1 << OFFSET_BITS)
