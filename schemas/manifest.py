"""The manifest: the one small record per document that decides which of its rows are visible."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowsOfVersion:
    """Rows of one version that lie in the engines and are not shown.

    They are to be deleted when the manifest has reached their version; until then it is on its way and not yet whole.
    """

    version: int
    row_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is true about one document. It is kept when the document is deleted, as a tombstone."""

    #: The newest version that has taken effect.
    version: int
    #: The version whose rows are visible; older than ``version`` where content did not change. 0 when deleted.
    rows_version: int
    row_count: int
    content_hash: str
    superseded: tuple[RowsOfVersion, ...] = ()
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as the store holds it, with the token that a change to it must present."""

    manifest: Manifest
    token: str
