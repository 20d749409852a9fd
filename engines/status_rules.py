"""How facts about one document add up to its status, in whatever order and however often they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from engines.ports import Received
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from schemas.status import DocumentState, DocumentStatus

Ordered = TypeVar("Ordered", int, tuple[int, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFold:
    """Everything that has to be remembered of a document's facts.

    Each part is the greatest of the facts of its kind, in a total order; so order and repeats cannot matter.
    """

    #: The newest version heard of, and when it was last appended.
    newest: tuple[int, int] | None = None
    #: The newest version that is finished, whatever became of it.
    finished_version: int | None = None
    #: The newest version that took effect: searchable, unchanged or deleted.
    effect: Indexed | None = None
    #: The newest version that failed.
    failure: Indexed | None = None
    #: The newest failure of an event that never got a version.
    unversioned_failure: Indexed | None = None


def fold(state: DocumentFold, facts: Iterable[Received | Indexed]) -> DocumentFold:
    """Add facts about one document."""
    for fact in facts:
        if isinstance(fact, Received):
            state = replace(state, newest=_greater(state.newest, (fact.version, fact.appended_at_ms)))
        else:
            state = _fold_indexed(state, fact)
    return state


def state_of(state: DocumentFold) -> DocumentState:
    """Tell where the document stands, in one word."""
    deciding = _deciding_fact(state)
    if deciding is None:
        return DocumentState.PENDING
    match deciding.outcome:
        case Outcome.FAILED:
            return DocumentState.FAILED
        case Outcome.DELETED:
            return DocumentState.DELETED
        case _:
            return DocumentState.SEARCHABLE


def status_of(document: DocumentKey, state: DocumentFold) -> DocumentStatus:
    """Tell where the document stands, and why."""
    deciding = _deciding_fact(state)
    effect = state.effect
    serves = effect is not None and effect.outcome is not Outcome.DELETED
    status = DocumentStatus(
        document=document,
        state=state_of(state),
        version=state.newest[0] if state.newest is not None else None,
        searchable_version=effect.version if effect is not None and serves else None,
        row_count=effect.row_count if effect is not None and serves else 0,
        appended_at_ms=state.newest[1] if state.newest is not None else 0,
    )
    if deciding is None:
        return status
    return replace(
        status,
        stage=deciding.stage,
        reason=deciding.reason,
        detail=deciding.detail,
        dead_letter_id=deciding.dead_letter_id,
        appended_at_ms=max(status.appended_at_ms, deciding.appended_at_ms),
        finished_at_ms=deciding.finished_at_ms,
        timings=deciding.timings,
    )


def _fold_indexed(state: DocumentFold, fact: Indexed) -> DocumentFold:
    if fact.version is None:
        return replace(state, unversioned_failure=_later(state.unversioned_failure, fact))
    effect, failure = state.effect, state.failure
    match fact.outcome:
        case Outcome.STALE:
            pass
        case Outcome.FAILED:
            failure = _newer(failure, fact)
        case Outcome.SEARCHABLE | Outcome.UNCHANGED | Outcome.DELETED:
            effect = _newer(effect, fact)
        case _:
            assert_never(fact.outcome)
    return DocumentFold(
        newest=_greater(state.newest, (fact.version, fact.appended_at_ms)),
        finished_version=_greater(state.finished_version, fact.version),
        effect=effect,
        failure=failure,
        unversioned_failure=state.unversioned_failure,
    )


def _deciding_fact(state: DocumentFold) -> Indexed | None:
    """Return the fact that says where the document stands, or None while its newest version is on its way."""
    lost = state.unversioned_failure
    if lost is not None and (state.newest is None or state.newest[1] <= lost.appended_at_ms):
        return lost
    if state.newest is not None and (state.finished_version is None or state.newest[0] > state.finished_version):
        return None
    effect, failure = state.effect, state.failure
    if effect is None or failure is None:
        return effect if failure is None else failure
    # Finished twice: a redrive that succeeded, or a version used again for other content. The later one counts.
    return failure if _when(failure) > _when(effect) else effect


def _greater(known: Ordered | None, other: Ordered) -> Ordered:
    return other if known is None else max(known, other)


def _newer(known: Indexed | None, other: Indexed) -> Indexed:
    if known is None or _when(other) > _when(known):
        return other
    return known if _when(known) > _when(other) else max(known, other, key=_rest)


def _later(known: Indexed | None, other: Indexed) -> Indexed:
    if known is None or other.appended_at_ms > known.appended_at_ms:
        return other
    return known if known.appended_at_ms > other.appended_at_ms else max(known, other, key=_rest)


def _when(fact: Indexed) -> tuple[int, int]:
    return (fact.version or 0, fact.finished_at_ms)


def _rest(fact: Indexed) -> tuple[object, ...]:
    """Order facts that are equal in all that matters, so that the greater one is the same in every order."""
    return (
        fact.finished_at_ms,
        fact.outcome.value,
        fact.row_count,
        fact.appended_at_ms,
        fact.stage,
        fact.reason,
        fact.detail,
        fact.dead_letter_id,
        sorted(fact.timings.items()),
    )
