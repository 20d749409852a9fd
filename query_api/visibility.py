"""Visibility: of the rows the engines found, keep those that a manifest vouches for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from query_api.fusion import FusedRow
from schemas.keys import DocumentKey, RowKey, parse_row_key
from schemas.manifest import StoredManifest


@dataclass(frozen=True, slots=True)
class Found:
    """A fused row with its key taken apart."""

    key: str
    score: float
    row: RowKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The visible rows of one page, and the documents that moved while the query ran.

    ``overtaken`` names documents, with the version they show now, of which only older rows were found: they were
    flipped between the engines' answers and the manifests', so that asking again finds them in their new version.
    """

    visible: tuple[Found, ...]
    overtaken: frozenset[tuple[DocumentKey, int]]
    full: bool


def take_apart(fused: Sequence[FusedRow]) -> list[Found]:
    """Parse the keys of fused rows, best first."""
    return [Found(row.key, row.score, parse_row_key(row.key)) for row in fused]


def first_of_each_document(fused: Sequence[FusedRow]) -> list[FusedRow]:
    """Keep each document's best row of each version: a version that is not visible must not hide the one that is."""
    seen: set[str] = set()
    kept: list[FusedRow] = []
    for row in fused:
        # Everything before the ordinal names the version; taking hundreds of keys apart for this would cost most.
        version = row.key.rpartition("#")[0]
        if version not in seen:
            seen.add(version)
            kept.append(row)
    return kept


def is_visible(row: RowKey, stored: StoredManifest | None) -> bool:
    """Decide for one row."""
    if stored is None or stored.manifest.deleted or stored.manifest.rows_version != row.version:
        return False
    # Rows beyond the count are what a longer content under the same version, refused since, left behind.
    return row.ordinal < stored.manifest.row_count


def shown_version(row: RowKey, stored: StoredManifest | None) -> int | None:
    """Return the version the row's document shows, if that is a newer one than the row's."""
    if stored is None or stored.manifest.deleted or stored.manifest.rows_version <= row.version:
        return None
    return stored.manifest.rows_version


def visible_page(found: Sequence[Found], manifests: Mapping[DocumentKey, StoredManifest], *, size: int) -> Page:
    """Fill a page from rows whose manifests were read."""
    visible: list[Found] = []
    overtaken: dict[DocumentKey, int] = {}
    for item in found:
        stored = manifests.get(item.row.document)
        if is_visible(item.row, stored):
            visible.append(item)
            if len(visible) == size:
                break
        elif (version := shown_version(item.row, stored)) is not None:
            overtaken[item.row.document] = version
    for item in visible:
        overtaken.pop(item.row.document, None)
    return Page(visible=tuple(visible), overtaken=frozenset(overtaken.items()), full=len(visible) == size)
