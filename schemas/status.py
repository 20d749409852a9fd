"""Status: what is known about one document on its way from the log to the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.keys import DocumentKey


class DocumentState(StrEnum):
    """Where a document stands."""

    UNKNOWN = "unknown"
    """The log has been read as far as it goes and the document is not in it."""
    PENDING = "pending"
    """Its newest version is in the log and not finished."""
    SEARCHABLE = "searchable"
    FAILED = "failed"
    """Its newest version went to the dead letters; an older one may still be served."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentStatus:
    """One document's status. ``version`` is the newest one known, ``searchable_version`` the one being served."""

    document: DocumentKey
    state: DocumentState
    version: int | None = None
    searchable_version: int | None = None
    row_count: int = 0
    stage: str = ""
    reason: str = ""
    detail: str = ""
    dead_letter_id: str = ""
    appended_at_ms: int = 0
    finished_at_ms: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
