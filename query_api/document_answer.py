"""Documents as they are answered: a visible one, the status of any, and what became of those that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from query_api.documents import VisibleDocument
from query_api.metadata_answer import MetadataAnswer, metadata_answer
from query_api.problems import ProblemAnswer
from schemas.keys import DocumentKey
from schemas.metadata import FieldType
from schemas.row import Row
from schemas.status import DocumentState, DocumentStatus


class AcceptedAnswer(TypedDict):
    """An event that stands durably in the log; ``status`` is the address that tells when it is searchable."""

    id: str
    tenant: str
    version: int
    status: str


class ItemAnswer(TypedDict):
    """What became of one line: its version, or the problem with it."""

    line: int
    id: NotRequired[str]
    tenant: NotRequired[str]
    status: int
    version: NotRequired[int]
    problem: NotRequired[ProblemAnswer]


class BulkAnswer(TypedDict):
    """What became of every line that was not blank, in order."""

    items: list[ItemAnswer]
    accepted: int
    failed: int


class ChunkAnswer(TypedDict):
    """One chunk: ``text`` is what stands from ``start`` to ``end`` in the document's extracted text."""

    ordinal: int
    start: int
    end: int
    text: str
    heading_path: list[str]
    page: int | None


class DocumentAnswer(TypedDict):
    """A visible document; its text is put together from its chunks, with line ends for what lies between two."""

    id: str
    tenant: str
    version: int
    title: str
    text: str
    source: str
    metadata: MetadataAnswer
    chunks: list[ChunkAnswer]


class StatusAnswer(TypedDict):
    """Where a document stands: its newest version known, the one that is being served, and seconds by stage."""

    id: str
    tenant: str
    state: DocumentState
    version: int | None
    searchable_version: int | None
    row_count: int
    stage: str
    reason: str
    detail: str
    dead_letter_id: str
    appended_at_ms: int | None
    finished_at_ms: int | None
    timings: dict[str, float]


class StatusesAnswer(TypedDict):
    """One status for each id, in the order of the ids."""

    statuses: list[StatusAnswer]


def document_answer(
    document: DocumentKey, visible: VisibleDocument, *, fields: Mapping[str, FieldType]
) -> DocumentAnswer:
    """Write a visible document."""
    first = visible.rows[0] if visible.rows else None
    return {
        "id": document.id,
        "tenant": document.tenant,
        "version": visible.manifest.version,
        "title": "" if first is None else first.title,
        "text": stitched_text(visible.rows),
        "source": "" if first is None else first.source,
        "metadata": {} if first is None else metadata_answer(first.metadata, fields),
        "chunks": [_chunk(row) for row in visible.rows],
    }


def stitched_text(rows: Sequence[Row]) -> str:
    """Put a document's text together from chunks that overlap, so that ``text[start:end]`` is each chunk's text.

    Only what no chunk holds, which is white space, is not known any more: it is written as line ends.
    """
    parts: list[str] = []
    end = 0
    for row in rows:
        parts += ["\n" * (row.start - end), row.text[max(end - row.start, 0) :]]
        end = max(end, row.end)
    return "".join(parts)


def _chunk(row: Row) -> ChunkAnswer:
    return {
        "ordinal": row.ordinal,
        "start": row.start,
        "end": row.end,
        "text": row.text,
        "heading_path": list(row.heading_path),
        "page": row.page,
    }


def status_answer(status: DocumentStatus) -> StatusAnswer:
    """Write a document's status."""
    return {
        "id": status.document.id,
        "tenant": status.document.tenant,
        "state": status.state,
        "version": status.version,
        "searchable_version": status.searchable_version,
        "row_count": status.row_count,
        "stage": status.stage,
        "reason": status.reason,
        "detail": status.detail,
        "dead_letter_id": status.dead_letter_id,
        "appended_at_ms": status.appended_at_ms or None,
        "finished_at_ms": status.finished_at_ms or None,
        "timings": dict(status.timings),
    }
