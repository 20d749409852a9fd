"""Reading one document as it is visible now: the rows its manifest lists, whole, in one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from query_api.serving import Serving
from schemas.errors import Fatal, Retryable
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest
from schemas.row import Row

#: A document that is flipped again and again while it is read is followed this often.
_READ_LIMIT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleDocument:
    """A document's manifest and all rows of the version that it shows, in order."""

    manifest: Manifest
    rows: tuple[Row, ...]


async def read_visible(serving: Serving, document: DocumentKey) -> VisibleDocument | Manifest | None:
    """Return what is visible; the manifest alone where the document is deleted; None where there never was one.

    Raises Retryable where rows that the manifest lists are in neither engine.
    """
    missing: tuple[int, str] | None = None
    for _ in range(_READ_LIMIT):
        stored = (await serving.manifests.read([document])).get(document)
        if stored is None or stored.manifest.deleted:
            return None if stored is None else stored.manifest
        manifest = stored.manifest
        keys = row_keys(document, manifest.rows_version, manifest.row_count)
        rows = await _fetch(serving, keys)
        absent = next((key for key in keys if key not in rows), None)
        if absent is None:
            return VisibleDocument(manifest=manifest, rows=tuple(rows[key] for key in keys))
        if missing == (manifest.rows_version, absent):
            raise Retryable(f"row {absent!r} is listed and in neither engine; if this stays so, the index needs repair")
        missing = (manifest.rows_version, absent)
    raise Retryable(f"document {document.id!r} changed {_READ_LIMIT} times while it was read; ask again")


async def _fetch(serving: Serving, keys: list[str]) -> dict[str, Row]:
    """Read rows from the text index, and what it does not give from the vector index: each holds all of a row."""
    try:
        rows = await serving.texts.fetch(keys)
    except (Retryable, Fatal):
        return await serving.vectors.fetch(keys)
    absent = [key for key in keys if key not in rows]
    return rows | await serving.vectors.fetch(absent) if absent else rows
