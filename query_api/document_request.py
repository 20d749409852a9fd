"""A document as it is sent: JSON, a file's bytes or a line of a bulk request, and the event each becomes."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from query_api.bodies import parse_json, unsupported_media_type
from query_api.metadata_answer import MetadataAnswer
from query_api.responses import JSON
from query_api.validation import StrictModel
from schemas.document import DEFAULT_TENANT, SCHEMA_VERSION, DocumentEvent, parse_document_event
from schemas.errors import DecodeError, InvalidField
from schemas.keys import VERSION_LIMIT, DocumentKey

#: What forms send: ``curl -d`` says so of everything unless it is told otherwise.
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
#: What the address of a document says already.
_NAMED_BY_ADDRESS: Final = {
    "id": "the address names the document",
    "tenant": "the address names the tenant: ?tenant=…",
    "op": "PUT replaces and DELETE deletes",
    "schema": "the address names the version of the API",
}


@with_config(ConfigDict(extra="forbid"))
class DocumentBody(TypedDict):
    """A document's fields: exactly one of ``text``, ``content`` (base64) and ``content_uri`` with its SHA-256."""

    text: NotRequired[str]
    content: NotRequired[str]
    content_uri: NotRequired[str]
    content_sha256: NotRequired[str]
    media_type: NotRequired[str]
    title: NotRequired[str]
    version: NotRequired[int]
    metadata: NotRequired[MetadataAnswer]
    source: NotRequired[str]
    occurred_at: NotRequired[str]


@with_config(ConfigDict(extra="forbid"))
class DocumentLine(DocumentBody):
    """One line of a bulk request: a document event, where schema 1, ``upsert`` and tenant ``default`` go unsaid."""

    id: str
    tenant: NotRequired[str]
    op: NotRequired[Literal["upsert", "delete"]]
    schema: NotRequired[Literal[1]]


class TenantParameters(StrictModel):
    """Whose document is meant."""

    tenant: str = DEFAULT_TENANT


class DeleteParameters(TenantParameters):
    """Whose document is to go, and the version of its deletion where producers give versions."""

    # An address holds text only, so that here a number does come as a string.
    model_config = ConfigDict(strict=False)

    version: int | None = Field(default=None, ge=1, lt=VERSION_LIMIT)


class PutParameters(DeleteParameters):
    """Whose document is sent; title and version go into the address only with a body that is not JSON."""

    title: str | None = None


def event_of_put(key: DocumentKey, content: bytes, media_type: str, parameters: PutParameters) -> DocumentEvent:
    """Make the event of a PUT: its JSON, or its bytes as they are. Raises Poison."""
    if media_type in ("", *_FORM_TYPES):
        raise unsupported_media_type(media_type, expected=f"{JSON}, or the document's own, such as text/markdown")
    given: dict[str, Any] = {
        name: value for name in ("title", "version") if (value := getattr(parameters, name)) is not None
    }
    if media_type != JSON:
        return _event_of_content(key, content, given | {"media_type": media_type})
    for name, value in given.items():
        raise InvalidField(name, value, "with a JSON body it goes into the body")
    raw = parse_json(content)
    if not isinstance(raw, dict):
        raise DecodeError(f"a document must be a JSON object, not {type(raw).__name__}")
    for name, reason in _NAMED_BY_ADDRESS.items():
        if name in raw:
            raise InvalidField(name, raw[name], f"{reason}; leave it out of the body")
    return parse_document_event(_identity(key, "upsert") | raw, refuse_unknown_fields=True)


def event_of_delete(key: DocumentKey, version: int | None) -> DocumentEvent:
    """Make the event of a DELETE. Raises InvalidField."""
    return parse_document_event(_identity(key, "delete") | {"version": version})


def event_of_line(raw: object) -> DocumentEvent:
    """Make the event of one line of a bulk request. Raises Poison."""
    if not isinstance(raw, dict):
        raise DecodeError(f"a line must be a JSON object, not {type(raw).__name__}")
    return parse_document_event({"schema": SCHEMA_VERSION, "op": "upsert"} | raw, refuse_unknown_fields=True)


def _identity(key: DocumentKey, operation: str) -> dict[str, object]:
    return {"schema": SCHEMA_VERSION, "op": operation, "tenant": key.tenant, "id": key.id}


def _event_of_content(key: DocumentKey, content: bytes, given: dict[str, object]) -> DocumentEvent:
    # The fields are checked as in any event; its bytes need not go through base64 for that, but for the first one.
    first = base64.b64encode(content[:1]).decode()
    return replace(parse_document_event(_identity(key, "upsert") | given | {"content": first}), content=content)
