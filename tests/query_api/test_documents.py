"""Reading a visible document while it changes: one version or the other, never a mixture and never a gap."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.exact_vectors import ExactVectorIndex
from engines.hash_embedder import load_hash_embedder
from engines.ports import ManifestChange, TextIndex
from engines.sqlite_manifests import SqliteManifestStore
from engines.tantivy import TantivyTextIndex
from query_api.document_answer import stitched_text
from query_api.documents import VisibleDocument, read_visible
from query_api.serving import Serving
from schemas.errors import Retryable
from schemas.generation import CollectionRecord, GenerationConfig
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest
from schemas.row import Row

_KEY = DocumentKey("t", "a")
_DIMENSION = 8


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """Open the embedded engines, empty."""
    embedder = load_hash_embedder(dimension=_DIMENSION)
    vectors = ExactVectorIndex(tmp_path / "vectors.sqlite", _DIMENSION)
    texts = TantivyTextIndex(tmp_path / "text")
    manifests = SqliteManifestStore(tmp_path / "manifests.sqlite")
    for store in (vectors, texts, manifests):
        await store.ensure()
    record = CollectionRecord(name="docs", generations={"g1": GenerationConfig()})
    yield Serving(record=record, generation="g1", embedder=embedder, vectors=vectors, texts=texts, manifests=manifests)
    for closing in (vectors, texts, manifests, embedder):
        await closing.close()


async def _write(serving: Serving, version: int, count: int = 2) -> None:
    rows = [_row(version, ordinal) for ordinal in range(count)]
    keys = [row.key for row in rows]
    await serving.texts.upsert(rows)
    await serving.vectors.upsert(rows, np.eye(_DIMENSION, dtype=np.float32)[:count])
    await serving.texts.make_searchable(keys)
    await serving.vectors.make_searchable(keys)


async def _show(serving: Serving, version: int, count: int = 2, *, deleted: bool = False) -> None:
    stored = (await serving.manifests.read([_KEY])).get(_KEY)
    manifest = Manifest(
        version=version,
        rows_version=0 if deleted else version,
        row_count=0 if deleted else count,
        content_hash="",
        deleted=deleted,
    )
    change = ManifestChange(document=_KEY, manifest=manifest, expected=None if stored is None else stored.token)
    assert None not in await serving.manifests.advance([change])


async def _clear(serving: Serving, version: int, count: int = 2) -> None:
    keys = row_keys(_KEY, version, count)
    for store in (serving.texts, serving.vectors):
        await store.delete(keys)
        await store.make_searchable(keys)


def _row(version: int, ordinal: int) -> Row:
    text = f"v{version} chunk {ordinal}"
    start = ordinal * 20
    return Row(
        document=_KEY,
        version=version,
        ordinal=ordinal,
        title="",
        text=text,
        prefix="",
        start=start,
        end=start + len(text),
    )


class _Interrupted:
    """The text index, with something that happens just before each of its next reads."""

    def __init__(self, texts: TextIndex, *happenings: Callable[[], Awaitable[None]]) -> None:
        self._texts = texts
        self._happenings = list(happenings)

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        if self._happenings:
            await self._happenings.pop(0)()
        return await self._texts.fetch(keys)


def _interrupted(serving: Serving, *happenings: Callable[[], Awaitable[None]]) -> Serving:
    return replace(serving, texts=_Interrupted(serving.texts, *happenings))


async def test_a_document_has_all_rows_of_its_version(serving: Serving) -> None:
    """In order."""
    await _write(serving, 1)
    await _show(serving, 1)

    visible = await read_visible(serving, _KEY)

    assert isinstance(visible, VisibleDocument)
    assert [row.key for row in visible.rows] == row_keys(_KEY, 1, 2)


async def test_what_has_no_manifest_is_not_there(serving: Serving) -> None:
    """Rows alone make no document."""
    await _write(serving, 1)

    assert await read_visible(serving, _KEY) is None


async def test_a_deleted_document_gives_its_tombstone(serving: Serving) -> None:
    """So that it can be told from one that never was."""
    await _write(serving, 1)
    await _show(serving, 1)
    await _show(serving, 2, deleted=True)

    found = await read_visible(serving, _KEY)

    assert isinstance(found, Manifest)
    assert (found.version, found.deleted) == (2, True)


async def test_a_flip_while_reading_gives_the_new_version(serving: Serving) -> None:
    """The rows of the old one vanish between manifest and rows: the manifest is read again."""
    await _write(serving, 1)
    await _show(serving, 1)

    async def flip() -> None:
        await _write(serving, 2, count=3)
        await _show(serving, 2, count=3)
        await _clear(serving, 1)

    visible = await read_visible(_interrupted(serving, flip), _KEY)

    assert isinstance(visible, VisibleDocument)
    assert [row.key for row in visible.rows] == row_keys(_KEY, 2, 3)


async def test_a_deletion_while_reading_gives_the_tombstone(serving: Serving) -> None:
    """Never half of it."""
    await _write(serving, 1)
    await _show(serving, 1)

    async def delete() -> None:
        await _show(serving, 2, deleted=True)
        await _clear(serving, 1)

    assert isinstance(await read_visible(_interrupted(serving, delete), _KEY), Manifest)


async def test_a_row_that_one_engine_lacks_comes_from_the_other(serving: Serving) -> None:
    """Each holds all of a row."""
    await _write(serving, 1)
    await _show(serving, 1)
    await serving.texts.delete(row_keys(_KEY, 1, 1))
    await serving.texts.make_searchable(row_keys(_KEY, 1, 1))

    visible = await read_visible(serving, _KEY)

    assert isinstance(visible, VisibleDocument)
    assert [row.text for row in visible.rows] == ["v1 chunk 0", "v1 chunk 1"]


async def test_rows_that_are_lost_are_not_passed_over(serving: Serving) -> None:
    """A document with a hole in it is no answer."""
    await _write(serving, 1)
    await _show(serving, 1)
    await _clear(serving, 1, count=1)

    with pytest.raises(Retryable, match="t/a@1#0"):
        await read_visible(serving, _KEY)


def test_stitching_cuts_overlaps_and_keeps_places() -> None:
    """`text[start:end]` is each chunk's text."""
    text = "One two three.\n\nFour five six. Seven."
    spans = [(0, 8), (4, 14), (16, 30), (25, 30), (31, 37)]
    rows = [replace(_row(1, n), text=text[start:end], start=start, end=end) for n, (start, end) in enumerate(spans)]

    assert stitched_text(rows) == "One two three.\n\nFour five six.\nSeven."
    assert stitched_text([]) == ""
