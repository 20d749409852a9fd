"""Hypothesis strategies for every record type."""

from __future__ import annotations

from datetime import UTC

import numpy as np
from hypothesis import strategies as st

from schemas.chunk import Chunk, ChunkSet, Operation
from schemas.dead_letter import DeadLetter
from schemas.document import DocumentEvent
from schemas.embedding import EmbeddedChunkSet
from schemas.generation import Chunking, ChunkStrategy, CollectionRecord, GenerationConfig, VersionSource
from schemas.indexed import Indexed, Outcome
from schemas.keys import DocumentKey
from schemas.manifest import Manifest, RowsOfVersion
from schemas.metadata import FieldType, filterable

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
visible_text = text.filter(lambda value: bool(value.strip()))
key_part = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x7f"), min_size=1, max_size=20)
keys = st.builds(DocumentKey, key_part, key_part)
versions = st.integers(1, 2**63 - 1)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,10}", fullmatch=True)
metadata_values = st.one_of(
    text,
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(text, max_size=4).map(tuple),
    st.datetimes(timezones=st.just(UTC)),
)
metadata = st.dictionaries(names, metadata_values, max_size=5)
bodies = st.one_of(
    visible_text.map(lambda value: {"text": value}),
    st.binary(min_size=1, max_size=50).map(lambda value: {"content": value, "media_type": "application/pdf"}),
    st.binary(min_size=32, max_size=32).map(
        lambda value: {"content_uri": f"blob:{value.hex()}", "content_sha256": value.hex()}
    ),
)


@st.composite
def events(draw: st.DrawFn) -> DocumentEvent:
    """Any document event."""
    common = {
        "key": draw(keys),
        "version": draw(st.none() | versions),
        "metadata": draw(metadata),
        "source": draw(text),
        "occurred_at": draw(st.none() | st.datetimes(timezones=st.just(UTC))),
    }
    if draw(st.booleans()):
        return DocumentEvent(operation=Operation.DELETE, **common)
    return DocumentEvent(title=" ".join(draw(text).split()), **draw(bodies), **common)


chunks = st.builds(
    Chunk,
    ordinal=st.integers(0, 1000),
    text=text,
    prefix=text,
    start=st.integers(0, 10**9),
    end=st.integers(0, 10**9),
    heading_path=st.lists(text, max_size=3).map(tuple),
    page=st.none() | st.integers(1, 10_000),
)
chunk_sets = st.builds(
    ChunkSet,
    document=keys,
    version=versions,
    operation=st.sampled_from(Operation),
    content_hash=text,
    title=text,
    metadata=metadata.map(filterable),
    source=text,
    part=st.integers(0, 9),
    parts=st.integers(1, 10),
    row_count=st.integers(0, 10**6),
    chunks=st.lists(chunks, max_size=4).map(tuple),
    appended_at_ms=st.integers(0, 2**53),
    timings=st.dictionaries(st.sampled_from(["chunk", "embed"]), st.floats(0, 1000)),
)


@st.composite
def embedded_chunk_sets(draw: st.DrawFn) -> EmbeddedChunkSet:
    """A chunk set with vectors of a small dimension."""
    chunk_set = draw(chunk_sets)
    dimension = draw(st.integers(1, 9))
    numbers = draw(
        st.lists(
            st.floats(-1, 1, width=32),
            min_size=len(chunk_set.chunks) * dimension,
            max_size=len(chunk_set.chunks) * dimension,
        )
    )
    vectors = np.array(numbers, dtype=np.float32).reshape(len(chunk_set.chunks), dimension)
    return EmbeddedChunkSet(chunk_set, draw(text), vectors)


indexed = st.builds(
    Indexed,
    document=keys,
    version=st.none() | versions,
    outcome=st.sampled_from(Outcome),
    row_count=st.integers(0, 10**6),
    stage=text,
    reason=text,
    detail=text,
    dead_letter_id=text,
    appended_at_ms=st.integers(0, 2**53),
    finished_at_ms=st.integers(0, 2**53),
    timings=st.dictionaries(text, st.floats(0, 1000), max_size=3),
)
manifests = st.builds(
    Manifest,
    version=versions,
    rows_version=versions,
    row_count=st.integers(0, 10**6),
    content_hash=text,
    superseded=st.lists(st.builds(RowsOfVersion, versions, st.integers(0, 10**6)), max_size=3).map(tuple),
    deleted=st.booleans(),
)
dead_letters = st.builds(
    DeadLetter,
    topic=text,
    partition=st.integers(0, 100),
    offset=st.integers(0, 2**62),
    stage=text,
    reason=text,
    detail=text,
    attempts=st.integers(1, 100),
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(text, st.binary(max_size=10)), max_size=3).map(tuple),
    appended_at_ms=st.integers(0, 2**53),
    set_aside_at_ms=st.integers(0, 2**53),
    value_uri=text,
)
collections = st.builds(
    CollectionRecord,
    name=st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
    version_source=st.sampled_from(VersionSource),
    epoch=st.integers(1, 100),
    partitions=st.integers(1, 100),
    live=st.just("g1"),
    previous=st.none() | st.just("g0"),
    building=st.none(),
    generations=st.dictionaries(
        st.just("g1"),
        st.builds(
            GenerationConfig,
            model=text,
            model_fingerprint=text,
            dimension=st.integers(0, 4096),
            chunking=st.builds(Chunking, strategy=st.sampled_from(ChunkStrategy), max_tokens=st.integers(1, 999)),
        ),
    ),
    fields=st.dictionaries(names, st.sampled_from(FieldType), max_size=4),
    log_identity=text,
)
