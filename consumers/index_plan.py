"""What the index stage should do about one document: a pure decision from its manifest and what has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engines.ports import ManifestChange
from schemas.chunk import ChunkSet, Operation
from schemas.embedding import EmbeddedChunkSet
from schemas.errors import Poison
from schemas.indexed import Outcome
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest, RowsOfVersion, StoredManifest
from streams.log import Record


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

    Invariants: no key of ``garbage`` belongs to the rows that ``change`` or the present manifest makes visible;
    ``change`` is decided from the very manifest whose token it presents.
    """

    document: DocumentKey
    #: Parts whose rows are to be written before the manifest moves.
    to_write: tuple[Incoming, ...] = ()
    #: Rows of the version about to become visible that earlier batches must have written.
    must_exist: tuple[str, ...] = ()
    #: The part that completes the version about to become visible.
    target: Incoming | None = None
    change: ManifestChange | None = None
    finished: tuple[tuple[Incoming, Outcome], ...] = ()
    refused: tuple[tuple[Incoming, Poison], ...] = ()
    #: Rows that no manifest will ever list.
    garbage: tuple[str, ...] = ()
    #: The manifest and token to clear when nothing moves but rows of superseded versions are still listed.
    leftovers: StoredManifest | None = None


def plan_document(
    document: DocumentKey, items: Sequence[Incoming], stored: StoredManifest | None, *, decided_before: bool = False
) -> Plan:
    """Decide. ``decided_before`` says that an earlier decision may have written rows that are no longer wanted."""
    current = None if stored is None else stored.manifest
    plan = Plan(document=document, leftovers=stored if current is not None and current.superseded else None)
    newer: list[Incoming] = []
    for item in items:
        if current is None or item.chunk_set.version > current.version:
            newer.append(item)
        elif item.chunk_set.version < current.version:
            plan = _finish_stale(plan, item, current, decided_before=decided_before)
        elif _same_content(item.chunk_set, current):
            plan = _finish(plan, item, Outcome.DELETED if current.deleted else Outcome.SEARCHABLE)
        else:
            plan = _refuse_reuse(plan, item)
    return _plan_newer(plan, newer, stored, decided_before=decided_before)


def _plan_newer(plan: Plan, newer: list[Incoming], stored: StoredManifest | None, *, decided_before: bool) -> Plan:
    current = None if stored is None else stored.manifest
    last_parts = [item for item in newer if item.chunk_set.is_last_part]
    if not last_parts:
        return replace(plan, to_write=tuple(newer))
    target = max(last_parts, key=lambda item: item.chunk_set.version)
    parts: list[Incoming] = []
    later: list[Incoming] = []
    for item in newer:
        if item.chunk_set.version > target.chunk_set.version:
            later.append(item)
        elif item.chunk_set.version < target.chunk_set.version:
            plan = _finish_stale(plan, item, current, decided_before=decided_before)
        elif item.chunk_set.content_hash == target.chunk_set.content_hash:
            parts.append(item)
        else:
            plan = _refuse_reuse(plan, item)
    version = target.chunk_set
    manifest = _next_manifest(version, current)
    change = ManifestChange(
        document=plan.document, manifest=manifest, expected=None if stored is None else stored.token
    )
    plan = replace(plan, target=target, change=change, to_write=tuple(later), leftovers=None)
    if version.operation is Operation.DELETE:
        return _finish(plan, target, Outcome.DELETED)
    if manifest.rows_version != version.version:
        own = _own_keys(version) if version.parts > 1 or decided_before else ()
        return replace(_finish(plan, target, Outcome.UNCHANGED), garbage=(*plan.garbage, *own))
    here = {ordinal.ordinal for item in parts for ordinal in item.chunk_set.chunks}
    keys = row_keys(plan.document, version.version, version.row_count)
    return replace(
        _finish(plan, target, Outcome.SEARCHABLE),
        to_write=(*parts, *later),
        must_exist=tuple(key for ordinal, key in enumerate(keys) if ordinal not in here),
    )


def superseded_keys(manifest: Manifest, document: DocumentKey) -> list[str]:
    """Name every row that superseded versions left behind."""
    return [key for old in manifest.superseded for key in row_keys(document, old.version, old.row_count)]


def cleared(manifest: Manifest) -> Manifest:
    """Return the manifest without its list of superseded rows, once they are deleted."""
    return replace(manifest, superseded=())


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


def own_keys(item: Incoming) -> tuple[str, ...]:
    """Name every row a version has, whichever of its parts brought them."""
    return _own_keys(item.chunk_set)


def _own_keys(version: ChunkSet) -> tuple[str, ...]:
    return tuple(row_keys(version.document, version.version, version.row_count))


def _next_manifest(version: ChunkSet, current: Manifest | None) -> Manifest:
    superseded = () if current is None else current.superseded
    if version.operation is Operation.UPSERT and current is not None and _has_rows_of(current, version):
        return replace(current, version=version.version)
    if current is not None and current.row_count:
        superseded = (*superseded, RowsOfVersion(current.rows_version, current.row_count))
    deleted = version.operation is Operation.DELETE
    return Manifest(
        version=version.version,
        rows_version=0 if deleted else version.version,
        row_count=0 if deleted else version.row_count,
        content_hash=version.content_hash,
        superseded=superseded,
        deleted=deleted,
    )


def _has_rows_of(current: Manifest, version: ChunkSet) -> bool:
    return not current.deleted and current.content_hash == version.content_hash


def _same_content(version: ChunkSet, current: Manifest) -> bool:
    return (version.operation is Operation.DELETE) == current.deleted and version.content_hash == current.content_hash


def _finish(plan: Plan, item: Incoming, outcome: Outcome) -> Plan:
    if not item.chunk_set.is_last_part:
        return plan
    return replace(plan, finished=(*plan.finished, (item, outcome)))


def _finish_stale(plan: Plan, item: Incoming, current: Manifest | None, *, decided_before: bool) -> Plan:
    plan = _finish(plan, item, Outcome.STALE)
    may_have_rows = item.chunk_set.parts > 1 or decided_before
    if not may_have_rows or (current is not None and current.rows_version == item.chunk_set.version):
        return plan
    return replace(plan, garbage=(*plan.garbage, *_own_keys(item.chunk_set)))


def _refuse_reuse(plan: Plan, item: Incoming) -> Plan:
    poison = Poison(
        "version_reused",
        f"version {item.chunk_set.version} is already in with other content: a version names one content for ever; "
        "send the new content under a higher version",
    )
    return replace(plan, refused=(*plan.refused, (item, poison)))
