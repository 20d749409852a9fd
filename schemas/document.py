"""Document events: the public contract of the ``documents`` topic, checked field by field."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from schemas.chunk import Operation
from schemas.errors import DecodeError, InvalidField
from schemas.keys import VERSION_LIMIT, DocumentKey, validate_key
from schemas.metadata import MetadataValue, metadata_to_json, parse_metadata, parse_moment

SCHEMA_VERSION: Final = 1
DEFAULT_TENANT: Final = "default"
BODY_FIELDS: Final = ("text", "content", "content_uri")
KNOWN_FIELDS: Final = frozenset(
    {"schema", "op", "tenant", "id", "version", "title", "content_sha256", "media_type", "metadata", "source"}
    | {"occurred_at", *BODY_FIELDS}
)
TITLE_LIMIT_BYTES: Final = 8_192
SOURCE_LIMIT_BYTES: Final = 8_192
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEvent:
    """One change to one document. An upsert carries exactly one of ``text``, ``content`` and ``content_uri``."""

    key: DocumentKey
    operation: Operation = Operation.UPSERT
    version: int | None = None
    title: str = ""
    text: str | None = None
    content: bytes | None = None
    content_uri: str | None = None
    content_sha256: str | None = None
    media_type: str = "text/plain"
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    source: str = ""
    occurred_at: datetime | None = None


def parse_document_event(raw: object, *, refuse_unknown_fields: bool = False) -> DocumentEvent:
    """Check a decoded JSON event and give it its type.

    Readers of the log leave fields they do not know alone, so that newer producers can add some; the HTTP edge
    refuses them, because there they are mistakes. Raises InvalidField or DecodeError.
    """
    if not isinstance(raw, Mapping):
        raise DecodeError(f"an event must be a JSON object, not {type(raw).__name__}")
    _check_schema(raw.get("schema"))
    unknown = sorted(str(name) for name in raw if name not in KNOWN_FIELDS)
    if refuse_unknown_fields and unknown:
        raise InvalidField(unknown[0], raw[unknown[0]], f"it is not a field of an event; known: {sorted(KNOWN_FIELDS)}")
    key = DocumentKey(_string(raw, "tenant", DEFAULT_TENANT), _required_string(raw, "id"))
    validate_key(key)
    operation = _operation(raw.get("op"))
    occurred_at, metadata = raw.get("occurred_at"), raw.get("metadata")
    event = DocumentEvent(
        key=key,
        operation=operation,
        version=_version(raw.get("version")),
        metadata=parse_metadata(metadata) if metadata is not None else {},
        source=_source(raw),
        occurred_at=parse_moment("occurred_at", occurred_at) if occurred_at is not None else None,
    )
    given = [name for name in BODY_FIELDS if raw.get(name) is not None]
    if operation is Operation.UPSERT:
        return _with_body(replace(event, title=_title(raw)), raw, given)
    if given:
        raise InvalidField(given[0], raw[given[0]], "a delete carries no content; leave it out")
    return event


def event_to_json(event: DocumentEvent) -> dict[str, object]:
    """Write an event in the form ``parse_document_event`` reads; what is absent is left out."""
    content = base64.b64encode(event.content).decode() if event.content is not None else None
    optional: dict[str, object | None] = {
        "version": event.version,
        "title": event.title or None,
        "text": event.text,
        "content": content,
        "content_uri": event.content_uri,
        "content_sha256": event.content_sha256,
        "media_type": event.media_type if event.operation is Operation.UPSERT else None,
        "metadata": metadata_to_json(event.metadata) or None,
        "source": event.source or None,
        "occurred_at": event.occurred_at.isoformat() if event.occurred_at is not None else None,
    }
    identity = {"schema": SCHEMA_VERSION, "op": event.operation.value, "tenant": event.key.tenant, "id": event.key.id}
    return identity | {name: value for name, value in optional.items() if value is not None}


def _check_schema(schema: object) -> None:
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise InvalidField("schema", schema, f"it must be the integer {SCHEMA_VERSION}")
    if schema != SCHEMA_VERSION:
        raise InvalidField(
            "schema", schema, f"this Inver reads version {SCHEMA_VERSION}; upgrade Inver first", reason="unknown_schema"
        )


def _operation(raw: object) -> Operation:
    if raw == "upsert":
        return Operation.UPSERT
    if raw == "delete":
        return Operation.DELETE
    raise InvalidField("op", raw, "it must be 'upsert' or 'delete'", reason="unknown_operation")


def _version(raw: object) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 < raw < VERSION_LIMIT:
        raise InvalidField("version", raw, f"it must be an integer from 1 to {VERSION_LIMIT - 1}")
    return raw


def _with_body(event: DocumentEvent, raw: Mapping[str, object], given: list[str]) -> DocumentEvent:
    if len(given) != 1:
        raise InvalidField(
            "text", given or None, "an upsert carries exactly one of text, content (base64) and content_uri"
        )
    media_type = _string(raw, "media_type", "text/plain").lower().partition(";")[0].strip()
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidField("media_type", raw.get("media_type"), "it must be a media type such as text/markdown")
    event = replace(event, media_type=media_type)
    match given[0]:
        case "text":
            text = _required_string(raw, "text")
            if not text.strip():
                raise InvalidField("text", text, "it holds no visible character; send a delete to remove a document")
            return replace(event, text=text)
        case "content":
            return replace(event, content=_base64(raw["content"]))
        case _:
            return replace(event, content_uri=_required_string(raw, "content_uri"), content_sha256=_sha256(raw))


def _sha256(raw: Mapping[str, object]) -> str:
    value = raw.get("content_sha256")
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise InvalidField(
            "content_sha256", value, "content_uri needs the SHA-256 of the content, 64 hexadecimal digits"
        )
    return value


def _base64(raw: object) -> bytes:
    try:
        content = base64.b64decode(raw if isinstance(raw, str) else "=", validate=True)
    except (ValueError, binascii.Error):
        raise InvalidField("content", raw, "it must be base64 text") from None
    if not content:
        raise InvalidField("content", raw, "it holds no bytes; send a delete to remove a document")
    return content


def _title(raw: Mapping[str, object]) -> str:
    title = " ".join(_string(raw, "title", "").split())
    size = len(title.encode())
    if size > TITLE_LIMIT_BYTES:
        raise InvalidField("title", title, f"it may have {TITLE_LIMIT_BYTES} bytes and has {size}")
    return title


def _source(raw: Mapping[str, object]) -> str:
    source = _string(raw, "source", "")
    size = len(source.encode())
    if size > SOURCE_LIMIT_BYTES:
        raise InvalidField("source", source, f"it may have {SOURCE_LIMIT_BYTES} bytes and has {size}")
    return source


def _required_string(raw: Mapping[str, object], name: str) -> str:
    value = raw.get(name)
    if value is None:
        raise InvalidField(name, value, "it is required", reason="missing_field")
    return _check_string(name, value)


def _string(raw: Mapping[str, object], name: str, default: str) -> str:
    value = raw.get(name)
    return default if value is None else _check_string(name, value)


def _check_string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidField(name, value, f"it must be a string, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidField(name, value, "it must be valid Unicode; remove lone surrogates") from None
    if "\x00" in value:
        raise InvalidField(name, value, "it must not contain NUL characters")
    return value
