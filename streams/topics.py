"""The map: every topic of a collection, what it carries, its key, how long it is kept, and who reads it.

Every topic of a collection has the same partition count and the same key, the encoded document key, so that one
document's events stay in order and in one consumer's hands in every stage.
"""

from __future__ import annotations

from typing import Final

from streams.log import TopicSpec

_DAY_MS: Final = 24 * 3600 * 1000
#: Vectors of 256 chunks and 256 KiB of text fit, whatever the model's dimension up to 1,024.
_PART_LIMIT_BYTES: Final = 2 * 1024 * 1024
#: A dead letter carries a whole original record and what is known about it.
_DEAD_LETTER_LIMIT_BYTES: Final = 4 * 1024 * 1024
#: What is larger travels by claim check through the blob store.
DOCUMENT_LIMIT_BYTES: Final = 1024 * 1024


def documents_topic(collection: str) -> str:
    """DocumentEvent, the source of truth; written by producers, read by the chunk stage of every generation."""
    return f"{collection}.documents"


def chunks_topic(collection: str, generation: str) -> str:
    """ChunkSet; written by chunk, read by embed."""
    return f"{collection}.{generation}.chunks"


def embeddings_topic(collection: str, generation: str) -> str:
    """EmbeddedChunkSet; written by embed, read by index."""
    return f"{collection}.{generation}.embeddings"


def indexed_topic(collection: str, generation: str) -> str:
    """Indexed; written by index or by the stage that failed, read by status."""
    return f"{collection}.{generation}.indexed"


def dead_letters_topic(collection: str) -> str:
    """DeadLetter; written by any stage, read by operators."""
    return f"{collection}.dead-letters"


def collection_topics(collection: str, generation: str, partitions: int) -> list[TopicSpec]:
    """Return every topic one generation of a collection needs."""
    return [
        TopicSpec(
            name=documents_topic(collection),
            partitions=partitions,
            compacted=True,
            max_record_bytes=_PART_LIMIT_BYTES,
        ),
        TopicSpec(
            name=chunks_topic(collection, generation),
            partitions=partitions,
            retention_ms=3 * _DAY_MS,
            max_record_bytes=_PART_LIMIT_BYTES,
        ),
        TopicSpec(
            name=embeddings_topic(collection, generation),
            partitions=partitions,
            retention_ms=3 * _DAY_MS,
            max_record_bytes=_PART_LIMIT_BYTES,
        ),
        TopicSpec(name=indexed_topic(collection, generation), partitions=partitions, compacted=True),
        TopicSpec(
            name=dead_letters_topic(collection),
            partitions=partitions,
            retention_ms=30 * _DAY_MS,
            max_record_bytes=_DEAD_LETTER_LIMIT_BYTES,
        ),
    ]
