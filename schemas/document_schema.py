"""The JSON Schema of document events, made from the same limits and patterns that events are checked by."""

from __future__ import annotations

from typing import Any

from schemas.document import BODY_FIELDS, DEFAULT_TENANT, SCHEMA_VERSION
from schemas.keys import VERSION_LIMIT
from schemas.metadata import EXACT_INTEGER_LIMIT, FIELDS_LIMIT, LIST_LIMIT, NAME_PATTERN

#: Text without NUL; JSON Schema counts characters, so limits in bytes are told in descriptions.
_NO_NUL = "^[^\\u0000]*$"
_VISIBLE = "[^\\s]"
_KEY_PART = "^[^\\u0000-\\u001f\\u007f]+$"


def document_event_schema() -> dict[str, Any]:
    """Return the schema, in the 2020-12 dialect."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:inver:schema:document-event:1",
        "title": "DocumentEvent",
        "description": "One change to one document, as the topic <collection>.documents carries it.",
        "type": "object",
        "required": ["schema", "op", "id"],
        "properties": _properties(),
        "oneOf": [
            {
                "title": "delete",
                "properties": {"op": {"const": "delete"}} | {name: {"type": "null"} for name in BODY_FIELDS},
            },
            *({"title": f"upsert with {name}"} | _upsert_with(name) for name in BODY_FIELDS),
        ],
    }


def _upsert_with(body: str) -> dict[str, Any]:
    others = {name: {"type": "null"} for name in BODY_FIELDS if name != body}
    required = [body, "content_sha256"] if body == "content_uri" else [body]
    return {
        "properties": {"op": {"const": "upsert"}} | others | {name: {"type": "string"} for name in required},
        "required": required,
    }


def _properties() -> dict[str, Any]:
    return {
        "schema": {"const": SCHEMA_VERSION},
        "op": {"enum": ["upsert", "delete"]},
        "tenant": {"type": ["string", "null"], "pattern": _KEY_PART, "default": DEFAULT_TENANT},
        "id": {
            "type": "string",
            "pattern": _KEY_PART,
            "description": "With the tenant, each percent-encoded, at most 400 bytes.",
        },
        "version": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": VERSION_LIMIT - 1,
            "description": "Only in collections that take versions from their producers; it only rises.",
        },
        "title": {"type": ["string", "null"], "pattern": _NO_NUL},
        "text": {"type": ["string", "null"], "pattern": _VISIBLE, "not": {"pattern": "\\u0000"}},
        "content": {"type": ["string", "null"], "contentEncoding": "base64", "minLength": 1},
        "content_uri": {"type": ["string", "null"], "pattern": _NO_NUL, "examples": ["blob:<sha256>"]},
        "content_sha256": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "media_type": {"type": ["string", "null"], "default": "text/plain", "pattern": "^[^/]+/[^/]+$"},
        "metadata": {
            "type": ["object", "null"],
            "maxProperties": FIELDS_LIMIT,
            "propertyNames": {"pattern": f"^{NAME_PATTERN.pattern}$"},
            "additionalProperties": {"anyOf": _metadata_values()},
        },
        "source": {"type": ["string", "null"], "pattern": _NO_NUL},
        "occurred_at": {"type": ["string", "null"], "format": "date-time"},
    }


def _metadata_values() -> list[dict[str, Any]]:
    string = {"type": "string", "pattern": _NO_NUL}
    return [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "integer", "minimum": -EXACT_INTEGER_LIMIT, "maximum": EXACT_INTEGER_LIMIT},
        {"type": "number"},
        string,
        {"type": "array", "items": string, "maxItems": LIST_LIMIT},
        {
            "type": "object",
            "properties": {"$date": {"type": "string", "format": "date-time"}},
            "required": ["$date"],
            "additionalProperties": False,
        },
    ]
