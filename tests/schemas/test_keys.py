"""Identity: every document has one key, every key one document, and versions follow the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError, InvalidField
from schemas.keys import (
    DOCUMENT_KEY_LIMIT_BYTES,
    OFFSET_BITS,
    VERSION_LIMIT,
    DocumentKey,
    RowKey,
    log_version,
    parse_row_key,
    row_key,
    row_keys,
    validate_key,
)
from tests.schemas.strategies import keys, versions


@given(keys)
def test_a_key_is_read_back(key: DocumentKey):
    """Whatever characters tenant and id have, the encoded form is plain ASCII with one slash."""
    encoded = key.encoded()

    assert encoded.isascii()
    assert encoded.count("/") == 1
    assert DocumentKey.decode(encoded) == key


@given(keys, keys)
def test_no_two_documents_share_a_key(left: DocumentKey, right: DocumentKey):
    """Separators inside tenant or id cannot make two documents one."""
    assert (left.encoded() == right.encoded()) == (left == right)


@pytest.mark.parametrize("encoded", ["", "a", "a/b/c", "a/b c", "a/%2f", "a/ä", "a/%FF", "%61/b", "a/b%"])
def test_another_encoding_of_a_key_is_refused(encoded: str):
    """One document has one record key only, or compaction would keep several."""
    with pytest.raises(DecodeError, match="percent-encoded") as refused:
        DocumentKey.decode(encoded)
    assert refused.value.reason == "invalid_key"


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (DocumentKey("", "a"), "tenant"),
        (DocumentKey("t", ""), "id"),
        (DocumentKey("t", "\ud800"), "id"),
        (DocumentKey("t\n", "a"), "tenant"),
        (DocumentKey("t", "a\x7f"), "id"),
        (DocumentKey("t", "x" * 399), "id"),
        (DocumentKey("t", "ä" * 67), "id"),
    ],
)
def test_identities_no_engine_could_hold_are_refused(key: DocumentKey, field: str):
    """The error names the field and the remedy; lengths count percent-encoded."""
    with pytest.raises(InvalidField) as refused:
        validate_key(key)
    assert refused.value.field == field


def test_the_longest_key_leaves_room_for_version_and_ordinal():
    """400 bytes of key make row keys of less than the 512 bytes OpenSearch takes."""
    key = DocumentKey("t", "x" * (DOCUMENT_KEY_LIMIT_BYTES - 2))
    validate_key(key)

    assert len(row_key(key, VERSION_LIMIT - 1, 10**9)) <= 512


@given(keys, versions, st.integers(0, 10**6))
def test_a_row_key_is_taken_apart(key: DocumentKey, version: int, ordinal: int):
    """Document, version and ordinal come back."""
    assert parse_row_key(row_key(key, version, ordinal)) == RowKey(key, version, ordinal)


@given(keys, versions, st.integers(0, 20))
def test_a_versions_rows_are_named_in_order(key: DocumentKey, version: int, rows: int):
    """All at once or one by one, the names are the same."""
    assert row_keys(key, version, rows) == [row_key(key, version, ordinal) for ordinal in range(rows)]


@pytest.mark.parametrize("key", ["", "t/a", "t/a@1", "t/a#1", "t/a@x#1", "t/a@1#-1", "ta@1#1", "t/a@1#"])
def test_what_is_no_row_key_is_refused(key: str):
    """An engine that holds rows of others is noticed."""
    with pytest.raises(DecodeError) as refused:
        parse_row_key(key)
    assert refused.value.reason == "invalid_row_key"


@given(st.integers(0, 2**15 - 1), st.integers(0, 2**OFFSET_BITS - 1))
def test_a_log_version_fits_every_engine(epoch: int, offset: int):
    """It is an int64, and tells epoch and offset apart."""
    version = log_version(epoch, offset)

    assert 0 <= version < VERSION_LIMIT
    assert (version >> OFFSET_BITS, version & (2**OFFSET_BITS - 1)) == (epoch, offset)


@pytest.mark.parametrize(("epoch", "offset"), [(-1, 0), (2**15, 0), (1, -1), (1, 2**OFFSET_BITS)])
def test_a_version_beyond_an_int64_is_refused(epoch: int, offset: int):
    """Rather than wrap around and go back."""
    with pytest.raises(InvalidField):
        log_version(epoch, offset)
