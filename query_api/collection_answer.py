"""Collections as they are answered: what they are built with, and how many documents stand where."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import TypedDict

from schemas.generation import ChunkStrategy, CollectionRecord, VersionSource
from schemas.metadata import FieldType


class CollectionSummary(TypedDict):
    """A collection, the generation that is served, and its documents by state."""

    name: str
    generation: str
    model: str
    documents: dict[str, int]


class CollectionsAnswer(TypedDict):
    """All collections, by name."""

    collections: list[CollectionSummary]


class ChunkingAnswer(TypedDict):
    """How the generation that is served cuts text; sizes in its model's tokens."""

    strategy: ChunkStrategy
    max_tokens: int
    overlap_tokens: int


class CollectionAnswer(CollectionSummary):
    """A collection in full; ``rows`` counts what the text engine stores, rows about to be deleted included."""

    rows: int
    previous: str | None
    building: str | None
    version_source: VersionSource
    partitions: int
    dimension: int
    model_fingerprint: str
    analyzer: str
    chunking: ChunkingAnswer
    fields: dict[str, FieldType]


def collection_summary(record: CollectionRecord, documents: Mapping[str, int]) -> CollectionSummary:
    """Write a collection in short."""
    return {
        "name": record.name,
        "generation": record.live,
        "model": record.live_config.model,
        "documents": dict(documents),
    }


def collection_answer(record: CollectionRecord, documents: Mapping[str, int], *, rows: int) -> CollectionAnswer:
    """Write a collection in full."""
    config = record.live_config
    return {
        **collection_summary(record, documents),
        "rows": rows,
        "previous": record.previous,
        "building": record.building,
        "version_source": record.version_source,
        "partitions": record.partitions,
        "dimension": config.dimension,
        "model_fingerprint": config.model_fingerprint,
        "analyzer": config.analyzer,
        "chunking": {
            "strategy": config.chunking.strategy,
            "max_tokens": config.chunking.max_tokens,
            "overlap_tokens": config.chunking.overlap_tokens,
        },
        "fields": dict(sorted(record.fields.items())),
    }
