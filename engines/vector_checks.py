"""What every vector index refuses before it stores or searches anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from schemas.embedding import Vectors
from schemas.errors import Poison
from schemas.row import Row


def check_rows(rows: Sequence[Row], vectors: Vectors, dimension: int) -> None:
    """Refuse broken text, vectors of another shape, and numbers that are not finite. Raises Poison."""
    if vectors.shape != (len(rows), dimension):
        raise Poison(
            "invalid_vector",
            f"vectors of shape {vectors.shape} came for {len(rows)} rows of dimension {dimension}: "
            "the collection was built for another model",
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        key = rows[int(np.argmin(finite))].key
        raise Poison("invalid_vector", f"the vector of row {key} holds a number that is not finite: embed it again")
    for row in rows:
        try:
            orjson.dumps((row.title, row.prefix, row.text, row.source, row.heading_path, row.metadata))
        except TypeError as error:
            raise Poison("unstorable_row", f"row {row.key} cannot be stored: {error}") from error


def check_query(vector: Vectors, dimension: int) -> None:
    """Refuse a query vector that nothing can be compared with. Raises Poison."""
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise Poison("invalid_vector", f"a query vector must have {dimension} finite numbers, this one is {vector!r}")
