"""Facts about a document add up to one status, whatever their order, and to the status people expect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.ports import Received
from engines.status_rules import DocumentFold, fold, status_of
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from schemas.status import DocumentState, DocumentStatus

DOCUMENT = DocumentKey("default", "a")
PENDING, SEARCHABLE, FAILED, DELETED = (
    DocumentState.PENDING,
    DocumentState.SEARCHABLE,
    DocumentState.FAILED,
    DocumentState.DELETED,
)


def received(version: int, *, at: int | None = None) -> Received:
    """Say that a version was appended, at its own number unless told otherwise."""
    return Received(document=DOCUMENT, version=version, appended_at_ms=version if at is None else at)


def finished(version: int | None, outcome: Outcome, *, at: int | None = None, appended: int | None = None) -> Indexed:
    """Say that a version was finished, at ten times its own number unless told otherwise."""
    return Indexed(
        document=DOCUMENT,
        version=version,
        outcome=outcome,
        row_count=version or 0,
        reason="broken" if outcome is Outcome.FAILED else "",
        appended_at_ms=appended if appended is not None else version or 0,
        finished_at_ms=at if at is not None else 10 * (version or 0),
    )


def status(*facts: Received | Indexed) -> DocumentStatus:
    """Fold facts from nothing."""
    return status_of(DOCUMENT, fold(DocumentFold(), facts))


@pytest.mark.parametrize(
    ("facts", "state", "version", "searchable_version"),
    [
        ([received(1)], PENDING, 1, None),
        ([finished(1, Outcome.SEARCHABLE)], SEARCHABLE, 1, 1),
        ([finished(1, Outcome.SEARCHABLE), received(2)], PENDING, 2, 1),
        ([finished(2, Outcome.SEARCHABLE), received(1)], SEARCHABLE, 2, 2),
        ([finished(1, Outcome.SEARCHABLE), finished(2, Outcome.UNCHANGED)], SEARCHABLE, 2, 2),
        ([finished(1, Outcome.SEARCHABLE), finished(2, Outcome.FAILED)], FAILED, 2, 1),
        ([finished(1, Outcome.FAILED), finished(2, Outcome.SEARCHABLE)], SEARCHABLE, 2, 2),
        ([finished(1, Outcome.FAILED), received(2)], PENDING, 2, None),
        ([finished(1, Outcome.SEARCHABLE), finished(2, Outcome.DELETED)], DELETED, 2, None),
        ([finished(1, Outcome.DELETED), received(2)], PENDING, 2, None),
        ([finished(1, Outcome.DELETED), finished(2, Outcome.FAILED)], FAILED, 2, None),
        ([finished(2, Outcome.SEARCHABLE), finished(1, Outcome.STALE)], SEARCHABLE, 2, 2),
        ([received(2), finished(1, Outcome.SEARCHABLE), finished(2, Outcome.STALE)], SEARCHABLE, 2, 1),
        ([finished(1, Outcome.STALE)], PENDING, 1, None),
    ],
)
def test_the_newest_version_decides(
    facts: list[Received | Indexed], state: DocumentState, version: int, searchable_version: int | None
) -> None:
    """State, newest version and served version follow from the newest facts."""
    found = status(*facts)

    assert (state, version, searchable_version) == (found.state, found.version, found.searchable_version)
    assert (searchable_version or 0) == found.row_count


def test_a_redrive_that_succeeds_ends_the_failure() -> None:
    """The same version, failed first and searchable later, is searchable."""
    found = status(finished(5, Outcome.FAILED, at=100), finished(5, Outcome.SEARCHABLE, at=200))

    assert (found.state, found.searchable_version, found.reason) == (SEARCHABLE, 5, "")


def test_a_version_used_again_is_shown_as_failed() -> None:
    """Other content under a served version was refused: the failure shows, and what is served stays."""
    found = status(finished(5, Outcome.SEARCHABLE, at=100), finished(5, Outcome.FAILED, at=200))

    assert (found.state, found.searchable_version, found.reason) == (FAILED, 5, "broken")


def test_a_redelivery_counted_as_stale_keeps_the_version_searchable() -> None:
    """Staleness of a version that took effect before changes nothing."""
    found = status(received(5), finished(5, Outcome.SEARCHABLE, at=100), finished(5, Outcome.STALE, at=200))

    assert (found.state, found.searchable_version) == (SEARCHABLE, 5)


def test_a_failure_without_a_version_is_the_documents_state() -> None:
    """An event that failed before it had a version is known by its document; what is served stays."""
    lost = replace(finished(None, Outcome.FAILED, appended=7), stage="chunk")

    alone, after = status(lost), status(received(5, at=5), finished(5, Outcome.SEARCHABLE), lost)

    assert (
        alone.state,
        alone.version,
        alone.searchable_version,
        alone.stage,
        alone.appended_at_ms,
    ) == (FAILED, None, None, "chunk", 7)
    assert (after.state, after.version, after.searchable_version) == (FAILED, 5, 5)


def test_a_failure_without_a_version_ends_with_a_newer_version_received_later() -> None:
    """Whatever is appended after the failure is what the document's state is about."""
    lost = finished(None, Outcome.FAILED, appended=7)

    assert PENDING is status(lost, received(8, at=8)).state
    assert SEARCHABLE is status(lost, received(8, at=8), finished(8, Outcome.SEARCHABLE)).state
    assert FAILED is status(lost, received(8, at=6), finished(8, Outcome.SEARCHABLE, appended=6)).state


_FACTS = st.lists(
    st.one_of(
        st.builds(
            Received,
            document=st.just(DOCUMENT),
            version=st.integers(1, 5),
            appended_at_ms=st.integers(0, 9),
        ),
        st.builds(
            Indexed,
            document=st.just(DOCUMENT),
            version=st.integers(1, 5),
            outcome=st.sampled_from(Outcome),
            row_count=st.integers(0, 2),
            reason=st.sampled_from(["", "a"]),
            appended_at_ms=st.integers(0, 9),
            finished_at_ms=st.integers(0, 3),
            timings=st.dictionaries(st.sampled_from(["chunk", "embed"]), st.floats(0, 1)),
        ),
        st.builds(
            Indexed,
            document=st.just(DOCUMENT),
            version=st.none(),
            outcome=st.just(Outcome.FAILED),
            stage=st.sampled_from(["chunk", "index"]),
            appended_at_ms=st.integers(0, 9),
            finished_at_ms=st.integers(0, 3),
        ),
    ),
    max_size=12,
)


@given(facts=_FACTS, data=st.data())
def test_order_and_repeats_do_not_matter(facts: list[Received | Indexed], data: st.DataObject) -> None:
    """Any order of the facts, any of them repeated, in any batches, folds to the same."""
    once = fold(DocumentFold(), facts)
    repeats = data.draw(st.lists(st.sampled_from(facts), max_size=6)) if facts else []
    shuffled = data.draw(st.permutations(facts + repeats))
    cut = data.draw(st.integers(0, len(shuffled)))

    assert once == fold(fold(DocumentFold(), shuffled[:cut]), shuffled[cut:])
    assert once == fold(once, facts)
    assert status_of(DOCUMENT, once) == status_of(DOCUMENT, fold(DocumentFold(), shuffled))


@given(facts=_FACTS)
def test_a_served_version_took_effect(facts: list[Received | Indexed]) -> None:
    """Nothing is called searchable that no fact called searchable or unchanged."""
    effective = {
        fact.version
        for fact in facts
        if isinstance(fact, Indexed) and fact.outcome in (Outcome.SEARCHABLE, Outcome.UNCHANGED)
    }
    found = status(*facts)

    assert found.searchable_version is None or found.searchable_version in effective
    assert found.state is not SEARCHABLE or found.searchable_version is not None
