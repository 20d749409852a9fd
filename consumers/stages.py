"""The pipeline: each stage's name, what it reads, what it writes, and how much of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streams.topics import chunks_topic, documents_topic, embeddings_topic, indexed_topic


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDefinition:
    """One stage as the map shows it; topics are named from (collection, generation)."""

    name: str
    reads: tuple[Callable[[str, str], str], ...]
    writes: tuple[Callable[[str, str], str], ...]
    #: Large enough to fill the engines, small enough that a batch is done in seconds.
    max_records: int

    def group(self, collection: str, generation: str) -> str:
        """Name the consumer group that shares this stage's work."""
        return f"inver.{collection}.{generation}.{self.name}"

    def topics(self, collection: str, generation: str) -> tuple[str, ...]:
        """Name the topics this stage reads."""
        return tuple(topic(collection, generation) for topic in self.reads)


def _documents(collection: str, _generation: str) -> str:
    return documents_topic(collection)


CHUNK: Final = StageDefinition(name="chunk", reads=(_documents,), writes=(chunks_topic, indexed_topic), max_records=64)
EMBED: Final = StageDefinition(
    name="embed", reads=(chunks_topic,), writes=(embeddings_topic, indexed_topic), max_records=64
)
INDEX: Final = StageDefinition(name="index", reads=(embeddings_topic,), writes=(indexed_topic,), max_records=512)
STATUS: Final = StageDefinition(name="status", reads=(_documents, indexed_topic), writes=(), max_records=1_000)
PIPELINE: Final = (CHUNK, EMBED, INDEX)
