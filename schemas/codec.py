"""Bytes to values and back, for every record and stored document; bytes of an unknown schema version are refused.

Every record names its ``schema`` version. Fields a reader does not know are left alone, so that a newer writer may add
some; a changed meaning needs a new version and an upcaster here.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from schemas.chunk import ChunkSet
from schemas.dead_letter import DeadLetter
from schemas.document import DocumentEvent, event_to_json, parse_document_event
from schemas.embedding import EmbeddedChunkSet
from schemas.errors import DecodeError
from schemas.generation import CollectionRecord
from schemas.indexed import Indexed
from schemas.manifest import Manifest

Value = TypeVar("Value")

_SCHEMA: Final = 1
_SCHEMA_START: Final = b'{"schema":1,'
_LENGTH: Final = struct.Struct("<I")
#: Vectors start on this boundary, so that numpy reads them in place.
_ALIGNMENT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _EmbeddedHeader:
    model_fingerprint: str
    rows: int
    dimension: int
    chunk_set: ChunkSet


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeadLetterHeader:
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    detail: str
    attempts: int
    headers: tuple[tuple[str, str], ...]
    key_bytes: int | None
    value_bytes: int | None
    appended_at_ms: int = 0
    set_aside_at_ms: int = 0
    value_uri: str = ""


_CHUNK_SETS: Final = TypeAdapter(ChunkSet)
_EMBEDDED_HEADERS: Final = TypeAdapter(_EmbeddedHeader)
_DEAD_LETTER_HEADERS: Final = TypeAdapter(_DeadLetterHeader)
_INDEXED: Final = TypeAdapter(Indexed)
_MANIFESTS: Final = TypeAdapter(Manifest)
_COLLECTIONS: Final = TypeAdapter(CollectionRecord)


def encode_document_event(event: DocumentEvent) -> bytes:
    """Write an event as the ``documents`` topic carries it."""
    return orjson.dumps(event_to_json(event))


def decode_document_event(value: bytes, *, refuse_unknown_fields: bool = False) -> DocumentEvent:
    """Read an event. Raises DecodeError for bytes that are no JSON, InvalidField for a field that breaks its rule."""
    try:
        raw = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"the event is not JSON in UTF-8: {error}", reason="invalid_json") from None
    return parse_document_event(raw, refuse_unknown_fields=refuse_unknown_fields)


def encode_chunk_set(chunk_set: ChunkSet) -> bytes:
    """Write a part of a document version on its way to the embedder."""
    return _encode(_CHUNK_SETS, chunk_set)


def decode_chunk_set(value: bytes) -> ChunkSet:
    """Read a chunk set. Raises DecodeError."""
    return _decode(_CHUNK_SETS, value, "chunk set")


def encode_embedded_chunk_set(embedded: EmbeddedChunkSet) -> bytes:
    """Write length, header, padding and one contiguous little-endian float32 block."""
    vectors = np.ascontiguousarray(embedded.vectors, dtype="<f4")
    if vectors.shape[:1] != (len(embedded.chunk_set.chunks),):
        raise ValueError(f"{vectors.shape} vectors for {len(embedded.chunk_set.chunks)} chunks")
    rows, dimension = vectors.shape
    header = _encode(
        _EMBEDDED_HEADERS,
        _EmbeddedHeader(
            model_fingerprint=embedded.model_fingerprint,
            rows=rows,
            dimension=dimension,
            chunk_set=embedded.chunk_set,
        ),
    )
    return b"".join((_LENGTH.pack(len(header)), header, bytes(_padding(len(header))), vectors.tobytes()))


def decode_embedded_chunk_set(value: bytes) -> EmbeddedChunkSet:
    """Read an embedded chunk set; its vectors are a read-only view of ``value``. Raises DecodeError."""
    header_bytes, body = _open_frame(value, "embedded chunk set")
    header = _decode(_EMBEDDED_HEADERS, header_bytes, "embedded chunk set")
    rows, dimension, chunk_set = header.rows, header.dimension, header.chunk_set
    body = body[_padding(len(header_bytes)) :]
    if len(body) != rows * dimension * 4:
        raise DecodeError(f"an embedded chunk set of {rows} vectors of {dimension} carries {len(body)} bytes of them")
    vectors = np.frombuffer(body, dtype="<f4").reshape(rows, dimension)
    if len(chunk_set.chunks) != rows:
        raise DecodeError(f"an embedded chunk set carries {rows} vectors for {len(chunk_set.chunks)} chunks")
    return EmbeddedChunkSet(chunk_set, header.model_fingerprint, vectors)


def encode_indexed(indexed: Indexed) -> bytes:
    """Write the fact that a document version is finished."""
    return _encode(_INDEXED, indexed)


def decode_indexed(value: bytes) -> Indexed:
    """Read such a fact. Raises DecodeError."""
    return _decode(_INDEXED, value, "indexed fact")


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as stores keep it."""
    return _encode(_MANIFESTS, manifest)


def decode_manifest(value: bytes) -> Manifest:
    """Read a manifest. Raises DecodeError."""
    return _decode(_MANIFESTS, value, "manifest")


def encode_collection(record: CollectionRecord) -> bytes:
    """Write a catalog record as stores keep it."""
    return _encode(_COLLECTIONS, record)


def decode_collection(value: bytes) -> CollectionRecord:
    """Read a catalog record. Raises DecodeError."""
    return _decode(_COLLECTIONS, value, "catalog record")


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Write length, header, then the original key and value, byte for byte."""
    header = _DeadLetterHeader(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        stage=letter.stage,
        reason=letter.reason,
        detail=letter.detail,
        attempts=letter.attempts,
        appended_at_ms=letter.appended_at_ms,
        set_aside_at_ms=letter.set_aside_at_ms,
        value_uri=letter.value_uri,
        headers=tuple((name, base64.b64encode(value).decode()) for name, value in letter.headers),
        key_bytes=None if letter.key is None else len(letter.key),
        value_bytes=None if letter.value is None else len(letter.value),
    )
    encoded = _encode(_DEAD_LETTER_HEADERS, header)
    return b"".join((_LENGTH.pack(len(encoded)), encoded, letter.key or b"", letter.value or b""))


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Read a dead letter. Raises DecodeError."""
    header_bytes, body = _open_frame(value, "dead letter")
    header = _decode(_DEAD_LETTER_HEADERS, header_bytes, "dead letter")
    split = header.key_bytes or 0
    if len(body) != split + (header.value_bytes or 0):
        raise DecodeError("a dead letter's lengths do not fit its bytes")
    return DeadLetter(
        topic=header.topic,
        partition=header.partition,
        offset=header.offset,
        stage=header.stage,
        reason=header.reason,
        detail=header.detail,
        attempts=header.attempts,
        appended_at_ms=header.appended_at_ms,
        set_aside_at_ms=header.set_aside_at_ms,
        value_uri=header.value_uri,
        headers=tuple((name, base64.b64decode(encoded)) for name, encoded in header.headers),
        key=None if header.key_bytes is None else bytes(body[:split]),
        value=None if header.value_bytes is None else bytes(body[split:]),
    )


def _encode(adapter: TypeAdapter[Value], value: Value) -> bytes:
    return _SCHEMA_START + adapter.dump_json(value)[1:]


def _decode(adapter: TypeAdapter[Value], value: bytes, kind: str) -> Value:
    if not value.startswith(_SCHEMA_START):
        _refuse_schema(value, kind)
    try:
        return adapter.validate_json(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise DecodeError(f"not a {kind}: {place}: {first['msg']}") from None


def _refuse_schema(value: bytes, kind: str) -> None:
    try:
        raw = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"not a {kind}: {error}") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != _SCHEMA:
        raise DecodeError(
            f"a {kind} of schema {schema!r}: this Inver reads {_SCHEMA}; upgrade it first", reason="unknown_schema"
        )


def _open_frame(value: bytes, kind: str) -> tuple[bytes, memoryview]:
    if len(value) < _LENGTH.size:
        raise DecodeError(f"not a {kind}: {len(value)} bytes")
    (length,) = _LENGTH.unpack_from(value)
    if _LENGTH.size + length > len(value):
        raise DecodeError(f"not a {kind}: its header claims {length} of {len(value)} bytes")
    return value[_LENGTH.size : _LENGTH.size + length], memoryview(value)[_LENGTH.size + length :]


def _padding(header_length: int) -> int:
    return -(_LENGTH.size + header_length) % _ALIGNMENT
