"""Visibility: a page holds one version of each document, the one its manifest vouches for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from query_api.fusion import FusedRow
from query_api.visibility import Found, Page, first_of_each_document, is_visible, take_apart, visible_page
from schemas.keys import DocumentKey, RowKey, row_key
from schemas.manifest import Manifest, StoredManifest

_A, _B = DocumentKey("t", "a"), DocumentKey("t", "b")


def _fused(*rows: tuple[DocumentKey, int, int]) -> list[FusedRow]:
    return [FusedRow(row_key(*row), 1.0 / place) for place, row in enumerate(rows, start=1)]


def _found(*rows: tuple[DocumentKey, int, int]) -> list[Found]:
    return take_apart(_fused(*rows))


def _shows(version: int, *, deleted: bool = False) -> StoredManifest:
    rows_version = 0 if deleted else version
    manifest = Manifest(version=version, rows_version=rows_version, row_count=3, content_hash="", deleted=deleted)
    return StoredManifest(manifest, "token")


def _rows(page: Page) -> list[tuple[DocumentKey, int, int]]:
    return [(item.row.document, item.row.version, item.row.ordinal) for item in page.visible]


def test_only_the_version_of_the_manifest_is_visible() -> None:
    """Older rows that wait for their deletion and newer ones that wait for their flip are left out."""
    found = _found((_A, 1, 0), (_A, 2, 0), (_A, 3, 0))

    assert _rows(visible_page(found, {_A: _shows(2)}, size=10)) == [(_A, 2, 0)]


def test_without_a_manifest_nothing_is_visible() -> None:
    """Rows that a crash left behind belong to no one."""
    assert visible_page(_found((_A, 1, 0)), {}, size=10) == Page(visible=(), overtaken=frozenset(), full=False)


def test_deleted_is_not_visible() -> None:
    """Rows of a deleted document are left out, and asking again would not help."""
    page = visible_page(_found((_A, 1, 0)), {_A: _shows(2, deleted=True)}, size=10)

    assert page == Page(visible=(), overtaken=frozenset(), full=False)


def test_a_document_found_in_an_older_version_alone_is_overtaken() -> None:
    """It was flipped while the query ran: asking again finds it."""
    page = visible_page(_found((_A, 1, 0), (_B, 5, 0)), {_A: _shows(2), _B: _shows(5)}, size=10)

    assert page.overtaken == {(_A, 2)}
    assert _rows(page) == [(_B, 5, 0)]


def test_a_document_found_in_both_versions_is_not_overtaken() -> None:
    """The visible one is there, so that nothing is missing."""
    page = visible_page(_found((_A, 1, 0), (_A, 2, 2)), {_A: _shows(2)}, size=10)

    assert page.overtaken == frozenset()


def test_rows_beyond_the_count_are_not_visible() -> None:
    """A longer content refused under the same version may have left rows behind the ones that count."""
    assert visible_page(_found((_A, 2, 3)), {_A: _shows(2)}, size=10).visible == ()


def test_rows_ahead_of_the_manifest_are_not_overtaken() -> None:
    """A version that is still being written is not asked for again."""
    assert visible_page(_found((_A, 3, 0)), {_A: _shows(2)}, size=10).overtaken == frozenset()


def test_a_page_is_full_at_its_size() -> None:
    """What stands behind the last row of the page is not looked at."""
    found = _found((_A, 1, 0), (_A, 1, 1), (_A, 1, 2))
    page = visible_page(found, {_A: _shows(1)}, size=2)

    assert page.full
    assert _rows(page) == [(_A, 1, 0), (_A, 1, 1)]


def test_collapsing_keeps_the_best_row_of_every_version() -> None:
    """A version that is not visible must not hide the one that is."""
    kept = take_apart(first_of_each_document(_fused((_A, 1, 3), (_A, 2, 1), (_A, 1, 0), (_A, 2, 0), (_B, 1, 0))))

    assert [(item.row.document, item.row.version, item.row.ordinal) for item in kept] == [
        (_A, 1, 3),
        (_A, 2, 1),
        (_B, 1, 0),
    ]


_ROWS = st.lists(
    st.tuples(st.sampled_from([_A, _B, DocumentKey("u", "a")]), st.integers(1, 4), st.integers(0, 3)),
    unique=True,
    max_size=20,
)
_MANIFESTS = st.dictionaries(
    st.sampled_from([_A, _B, DocumentKey("u", "a")]),
    st.builds(_shows, st.integers(1, 4), deleted=st.booleans()),
)


@given(_ROWS, _MANIFESTS, st.integers(1, 8))
def test_a_page_never_mixes_versions(
    rows: list[tuple[DocumentKey, int, int]], manifests: dict[DocumentKey, StoredManifest], size: int
) -> None:
    """Whatever the engines found, each document shows in one version, in the engines' order, up to the size."""
    found = _found(*rows)
    page = visible_page(found, manifests, size=size)

    vouched_for = [item for item in found if is_visible(item.row, manifests.get(item.row.document))]
    assert list(page.visible) == vouched_for[:size]
    versions = {(item.row.document, item.row.version) for item in page.visible}
    assert len(versions) == len({document for document, _ in versions})
    assert page.full == (len(page.visible) == size)
    assert not {document for document, _ in page.overtaken} & {document for document, _ in versions}


@given(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5), st.integers(1, 2**62), st.integers(0, 10**6))
def test_row_keys_are_taken_apart_as_they_were_made(tenant: str, identifier: str, version: int, ordinal: int) -> None:
    """Ids may hold the very characters that keys are built with."""
    document = DocumentKey(tenant, identifier)
    [item] = take_apart([FusedRow(row_key(document, version, ordinal), 0.5)])

    assert item.row == RowKey(document, version, ordinal)
