"""Addresses: any id is exactly one path segment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_api.addresses import decode_segment, encode_segment, status_address
from schemas.keys import DocumentKey


@given(st.text())
def test_a_segment_is_decoded_as_it_was_encoded(value: str) -> None:
    """Slashes, percent signs, dots and any script come back, and no slash shows in between."""
    encoded = encode_segment(value)

    assert decode_segment(encoded) == value
    assert "/" not in encoded
    assert encoded not in (".", "..")


def test_bytes_that_are_not_utf8_are_refused() -> None:
    """A replacement character would name another document."""
    with pytest.raises(ValueError, match="it must be UTF-8"):
        decode_segment("%ff")


def test_a_status_address_names_the_tenant_where_it_must() -> None:
    """The default tenant goes unsaid; below a prefix the prefix comes first."""
    assert status_address("", "docs", DocumentKey("default", "a/b")) == "/v1/collections/docs/documents/a%2Fb/status"
    assert (
        status_address("/inver", "docs", DocumentKey("ü", ".."))
        == "/inver/v1/collections/docs/documents/%2E%2E/status?tenant=%C3%BC"
    )
