"""Facts about finished document versions, as records for the ``indexed`` topic."""

from __future__ import annotations

from schemas.codec import encode_indexed
from schemas.errors import DecodeError, Poison
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from streams.dead_letters import detail_of
from streams.log import OutgoingRecord, Record


def fact_record(fact: Indexed, topic: str) -> OutgoingRecord:
    """Address a fact."""
    return OutgoingRecord(topic=topic, key=fact.document.encoded().encode(), value=encode_indexed(fact))


def failed_fact(
    record: Record, poison: Poison, dead_letter_id: str, *, stage: str, version: int | None, now_ms: int
) -> Indexed | None:
    """Say that a record's document failed; None where its key names no document."""
    try:
        document = DocumentKey.decode((record.key or b"").decode())
    except (DecodeError, UnicodeDecodeError):
        return None
    return Indexed(
        document=document,
        version=version,
        outcome=Outcome.FAILED,
        stage=stage,
        reason=poison.reason,
        detail=detail_of(poison),
        dead_letter_id=dead_letter_id,
        appended_at_ms=record.timestamp_ms,
        finished_at_ms=now_ms,
    )
