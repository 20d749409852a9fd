"""Topics, partitions and committed offsets as rows of the SQLite log; every function works on a given connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from schemas.errors import Fatal
from streams.log import TopicPartition, TopicSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as the file holds it."""

    name: str
    identity: str
    compacted: bool
    retention_ms: int | None
    delete_retention_ms: int
    max_record_bytes: int
    #: Rows in ``partitions``, by partition number; never used again after the topic's end.
    partition_ids: tuple[int, ...]


def load_topics(connection: sqlite3.Connection) -> dict[str, Topic]:
    """Return every topic by name."""
    partition_ids: dict[int, list[int]] = {}
    for topic_id, partition_id in connection.execute(
        "SELECT topic_id, partition_id FROM partitions WHERE topic_id IS NOT NULL ORDER BY topic_id, number"
    ):
        partition_ids.setdefault(topic_id, []).append(partition_id)
    rows = connection.execute(
        "SELECT topic_id, name, identity, compacted, retention_ms, delete_retention_ms, max_record_bytes FROM topics"
    )
    return {
        name: Topic(
            name=name,
            identity=identity,
            compacted=bool(compacted),
            retention_ms=retention_ms,
            delete_retention_ms=delete_retention_ms,
            max_record_bytes=max_record_bytes,
            partition_ids=tuple(partition_ids[topic_id]),
        )
        for topic_id, name, identity, compacted, retention_ms, delete_retention_ms, max_record_bytes in rows
    }


def load_end_offsets(connection: sqlite3.Connection) -> dict[TopicPartition, int]:
    """Return the end of every partition."""
    rows = connection.execute("SELECT name, number, end_offset FROM partitions JOIN topics USING (topic_id)")
    return {TopicPartition(name, number): end for name, number, end in rows}


def create_topics(connection: sqlite3.Connection, specs: Sequence[TopicSpec]) -> dict[str, Topic]:
    """Create the missing ones and return all topics. Raises Fatal, creating none, for another partition count."""
    existing = load_topics(connection)
    missing: dict[str, TopicSpec] = {}
    for spec in specs:
        if spec.name not in existing:
            missing[spec.name] = spec
        elif len(existing[spec.name].partition_ids) != spec.partitions:
            raise Fatal(
                f"topic '{spec.name}' has {len(existing[spec.name].partition_ids)} partitions and {spec.partitions} "
                "are asked for: a document's partition would change; keep the count or start a new collection"
            )
    for spec in missing.values():
        cursor = connection.execute(
            "INSERT INTO topics (name, identity, compacted, retention_ms, delete_retention_ms, max_record_bytes)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                spec.name,
                uuid4().hex,
                spec.compacted,
                spec.retention_ms,
                spec.delete_retention_ms,
                spec.max_record_bytes,
            ),
        )
        connection.executemany(
            "INSERT INTO partitions (topic_id, number) VALUES (?, ?)",
            [(cursor.lastrowid, number) for number in range(spec.partitions)],
        )
    return load_topics(connection)


def drop_topics(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Topic]:
    """Forget topics and what groups committed in them; the records stay behind, unreachable, for cleaning."""
    for name in names:
        row = connection.execute("SELECT topic_id FROM topics WHERE name = ?", (name,)).fetchone()
        if row is None:
            continue
        connection.execute(
            "DELETE FROM commits WHERE partition_id IN (SELECT partition_id FROM partitions WHERE topic_id = ?)", row
        )
        connection.execute("UPDATE partitions SET topic_id = NULL WHERE topic_id = ?", row)
        connection.execute("DELETE FROM topics WHERE topic_id = ?", row)
    return load_topics(connection)


def register_group(connection: sqlite3.Connection, group: str, partition_ids: Iterable[int]) -> None:
    """Remember that the group reads these, so that retention spares what it has not committed yet."""
    connection.executemany(
        "INSERT OR IGNORE INTO commits (group_name, partition_id) VALUES (?, ?)",
        [(group, partition_id) for partition_id in partition_ids],
    )


def commit(connection: sqlite3.Connection, group: str, offsets: Mapping[int, int]) -> None:
    """Set the group's next offsets by partition id; those of a topic deleted meanwhile are dropped."""
    connection.executemany(
        "INSERT INTO commits (group_name, partition_id, next_offset)"
        " SELECT ?, partition_id, ? FROM partitions WHERE partition_id = ? AND topic_id IS NOT NULL"
        " ON CONFLICT (group_name, partition_id) DO UPDATE SET next_offset = excluded.next_offset",
        [(group, offset, partition_id) for partition_id, offset in offsets.items()],
    )


def committed(connection: sqlite3.Connection, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Return the group's committed offsets in these topics."""
    found: dict[TopicPartition, int] = {}
    for topic in topics:
        rows = connection.execute(
            "SELECT number, next_offset FROM commits JOIN partitions USING (partition_id) JOIN topics USING (topic_id)"
            " WHERE group_name = ? AND name = ? AND next_offset IS NOT NULL",
            (group, topic),
        )
        found.update({TopicPartition(topic, number): offset for number, offset in rows})
    return found


def lowest_committed(connection: sqlite3.Connection, partition_id: int) -> int | None:
    """Return the first offset that some group still needs; None when no group reads the partition."""
    row = connection.execute(
        "SELECT MIN(COALESCE(next_offset, 0)) FROM commits WHERE partition_id = ?", (partition_id,)
    ).fetchone()
    lowest: int | None = row[0]
    return lowest
