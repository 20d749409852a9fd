"""Plain text and decoding: every byte that is no UTF-8 is named."""

from __future__ import annotations

import pytest

from consumers.extract.text import extract_text
from schemas.errors import Poison


def test_text_stays_as_it_is():
    """Nothing is taken away but a byte order mark and carriage returns."""
    extracted = extract_text("\ufeff Line one\r\nzwei: äöü 今日\rthree\n".encode())

    assert extracted.text == " Line one\nzwei: äöü 今日\nthree\n"
    assert extracted.headings == ()


@pytest.mark.parametrize(
    ("content", "offset"), [(b"abc\xff", 3), (b"\xef\xbb\xbfabc\xc3", 6), ("ü".encode() + b"\xed\xa0\x80", 2)]
)
def test_bad_utf8_is_refused_with_its_offset(content, offset):
    """The offset counts the file's bytes, a byte order mark and multi-byte characters included."""
    with pytest.raises(Poison, match=rf"at offset {offset} is not UTF-8") as caught:
        extract_text(content)
    assert caught.value.reason == "invalid_utf8"


def test_utf16_is_refused_by_name():
    """A UTF-16 file gets a sentence of its own."""
    with pytest.raises(Poison, match="UTF-16; save it as UTF-8"):
        extract_text("text".encode("utf-16"))


def test_nul_characters_are_refused():
    """Engines do not hold NUL, and a binary file is no text."""
    with pytest.raises(Poison, match="offset 2") as caught:
        extract_text(b"ab\x00c")
    assert caught.value.reason == "nul_bytes"
