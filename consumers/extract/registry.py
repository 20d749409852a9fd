"""THE KINDS: which documents are read, by media type and by file name; all others are refused by name."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from consumers.extract.extracted import Extracted, ExtractLimits
from schemas.errors import Poison

MEDIA_TYPE_BY_SUFFIX: Final = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".rst": "text/x-rst",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}
DEFAULT_LIMITS: Final = ExtractLimits()


def media_type_of(path_name: str) -> str:
    """Name a file's media type by its suffix. Raises Poison naming the suffix."""
    suffix = PurePath(path_name).suffix.lower()
    media_type = MEDIA_TYPE_BY_SUFFIX.get(suffix)
    if media_type is None:
        raise Poison(
            "unsupported_media_type",
            f"{path_name!r} is of an unknown kind ({suffix or 'no suffix'}); known: {' '.join(MEDIA_TYPE_BY_SUFFIX)}",
        )
    return media_type


def extract(content: bytes, media_type: str, *, limits: ExtractLimits = DEFAULT_LIMITS) -> Extracted:
    """Read a document's text; the same bytes give the same text. Raises Poison with a stable reason."""
    extracted = _read(content, media_type, limits)
    _check_size(len(extracted.text.encode()), limits)
    if not extracted.text.strip():
        raise Poison("empty_text", "the document holds no visible character; send a delete to remove a document")
    return extracted


def _read(content: bytes, media_type: str, limits: ExtractLimits) -> Extracted:
    # Each reader is imported where it is first needed: together they take a third of a second.
    match media_type:
        case "application/pdf":
            from consumers.extract.pdf import extract_pdf

            return extract_pdf(content, limits)
        case "text/html" | "application/xhtml+xml":
            from consumers.extract.html import extract_html

            return extract_html(content)
        case "text/plain":
            from consumers.extract.text import extract_text

            _check_size(len(content), limits)
            return extract_text(content)
        case "text/markdown" | "text/x-markdown":
            from consumers.extract.markdown import extract_markdown

            _check_size(len(content), limits)
            return extract_markdown(content)
        case "text/x-rst":
            from consumers.extract.restructuredtext import extract_restructuredtext

            _check_size(len(content), limits)
            return extract_restructuredtext(content)
        case _:
            known = " ".join(sorted(set(MEDIA_TYPE_BY_SUFFIX.values())))
            raise Poison("unsupported_media_type", f"{media_type!r} cannot be read; known: {known}")


def _check_size(size: int, limits: ExtractLimits) -> None:
    if size > limits.max_text_bytes:
        raise Poison(
            "document_too_large",
            f"the document has {size} bytes of text and {limits.max_text_bytes} are read; divide it",
        )
