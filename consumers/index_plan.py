"""What the index stage should do about one document: a pure decision from its manifest and what has arrived.

Whatever rows outlive a batch are named by the document's manifest: those of the visible version, those of superseded
versions, and those of newer versions that are not whole yet. Rows are deleted only where no manifest can ever make
them visible: their version is not above the manifest's, which only rises, and it is not the one that is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engines.ports import ManifestChange
from schemas.chunk import ChunkSet, Operation
from schemas.embedding import EmbeddedChunkSet
from schemas.errors import Poison
from schemas.indexed import Outcome
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest, RowsOfVersion, StoredManifest
from streams.log import Record

#: What is true of a document of which no version was ever whole: nothing is shown.
_NOTHING: Final = Manifest(version=0, rows_version=0, row_count=0, content_hash="", deleted=True)


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """One part of one document version, with the record it came in."""

    record: Record
    embedded: EmbeddedChunkSet

    @property
    def chunk_set(self) -> ChunkSet:
        """Return the part without its vectors."""
        return self.embedded.chunk_set


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What to do about one document.

    Invariants: no key of ``garbage`` belongs to rows that ``change``, the present manifest or any later one makes
    visible; ``change`` is decided from ``stored`` and presents its token; ``change`` lists the rows of everything in
    ``to_write`` that it does not make visible.
    """

    document: DocumentKey
    #: The manifest that the plan was decided from.
    stored: StoredManifest | None
    #: Parts whose rows are to be written before the manifest moves.
    to_write: tuple[Incoming, ...] = ()
    #: Rows of the version about to become visible that earlier batches must have written.
    must_exist: tuple[str, ...] = ()
    #: The part that completes the version about to take effect.
    target: Incoming | None = None
    change: ManifestChange | None = None
    finished: tuple[tuple[Incoming, Outcome], ...] = ()
    refused: tuple[tuple[Incoming, Poison], ...] = ()
    #: Rows that a writer who was interrupted may have left, and that no manifest will ever show.
    garbage: tuple[str, ...] = ()

    @property
    def leftovers(self) -> StoredManifest | None:
        """Return the manifest to clear when it does not move, but still lists rows that are to be deleted."""
        if self.change is not None or self.stored is None or not superseded_keys(self.stored.manifest, self.document):
            return None
        return self.stored


def plan_document(document: DocumentKey, items: Sequence[Incoming], stored: StoredManifest | None) -> Plan:
    """Decide."""
    current = None if stored is None else stored.manifest
    plan = Plan(document=document, stored=stored)
    newer: list[Incoming] = []
    for item in items:
        if current is None or item.chunk_set.version > current.version:
            newer.append(item)
        elif item.chunk_set.version < current.version:
            plan = _finish_stale(plan, item)
        elif _same_content(item.chunk_set, current):
            plan = _finish(plan, item, Outcome.DELETED if current.deleted else Outcome.SEARCHABLE)
            plan = _discard(plan, item)
        else:
            plan = _refuse_reuse(plan, item)
    return _plan_newer(plan, newer)


def without_target(plan: Plan, poison: Poison) -> Plan:
    """Return what is left of a plan whose target must not take effect: it is refused, and its rows stay listed.

    They are not deleted: the lost part may come again, and another writer may be completing this very version.
    """
    if plan.target is None:
        return plan
    return Plan(
        document=plan.document,
        stored=plan.stored,
        change=_listing_only(plan, [plan.target]),
        refused=((plan.target, poison),),
    )


def unfinished(plan: Plan) -> ManifestChange | None:
    """Return the change that lists the rows a plan began to write and will not make visible; None if it is made."""
    return _listing_only(plan, plan.to_write)


def incomplete(plan: Plan, absent: set[str]) -> Poison | None:
    """Say why a version must not become visible: rows that an earlier part should have brought are not there."""
    lacking = [key for key in plan.must_exist if key in absent]
    if not lacking or plan.target is None:
        return None
    return Poison(
        "part_missing",
        f"version {plan.target.chunk_set.version} lacks {len(lacking)} of {plan.target.chunk_set.row_count} rows, the "
        f"first is {lacking[0]!r}: an earlier part of it went to the dead letters; send the document again",
    )


def superseded_keys(manifest: Manifest, document: DocumentKey) -> list[str]:
    """Name every row that is listed and can never be shown again."""
    return [
        key
        for old in manifest.superseded
        if _is_superseded(old, manifest)
        for key in row_keys(document, old.version, old.row_count)
    ]


def cleared(manifest: Manifest) -> Manifest:
    """Return the manifest without the rows it need no longer list, once they are deleted."""
    return replace(manifest, superseded=tuple(old for old in manifest.superseded if not _is_superseded(old, manifest)))


def _is_superseded(old: RowsOfVersion, manifest: Manifest) -> bool:
    return old.version <= manifest.version and old.version != manifest.rows_version


def _plan_newer(plan: Plan, newer: list[Incoming]) -> Plan:
    last_parts = [item for item in newer if item.chunk_set.is_last_part]
    if not last_parts:
        return replace(plan, to_write=tuple(newer), change=_listing_only(plan, newer))
    target = max(last_parts, key=lambda item: item.chunk_set.version)
    parts: list[Incoming] = []
    later: list[Incoming] = []
    for item in newer:
        if item.chunk_set.version > target.chunk_set.version:
            later.append(item)
        elif item.chunk_set.version < target.chunk_set.version:
            plan = _finish_stale(plan, item)
        elif item.chunk_set.content_hash == target.chunk_set.content_hash:
            parts.append(item)
        else:
            plan = _refuse_reuse(plan, item)
    version = target.chunk_set
    manifest = _next_manifest(version, None if plan.stored is None else plan.stored.manifest)
    plan = replace(plan, target=target, change=_change(plan, _listing(manifest, later)), to_write=tuple(later))
    if version.operation is Operation.DELETE:
        return _finish(plan, target, Outcome.DELETED)
    if manifest.rows_version != version.version:
        return _discard(_finish(plan, target, Outcome.UNCHANGED), target)
    return _plan_rows(_finish(plan, target, Outcome.SEARCHABLE), version, parts)


def _plan_rows(plan: Plan, version: ChunkSet, parts: Sequence[Incoming]) -> Plan:
    here = {chunk.ordinal for item in parts for chunk in item.chunk_set.chunks}
    keys = row_keys(plan.document, version.version, version.row_count)
    return replace(
        plan,
        to_write=(*parts, *plan.to_write),
        must_exist=tuple(key for ordinal, key in enumerate(keys) if ordinal not in here),
        garbage=(*plan.garbage, *_keys_beyond(plan, version)),
    )


def _keys_beyond(plan: Plan, version: ChunkSet) -> list[str]:
    """Name the rows that other content under the same version left behind the last row of this one."""
    listed = () if plan.stored is None else plan.stored.manifest.superseded
    rows = max((old.row_count for old in listed if old.version == version.version), default=0)
    return row_keys(plan.document, version.version, rows)[version.row_count :]


def _next_manifest(version: ChunkSet, current: Manifest | None) -> Manifest:
    if version.operation is Operation.UPSERT and current is not None and _has_rows_of(current, version):
        return replace(current, version=version.version)
    deleted = version.operation is Operation.DELETE
    listed = [] if current is None else [*current.superseded, RowsOfVersion(current.rows_version, current.row_count)]
    return Manifest(
        version=version.version,
        rows_version=0 if deleted else version.version,
        row_count=0 if deleted else version.row_count,
        content_hash=version.content_hash,
        superseded=_listed(old for old in listed if deleted or old.version != version.version),
        deleted=deleted,
    )


def _listing_only(plan: Plan, items: Iterable[Incoming]) -> ManifestChange | None:
    """Return the change that shows what is shown now and lists these rows too; None where they are listed."""
    current = _NOTHING if plan.stored is None else plan.stored.manifest
    listing = _listing(current, items)
    return None if listing == current else _change(plan, listing)


def _listing(manifest: Manifest, items: Iterable[Incoming]) -> Manifest:
    coming = (RowsOfVersion(item.chunk_set.version, item.chunk_set.row_count) for item in items)
    return replace(manifest, superseded=_listed([*manifest.superseded, *coming]))


def _listed(rows: Iterable[RowsOfVersion]) -> tuple[RowsOfVersion, ...]:
    """Name each version once, with the most rows it ever had."""
    count: dict[int, int] = {}
    for old in rows:
        count[old.version] = max(old.row_count, count.get(old.version, 0))
    return tuple(RowsOfVersion(version, rows) for version, rows in sorted(count.items()) if rows)


def _change(plan: Plan, manifest: Manifest) -> ManifestChange:
    expected = None if plan.stored is None else plan.stored.token
    return ManifestChange(document=plan.document, manifest=manifest, expected=expected)


def _has_rows_of(current: Manifest, version: ChunkSet) -> bool:
    return not current.deleted and current.content_hash == version.content_hash


def _same_content(version: ChunkSet, current: Manifest) -> bool:
    return (version.operation is Operation.DELETE) == current.deleted and version.content_hash == current.content_hash


def _finish(plan: Plan, item: Incoming, outcome: Outcome) -> Plan:
    if not item.chunk_set.is_last_part:
        return plan
    return replace(plan, finished=(*plan.finished, (item, outcome)))


def _finish_stale(plan: Plan, item: Incoming) -> Plan:
    return _discard(_finish(plan, item, Outcome.STALE), item)


def _discard(plan: Plan, item: Incoming) -> Plan:
    """Discard the rows of a version that is not shown and never will be, since the manifest is past it.

    Only a writer that was interrupted between rows and manifest has left any; whether one did, nobody remembers.
    """
    version = item.chunk_set
    if plan.stored is not None and plan.stored.manifest.rows_version == version.version:
        return plan
    return replace(plan, garbage=(*plan.garbage, *row_keys(version.document, version.version, version.row_count)))


def _refuse_reuse(plan: Plan, item: Incoming) -> Plan:
    poison = Poison(
        "version_reused",
        f"version {item.chunk_set.version} is already in with other content: a version names one content for ever; "
        "send the new content under a higher version",
    )
    return replace(plan, refused=(*plan.refused, (item, poison)))
