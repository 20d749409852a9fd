"""The index stage's decisions about one document: what they may never do, whatever arrives on whatever manifest."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from consumers.index_plan import (
    Incoming,
    Plan,
    cleared,
    incomplete,
    plan_document,
    superseded_keys,
    unfinished,
    without_target,
)
from schemas.chunk import Operation
from schemas.codec import decode_embedded_chunk_set
from schemas.errors import Poison
from schemas.indexed import Outcome
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest, RowsOfVersion, StoredManifest
from tests.consumers.index_history import Content, Entry

DOCUMENT = DocumentKey("t", "a")
#: These decisions take microseconds, and there are many combinations.
THOROUGHLY = settings(max_examples=5 * settings().max_examples)
ONE = Content(name="one", rows_by_part=(2,))
TWO = Content(name="two", rows_by_part=(1,))
LONG = Content(name="long", rows_by_part=(2, 1, 2))
LONGER = Content(name="longer", rows_by_part=(2, 3, 2))
CONTENTS = (ONE, TWO, LONG, LONGER)


def incoming(version: int, content: Content | None, part: int = 0, offset: int = 0) -> Incoming:
    """One part as it arrives."""
    record = Entry(document=DOCUMENT, version=version, content=content, part=part).record(offset)
    return Incoming(record, decode_embedded_chunk_set(record.value or b""))


def whole(version: int, content: Content | None) -> list[Incoming]:
    """All parts of a version."""
    return [incoming(version, content, part) for part in range(len(content.rows_by_part) if content else 1)]


def shown(version: int, content: Content, **fields: object) -> StoredManifest:
    """A manifest that shows a version."""
    manifest = Manifest(
        version=version, rows_version=version, row_count=content.row_count, content_hash=content.name, **fields
    )
    return StoredManifest(manifest, "token")


@st.composite
def parts(draw: st.DrawFn) -> Incoming:
    version = draw(st.integers(1, 5))
    content = draw(st.sampled_from([None, *CONTENTS]))
    part = draw(st.integers(0, len(content.rows_by_part) - 1)) if content else 0
    return incoming(version, content, part)


@st.composite
def manifests(draw: st.DrawFn) -> StoredManifest | None:
    """Any manifest the protocol can write: listed rows are never those that are shown."""
    if draw(st.booleans()):
        return None
    version = draw(st.integers(0, 4))
    listed = draw(st.dictionaries(st.integers(1, 5), st.integers(1, 7), max_size=3))
    content = draw(st.sampled_from([None, *CONTENTS])) if version else None
    rows_version = draw(st.integers(1, version)) if content else 0
    listed.pop(rows_version, None)
    manifest = Manifest(
        version=version,
        rows_version=rows_version,
        row_count=content.row_count if content else 0,
        content_hash=content.name if content else "",
        superseded=tuple(RowsOfVersion(old, rows) for old, rows in sorted(listed.items())),
        deleted=content is None,
    )
    return StoredManifest(manifest, "token")


batches = st.lists(parts(), min_size=1, max_size=8)


def visible(stored: StoredManifest | Manifest | None) -> set[str]:
    """The keys a manifest shows."""
    manifest = stored.manifest if isinstance(stored, StoredManifest) else stored
    return set() if manifest is None else set(row_keys(DOCUMENT, manifest.rows_version, manifest.row_count))


def after(plan: Plan) -> Manifest | None:
    """The manifest when the plan has been carried out."""
    if plan.change is not None:
        return plan.change.manifest
    return None if plan.stored is None else plan.stored.manifest


def listed(manifest: Manifest | None) -> set[str]:
    """The keys a manifest lists without showing them."""
    old = () if manifest is None else manifest.superseded
    return {key for rows in old for key in row_keys(DOCUMENT, rows.version, rows.row_count)}


def keys_of(items: tuple[Incoming, ...] | list[Incoming]) -> set[str]:
    """The keys that parts bring."""
    return {
        row_keys(DOCUMENT, item.chunk_set.version, chunk.ordinal + 1)[-1]
        for item in items
        for chunk in item.chunk_set.chunks
    }


@THOROUGHLY
@given(batches, manifests())
def test_nothing_that_is_or_may_become_visible_is_deleted(items: list[Incoming], stored: StoredManifest | None):
    """Neither garbage nor superseded rows are shown now or after the change, nor belong to a newer version."""
    plan = plan_document(DOCUMENT, items, stored)

    manifest = after(plan)
    deleted = {*plan.garbage, *(superseded_keys(manifest, DOCUMENT) if manifest is not None else [])}
    assert not deleted & visible(manifest)
    assert not set(plan.garbage) & (visible(stored) - visible(manifest))
    newest = 0 if manifest is None else manifest.version
    newer = {key for version in range(newest + 1, 7) for key in row_keys(DOCUMENT, version, 20)}
    assert not deleted & newer


@THOROUGHLY
@given(batches, manifests())
def test_the_version_only_rises_and_only_by_a_version_that_ended(items: list[Incoming], stored: StoredManifest | None):
    """A change without a target lists rows and shows what was shown; with one it shows exactly that version."""
    plan = plan_document(DOCUMENT, items, stored)

    if plan.change is None:
        assert plan.target is None
        return
    manifest, before = plan.change.manifest, 0 if stored is None else stored.manifest.version
    assert plan.change.expected == (None if stored is None else stored.token)
    if plan.target is None:
        assert manifest.version == before
        assert visible(manifest) == visible(stored)
    else:
        assert manifest.version == plan.target.chunk_set.version > before
        assert manifest.deleted == (plan.target.chunk_set.operation is Operation.DELETE)
        assert manifest.content_hash == plan.target.chunk_set.content_hash


@THOROUGHLY
@given(batches, manifests())
def test_every_last_part_is_finished_or_refused_once(items: list[Incoming], stored: StoredManifest | None):
    """Each version that ended has one outcome; only repetitions of the one that takes effect are left out."""
    plan = plan_document(DOCUMENT, items, stored)

    finished = [item for item, _ in plan.finished]
    refused = [item for item, _ in plan.refused]
    assert not {id(item) for item in finished} & {id(item) for item in refused}
    told = {id(item) for item in [*finished, *refused]}
    for item in items:
        if item.chunk_set.is_last_part and id(item) not in told:
            assert plan.target is not None
            assert item.chunk_set.version == plan.target.chunk_set.version
            assert item.chunk_set.content_hash == plan.target.chunk_set.content_hash
    assert all(poison.reason == "version_reused" for _, poison in plan.refused)


@THOROUGHLY
@given(batches, manifests())
def test_rows_that_outlive_the_batch_are_listed(items: list[Incoming], stored: StoredManifest | None):
    """What is written is shown or listed afterwards, and so is what was shown or listed before, unless discarded."""
    plan = plan_document(DOCUMENT, items, stored)

    manifest = after(plan)
    known = visible(manifest) | listed(manifest)
    assert keys_of(plan.to_write) <= known
    before = None if stored is None else stored.manifest
    assert visible(before) | listed(before) <= known | set(plan.garbage)
    interrupted = unfinished(plan)
    if interrupted is not None:
        assert visible(interrupted.manifest) == visible(stored)
        assert keys_of(plan.to_write) <= listed(interrupted.manifest)


@THOROUGHLY
@given(batches, manifests())
def test_a_version_is_shown_only_with_all_its_rows(items: list[Incoming], stored: StoredManifest | None):
    """What a change newly shows is written by this plan or must be there already."""
    plan = plan_document(DOCUMENT, items, stored)

    assert visible(after(plan)) <= visible(stored) | keys_of(plan.to_write) | set(plan.must_exist)
    assert all(item.chunk_set.version > (0 if stored is None else stored.manifest.version) for item in plan.to_write)


@THOROUGHLY
@given(batches, manifests())
def test_without_its_target_a_plan_shows_what_is_shown(items: list[Incoming], stored: StoredManifest | None):
    """The target is refused, its rows are listed, and nothing is deleted."""
    plan = plan_document(DOCUMENT, items, stored)
    assume(plan.target is not None)

    left = without_target(plan, Poison("part_missing", "…"))

    assert visible(after(left)) == visible(stored)
    assert left.target is None
    assert [item for item, _ in left.refused] == [plan.target]
    assert left.garbage == ()
    assert left.to_write == ()
    assert plan.target is not None
    rows = row_keys(DOCUMENT, plan.target.chunk_set.version, plan.target.chunk_set.row_count)
    assert set(rows) <= listed(after(left))


@THOROUGHLY
@given(batches, manifests())
def test_carrying_a_plan_out_twice_changes_nothing_more(items: list[Incoming], stored: StoredManifest | None):
    """The same batch again, as after a crash, has no target: what it would do is done."""
    plan = plan_document(DOCUMENT, items, stored)
    assume(plan.change is not None)
    assert plan.change is not None

    again = plan_document(DOCUMENT, items, StoredManifest(plan.change.manifest, "next"))

    assert again.target is None
    assert again.change is None
    assert {id(item) for item, _ in plan.finished} <= {id(item) for item, _ in again.finished}


@THOROUGHLY
@given(manifests())
def test_clearing_forgets_exactly_what_was_deleted(stored: StoredManifest | None):
    """Listed rows are either deleted and forgotten, or of a version on its way and kept."""
    assume(stored is not None)
    assert stored is not None
    manifest = stored.manifest

    assert set(superseded_keys(manifest, DOCUMENT)) | listed(cleared(manifest)) == listed(manifest)
    assert superseded_keys(cleared(manifest), DOCUMENT) == []
    assert visible(cleared(manifest)) == visible(manifest)


def test_the_newest_of_a_batch_takes_effect_and_the_others_are_stale():
    """Older versions of the same batch are told as stale; their rows are not even written."""
    plan = plan_document(DOCUMENT, [*whole(1, ONE), *whole(2, LONG), *whole(3, TWO)], None)

    assert {item.chunk_set.version: outcome for item, outcome in plan.finished} == {
        1: Outcome.STALE,
        2: Outcome.STALE,
        3: Outcome.SEARCHABLE,
    }
    assert [item.chunk_set.version for item in plan.to_write] == [3]


def test_an_update_overtakes_a_version_in_parts():
    """Rows of a version that was on its way are superseded by the next one, and deleted with its change."""
    begun = plan_document(DOCUMENT, whole(2, LONG)[:2], shown(1, ONE))
    assert begun.change is not None
    assert begun.change.manifest == replace(shown(1, ONE).manifest, superseded=(RowsOfVersion(2, 5),))

    overtaking = plan_document(DOCUMENT, whole(3, TWO), StoredManifest(begun.change.manifest, "t2"))
    assert overtaking.change is not None
    assert set(superseded_keys(overtaking.change.manifest, DOCUMENT)) == {
        *row_keys(DOCUMENT, 1, 2),
        *row_keys(DOCUMENT, 2, 5),
    }

    late = plan_document(DOCUMENT, whole(2, LONG)[2:], StoredManifest(overtaking.change.manifest, "t3"))
    assert [outcome for _, outcome in late.finished] == [Outcome.STALE]
    assert late.change is None


def test_a_version_completes_over_several_batches():
    """The last part makes it visible when the rows of the others are there."""
    begun = plan_document(DOCUMENT, whole(2, LONG)[:2], None)
    assert begun.change is not None
    assert begun.change.manifest.deleted

    ended = plan_document(DOCUMENT, whole(2, LONG)[2:], StoredManifest(begun.change.manifest, "t2"))

    assert ended.must_exist == tuple(row_keys(DOCUMENT, 2, 3))
    assert incomplete(ended, set()) is None
    poison = incomplete(ended, {"t/a@2#1"})
    assert poison is not None
    assert poison.reason == "part_missing"
    assert "'t/a@2#1'" in str(poison)
    assert ended.change is not None
    assert ended.change.manifest == shown(2, LONG).manifest


def test_unchanged_content_moves_the_version_alone():
    """No rows are written, and those of an interrupted writer would be discarded."""
    plan = plan_document(DOCUMENT, whole(5, ONE), shown(3, ONE))

    assert [outcome for _, outcome in plan.finished] == [Outcome.UNCHANGED]
    assert plan.to_write == ()
    assert plan.change is not None
    assert plan.change.manifest == replace(shown(3, ONE).manifest, version=5)
    assert set(plan.garbage) == set(row_keys(DOCUMENT, 5, 2))


def test_a_version_used_again_for_other_content_is_refused():
    """What is in stays; the other content is set aside with what to do, part for part."""
    stored = shown(3, ONE)

    for other in (whole(3, TWO), whole(3, LONG), whole(3, None)):
        plan = plan_document(DOCUMENT, other, stored)
        assert [poison.reason for _, poison in plan.refused] == ["version_reused"] * len(other)
        assert plan.change is None
        assert plan.garbage == ()


def test_other_content_under_a_version_that_never_became_whole_leaves_no_row_behind():
    """Rows beyond the end of what is shown now would be seen as part of it: they go with the same change."""
    begun = plan_document(DOCUMENT, whole(2, LONGER)[:2], None)
    assert begun.change is not None

    plan = plan_document(DOCUMENT, whole(2, TWO), StoredManifest(begun.change.manifest, "t2"))

    assert set(plan.garbage) == set(row_keys(DOCUMENT, 2, LONGER.row_count)) - set(row_keys(DOCUMENT, 2, 1))


def test_a_deleted_document_stays_deleted_until_something_newer_comes():
    """Its tombstone outlives it: older versions are stale, the same delete again is done, newer content comes back."""
    deleted = plan_document(DOCUMENT, whole(4, None), shown(3, ONE))
    assert deleted.change is not None
    stored = StoredManifest(deleted.change.manifest, "t2")
    assert superseded_keys(stored.manifest, DOCUMENT) == row_keys(DOCUMENT, 3, 2)

    assert [o for _, o in plan_document(DOCUMENT, whole(2, LONG), stored).finished] == [Outcome.STALE]
    assert [o for _, o in plan_document(DOCUMENT, whole(4, None), stored).finished] == [Outcome.DELETED]
    back = plan_document(DOCUMENT, whole(5, ONE), stored)
    assert [o for _, o in back.finished] == [Outcome.SEARCHABLE]
    assert keys_of(back.to_write) == set(row_keys(DOCUMENT, 5, 2))
