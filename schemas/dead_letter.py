"""Dead letters: a record that could not be processed, with its original bytes and everything known about why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One record set aside. ``id`` is ``topic/partition/offset`` of the original, so repeats overwrite each other."""

    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    detail: str
    attempts: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    #: When the original was appended, and when it was set aside, in milliseconds since 1970.
    appended_at_ms: int = 0
    set_aside_at_ms: int = 0
    #: Where the original bytes are when they were too large to travel in the record.
    value_uri: str = ""

    @property
    def id(self) -> str:
        """Return the identity that survives repeated processing of the same record."""
        return f"{self.topic}/{self.partition}/{self.offset}"
