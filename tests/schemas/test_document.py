"""Document events: what the contract takes, what it refuses, and how the refusal reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from schemas.codec import decode_document_event, encode_document_event
from schemas.document import event_to_json, parse_document_event
from schemas.document_schema import document_event_schema
from schemas.errors import InvalidField, Poison
from tests.schemas import strategies

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "document-event.schema.json"
GOOD = {"schema": 1, "op": "upsert", "id": "a", "text": "waters meet"}
VALIDATOR = jsonschema.Draft202012Validator(document_event_schema())

BAD = {
    "no id": ({"id": None}, "id", "missing_field"),
    "empty id": ({"id": ""}, "id", "invalid_field"),
    "number as id": ({"id": 7}, "id", "invalid_field"),
    "control character in id": ({"id": "a\nb"}, "id", "invalid_field"),
    "no schema": ({"schema": None}, "schema", "invalid_field"),
    "schema from the future": ({"schema": 2}, "schema", "unknown_schema"),
    "schema as text": ({"schema": "1"}, "schema", "invalid_field"),
    "unknown op": ({"op": "merge"}, "op", "unknown_operation"),
    "no op": ({"op": None}, "op", "unknown_operation"),
    "version as text": ({"version": "7"}, "version", "invalid_field"),
    "version zero": ({"version": 0}, "version", "invalid_field"),
    "version true": ({"version": True}, "version", "invalid_field"),
    "version too large": ({"version": 2**63}, "version", "invalid_field"),
    "empty text": ({"text": ""}, "text", "invalid_field"),
    "blank text": ({"text": " \n\t"}, "text", "invalid_field"),
    "NUL in text": ({"text": "a\x00b"}, "text", "invalid_field"),
    "text as list": ({"text": ["a"]}, "text", "invalid_field"),
    "two bodies": ({"content": "aGk="}, "text", "invalid_field"),
    "no body": ({"text": None}, "text", "invalid_field"),
    "content that is no base64": ({"text": None, "content": "%%"}, "content", "invalid_field"),
    "URI without hash": ({"text": None, "content_uri": "blob:1"}, "content_sha256", "invalid_field"),
    "media type": ({"media_type": "markdown"}, "media_type", "invalid_field"),
    "metadata as list": ({"metadata": [1]}, "metadata", "invalid_field"),
    "nested metadata": ({"metadata": {"a": {"b": 1}}}, "metadata.a", "invalid_field"),
    "list of numbers": ({"metadata": {"a": [1]}}, "metadata.a", "invalid_field"),
    "metadata name": ({"metadata": {"a.b": 1}}, "metadata", "invalid_field"),
    "integer without exact double": ({"metadata": {"a": 2**60}}, "metadata.a", "invalid_field"),
    "bad date": ({"metadata": {"a": {"$date": "yesterday"}}}, "metadata.a", "invalid_field"),
    "occurred_at": ({"occurred_at": "soon"}, "occurred_at", "invalid_field"),
}

#: JSON Schema cannot say base64, date formats are annotations to it, and 2^60 is a number like any other.
NOT_IN_SCHEMA = ("content that is no base64", "bad date", "occurred_at", "integer without exact double")


@pytest.mark.parametrize("name", BAD)
def test_a_broken_field_is_named_with_its_value_and_the_remedy(name):
    """The refusal says which field it is, and both the code and the published schema refuse it."""
    change, field, reason = BAD[name]
    event = {**GOOD, **change}

    with pytest.raises(InvalidField) as refused:
        parse_document_event(event)

    assert (field, reason) == (refused.value.field, refused.value.reason)
    assert refused.value.remedy in str(refused.value)


@pytest.mark.parametrize("name", [name for name in BAD if name not in NOT_IN_SCHEMA])
def test_the_published_schema_refuses_it_too(name):
    """A producer that checks with the schema finds what Inver would refuse."""
    assert not VALIDATOR.is_valid({**GOOD, **BAD[name][0]})


@given(event=strategies.events())
def test_every_event_inver_writes_fits_the_published_schema(event):
    """The schema takes all that the code takes."""
    VALIDATOR.validate(json.loads(encode_document_event(event)))


def test_the_published_schema_is_the_generated_one():
    """The file in the documentation is what the code says; write it again with `make docs`."""
    assert json.loads(PUBLISHED.read_text()) == document_event_schema()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"schema":1,"op":"upsert","id":"a","text":"\\ud800"}',
        b'{"schema":1,"op":"upsert","id":"a","text":"x","metadata":{"a":NaN}}',
        b"[" * 2_000,
        b'"text"',
        b"",
    ],
    ids=["cut", "not UTF-8", "lone surrogate", "NaN", "deep nesting", "a string", "nothing"],
)
def test_bytes_that_are_no_event_are_poison(raw):
    """Whatever arrives, the answer is a reason."""
    with pytest.raises(Poison):
        decode_document_event(raw)


def test_an_id_of_two_thousand_characters_is_refused_with_the_limit():
    """The sentence names the limit and why it is there."""
    with pytest.raises(InvalidField, match="400 bytes and have 2008; OpenSearch refuses ids above 512"):
        parse_document_event({**GOOD, "id": "x" * 2_000})


def test_unknown_fields_are_left_alone_in_the_log_and_refused_at_the_edge():
    """A newer producer's field is no reason to lose a document; a typing mistake over HTTP is a mistake."""
    event = {**GOOD, "metdata": {"a": 1}}

    assert parse_document_event(event).key.id == "a"
    with pytest.raises(InvalidField, match="metdata"):
        parse_document_event(event, refuse_unknown_fields=True)


def test_a_delete_carries_no_content():
    """A delete with a body is a mistake that must not pass for either."""
    with pytest.raises(InvalidField, match="a delete carries no content"):
        parse_document_event({**GOOD, "op": "delete"})


def test_content_is_base64_in_json():
    """Bytes survive the way through JSON."""
    event = parse_document_event(
        {"schema": 1, "op": "upsert", "id": "a", "content": base64.b64encode(b"\xff\x00").decode()}
    )

    assert event.content == b"\xff\x00"
    assert parse_document_event(event_to_json(event)) == event
