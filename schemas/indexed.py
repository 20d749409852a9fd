"""Indexed: one fact per finished document version, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.keys import DocumentKey


class Outcome(StrEnum):
    """What became of a document version."""

    SEARCHABLE = "searchable"
    UNCHANGED = "unchanged"
    """Same content as before: only the manifest's version moved."""
    DELETED = "deleted"
    STALE = "stale"
    """A newer version was already in; this one changed nothing."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """The fact that a document version is finished. ``version`` is None where it failed before it had one."""

    document: DocumentKey
    version: int | None
    outcome: Outcome
    row_count: int = 0
    stage: str = "index"
    #: A stable word and a sentence; empty unless the outcome is ``failed``.
    reason: str = ""
    detail: str = ""
    dead_letter_id: str = ""
    appended_at_ms: int = 0
    finished_at_ms: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
