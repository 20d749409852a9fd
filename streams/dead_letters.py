"""Dead letters: making one of a record that failed, and stopping before they become the rule."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from schemas.codec import encode_dead_letter
from schemas.dead_letter import DeadLetter
from schemas.errors import Poison
from schemas.keys import DOCUMENT_KEY_LIMIT_BYTES
from streams.log import OutgoingRecord, Record

#: An error's text may quote what was sent, and what was sent may be anything of any size.
_DETAIL_LIMIT_CHARACTERS: Final = 4_000


def detail_of(poison: Poison) -> str:
    """Return the reason's text in a length and in characters that every record can carry."""
    text = str(poison)
    if len(text) > _DETAIL_LIMIT_CHARACTERS:
        text = f"{text[: _DETAIL_LIMIT_CHARACTERS - 1]}…"
    return text.encode("utf-8", "backslashreplace").decode()


def dead_letter_of(record: Record, poison: Poison, *, stage: str, attempts: int, now_ms: int) -> DeadLetter:
    """Keep a record's bytes, key and headers as they came, with the reason it was set aside."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        stage=stage,
        reason=poison.reason,
        detail=detail_of(poison),
        attempts=attempts,
        key=record.key,
        value=record.value,
        headers=record.headers,
        appended_at_ms=record.timestamp_ms,
        set_aside_at_ms=now_ms,
    )


def dead_letter_record(letter: DeadLetter, topic: str) -> OutgoingRecord:
    """Address a dead letter; one without a document's key is keyed by its own identity, so that it finds a partition.

    A key longer than a document's would be carried twice, once in the letter, and could make it too large to append.
    """
    key = letter.key
    if key is None or len(key) > DOCUMENT_KEY_LIMIT_BYTES:
        key = letter.id.encode()
    return OutgoingRecord(topic=topic, key=key, value=encode_dead_letter(letter))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterLimit:
    """How many dead letters are still bad luck: above ``ratio`` of the last ``window_records``, the stage stops."""

    ratio: float = 0.5
    window_records: int = 1_000
    #: Below this many dead letters in the window nothing is concluded.
    minimum: int = 200


class DeadLetterCount:
    """Counts the last records of one stage.

    Invariant: ``exceeded`` looks at no more than the limit's window.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._window: deque[bool] = deque(maxlen=limit.window_records)

    def note(self, *, good: int, set_aside: int) -> None:
        """Count one batch."""
        self._window.extend([False] * good + [True] * set_aside)

    def exceeded(self) -> bool:
        """Tell whether going on would drain the log into the dead letters."""
        letters = sum(self._window)
        return letters >= self._limit.minimum and letters > self._limit.ratio * len(self._window)
