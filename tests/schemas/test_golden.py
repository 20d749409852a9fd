"""Golden files: bytes that Inver once wrote, and must read for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from schemas import codec
from schemas.chunk import Chunk, ChunkSet, Operation
from schemas.dead_letter import DeadLetter
from schemas.document import DocumentEvent
from schemas.embedding import EmbeddedChunkSet
from schemas.generation import CollectionRecord, GenerationConfig
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from schemas.manifest import Manifest, RowsOfVersion
from schemas.metadata import FieldType

GOLDEN = Path(__file__).parent.parent / "golden"
KEY = DocumentKey("acme", "handbook/é 1.md")
CHUNKS = ChunkSet(
    document=KEY,
    version=(1 << 48) | 7,
    operation=Operation.UPSERT,
    content_hash="c0ffee",
    title="Handbook",
    metadata={"year": 2026, "score": 0.5, "draft": False, "lang": "en", "tags": ("a", "b")},
    source="handbook.md",
    part=0,
    parts=1,
    row_count=2,
    chunks=(
        Chunk(ordinal=0, text="Waters meet.", prefix="Handbook", start=0, end=12, heading_path=("Rivers",), page=1),
        Chunk(ordinal=1, text="Étude.", prefix="Handbook", start=13, end=19),
    ),
    appended_at_ms=1_767_225_600_000,
    timings={"chunk": 0.25},
)
EVENT = DocumentEvent(
    key=KEY,
    version=42,
    title="Handbook",
    text="Waters meet.",
    media_type="text/markdown",
    metadata={"year": 2026, "since": datetime(2026, 1, 31, 12, tzinfo=UTC), "tags": ("a", "b")},
    source="handbook.md",
    occurred_at=datetime(2026, 2, 1, tzinfo=UTC),
)
RECORDS = {
    "document-event.upsert.json": (codec.encode_document_event, codec.decode_document_event, EVENT),
    "document-event.delete.json": (
        codec.encode_document_event,
        codec.decode_document_event,
        DocumentEvent(key=KEY, operation=Operation.DELETE, version=43),
    ),
    "chunk-set.json": (codec.encode_chunk_set, codec.decode_chunk_set, CHUNKS),
    "indexed.json": (
        codec.encode_indexed,
        codec.decode_indexed,
        Indexed(
            document=KEY,
            version=7,
            outcome=Outcome.FAILED,
            stage="chunk",
            reason="no_text_layer",
            detail="scan it",
            dead_letter_id="docs.documents/0/7",
            appended_at_ms=1,
            finished_at_ms=2,
            timings={"chunk": 0.25},
        ),
    ),
    "manifest.json": (
        codec.encode_manifest,
        codec.decode_manifest,
        Manifest(version=7, rows_version=5, row_count=2, content_hash="c0ffee", superseded=(RowsOfVersion(3, 4),)),
    ),
    "collection.json": (
        codec.encode_collection,
        codec.decode_collection,
        CollectionRecord(
            name="docs", generations={"g1": GenerationConfig(dimension=384)}, fields={"year": FieldType.NUMBER}
        ),
    ),
    "dead-letter.bin": (
        codec.encode_dead_letter,
        codec.decode_dead_letter,
        DeadLetter(
            topic="docs.documents",
            partition=0,
            offset=7,
            stage="chunk",
            reason="invalid_json",
            detail="not JSON",
            attempts=1,
            key=b"acme/a",
            value=b"\xff{",
            headers=(("traceparent", b"00-1"),),
            appended_at_ms=1,
            set_aside_at_ms=2,
        ),
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_what_was_written_once_is_read_for_ever(name):
    """Golden bytes decode to the value they were made from."""
    _, decode, value = RECORDS[name]

    assert value == decode((GOLDEN / name).read_bytes())


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_written_today_is_what_was_written(name):
    """A change of the bytes is a decision: it needs a new schema version, or a new golden file beside the old one."""
    encode, _, value = RECORDS[name]

    assert (GOLDEN / name).read_bytes() == encode(value)


def test_golden_vectors_are_read_for_ever():
    """The framed record with its float32 block keeps its layout."""
    vectors = np.array([[1.0, 0.0, 0.5], [0.0, -1.0, 0.25]], dtype=np.float32)
    golden = (GOLDEN / "embedded-chunk-set.bin").read_bytes()

    decoded = codec.decode_embedded_chunk_set(golden)

    assert golden == codec.encode_embedded_chunk_set(EmbeddedChunkSet(CHUNKS, "model@1", vectors))
    assert decoded.chunk_set == CHUNKS
    assert decoded.model_fingerprint == "model@1"
    np.testing.assert_array_equal(decoded.vectors, vectors)
