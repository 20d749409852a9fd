"""What serves a collection right now: its live generation and the engines that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engines.ports import Embedder, ManifestStore, TextIndex, VectorIndex
from schemas.errors import Poison
from schemas.generation import CollectionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One generation with its engines. A request holds on to the one it began with."""

    record: CollectionRecord
    generation: str
    embedder: Embedder
    vectors: VectorIndex
    texts: TextIndex
    manifests: ManifestStore


class Collections(Protocol):
    """Finds what serves a collection; follows the catalog within about a second."""

    async def serving(self, name: str) -> Serving:
        """Return what serves the collection. Raises UnknownCollection, or Retryable when the catalog is away."""

    async def record(self, name: str, *, fresh: bool = False) -> CollectionRecord:
        """Return the collection's record, from the catalog itself if ``fresh``. Raises what ``serving`` raises."""

    async def names(self) -> list[str]:
        """Return the names of all collections, sorted."""


class UnknownCollection(Poison):
    """Raised for a collection that the catalog does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "unknown_collection", f"there is no collection '{name}': ingest a document into it, or check the name"
        )
