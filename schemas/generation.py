"""Collections and their generations: what an index is built with, and which build is served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.errors import InvalidField
from schemas.metadata import FieldType

#: Hyphens but no underscores: Milvus takes underscores only, and replacing one by the other must stay reversible.
COLLECTION_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class VersionSource(StrEnum):
    """Where a collection's versions come from; never mixed within one collection."""

    LOG = "log"
    PRODUCER = "producer"


class ChunkStrategy(StrEnum):
    """How text is cut."""

    STRUCTURE = "structure"
    """By headings, paragraphs and sentences, packed up to the size."""
    SENTENCE = "sentence"
    """By sentences alone, packed up to the size."""
    FIXED = "fixed"
    """Windows of the size, whatever they cut."""
    WHOLE = "whole"
    """One chunk where the document fits the model; refused where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """Sizes are in the embedding model's own tokens and include the title in front."""

    strategy: ChunkStrategy = ChunkStrategy.STRUCTURE
    max_tokens: int = 128
    overlap_tokens: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorParameters:
    """HNSW build and search parameters; exact engines ignore them."""

    m: int = 16
    ef_construction: int = 200
    ef_search: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """Everything that decides what an index looks like. Changing any of it needs a new generation."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    model_fingerprint: str = ""
    dimension: int = 0
    chunking: Chunking = field(default_factory=Chunking)
    #: A language's stemming analyzer, or ``standard`` for none.
    analyzer: str = "english"
    bm25_k1: float = 1.2
    bm25_b: float = 0.75
    vector: VectorParameters = field(default_factory=VectorParameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRecord:
    """The ONE catalog record of a collection; everything that is served follows from it."""

    name: str
    version_source: VersionSource = VersionSource.LOG
    #: Raised when the log restarts, so that its new, lower offsets give higher versions.
    epoch: int = 1
    partitions: int = 4
    live: str = "g1"
    previous: str | None = None
    building: str | None = None
    generations: Mapping[str, GenerationConfig] = field(default_factory=dict)
    #: The type each metadata name has had since it was first seen.
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    #: What identifies the ``documents`` topic this collection was indexed from; empty until first seen.
    log_identity: str = ""

    @property
    def live_config(self) -> GenerationConfig:
        """Return the configuration of the generation that is served."""
        return self.generations[self.live]


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """A catalog record with the token that a change to it must present."""

    record: CollectionRecord
    token: str


def validate_collection_name(name: str) -> str:
    """Return the name. Raises InvalidField when an engine could not hold it."""
    if not COLLECTION_PATTERN.fullmatch(name):
        raise InvalidField(
            "collection", name, "a name is 1 to 63 lower-case letters, digits or '-', and begins with a letter"
        )
    return name
