"""What the API needs from the write side: a place to hand document events to. It never learns that this is Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.document import DocumentEvent
from schemas.errors import Poison
from schemas.keys import DocumentKey


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that stands durably in the log, and the version it carries from now on."""

    document: DocumentKey
    version: int


class DocumentSink(Protocol):
    """Takes events for a collection, and creates the collection if it is new and that is allowed."""

    async def submit(self, collection: str, events: Sequence[DocumentEvent]) -> list[Accepted | Poison]:
        """Append events to the collection's log, durably when it returns; one result per event, in order.

        An event that breaks the collection's rules (version source, a field whose type changed, too large) gives its
        Poison and is not appended; its neighbours are. Content too large for the log goes to the blob store first.
        Raises UnknownCollection where creating is off, Retryable when the log or the catalog does not answer; any of
        the events may have been appended then, and sending all of them again is safe.
        """
