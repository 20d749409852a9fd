"""Bytes to characters: UTF-8 that says where it breaks, and one kind of line end."""

from __future__ import annotations

import codecs

from schemas.errors import Poison


def decode_text(content: bytes, encoding: str = "utf-8") -> str:
    """Decode strictly, drop a byte order mark and make every line end a line feed. Raises Poison."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Poison("invalid_utf8", "the document is UTF-16; save it as UTF-8")
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode(encoding)
    except UnicodeDecodeError as error:
        offset = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
        raise Poison(
            "invalid_utf8",
            f"byte 0x{content[offset]:02x} at offset {offset} is not {encoding.upper()} ({error.reason}); "
            "save the document as UTF-8",
        ) from None
    nul = text.find("\x00")
    if nul >= 0:
        raise Poison("nul_bytes", f"the text holds a NUL character at offset {nul}; it may be a binary file")
    return text.replace("\r\n", "\n").replace("\r", "\n")
