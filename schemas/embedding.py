"""Embedded chunks: a chunk set with one vector for each of its chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.chunk import ChunkSet

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedChunkSet:
    """A chunk set, the fingerprint of the model that embedded it, and an array of shape (chunks, dimension)."""

    chunk_set: ChunkSet
    model_fingerprint: str
    vectors: Vectors
