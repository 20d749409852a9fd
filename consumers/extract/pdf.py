"""PDF: the text layer, page by page."""

from __future__ import annotations

import io
import re
from typing import Final

from pypdf import PageObject, PasswordType, PdfReader, apply_configuration
from pypdf.errors import LimitReachedError

from consumers.extract.extracted import Extracted, ExtractLimits
from schemas.errors import Poison

#: A word divided at a line's end. Only between lower-case letters: elsewhere the hyphen is more often the word's own.
_DIVIDED_WORD: Final = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_A-ZÀ-Þ])")
_UNSHOWABLE: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LINE_END: Final = re.compile(r"[ \t\xa0]*(?:\r\n|[\n\r\f\v])")
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_PAGE_GAP: Final = "\n\n"
#: What one page may unpack to; images are not unpacked for their text.
_PAGE_BYTES: Final = 32 * 1024 * 1024
_PAGE_OPERATIONS: Final = 1_000_000
_PAGE_FORMS: Final = 500


def extract_pdf(content: bytes, limits: ExtractLimits) -> Extracted:
    """Read a PDF's text. Raises Poison where it is encrypted, malformed, too large or without a text layer."""
    try:
        with apply_configuration(
            zlib_maximum_output_length=_PAGE_BYTES,
            lzw_maximum_output_length=_PAGE_BYTES,
            run_length_maximum_output_length=_PAGE_BYTES,
            array_based_stream_maximum_output_length=_PAGE_BYTES,
            stream_parsing_work_maximum_count=_PAGE_OPERATIONS,
            xform_maximum_invocations_per_extraction=_PAGE_FORMS,
        ):
            return _read(content, limits)
    except Poison:
        raise
    except LimitReachedError as error:
        raise Poison("document_too_large", f"the PDF unpacks to more than is read ({error}); divide it") from error
    except Exception as error:  # pypdf says that broken files raise any type of exception
        raise Poison(
            "malformed_pdf", f"the PDF cannot be read ({type(error).__name__}: {error}); write it anew"
        ) from error


def _read(content: bytes, limits: ExtractLimits) -> Extracted:
    reader = PdfReader(io.BytesIO(content), strict=False)
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise Poison("encrypted_pdf", "the PDF opens with a password only; send it without one")
    count = len(reader.pages)
    if count > limits.max_pages:
        raise Poison("document_too_large", f"the PDF has {count} pages and {limits.max_pages} are read; divide it")
    texts: list[str] = []
    starts: list[int] = []
    length = size = 0
    for page in reader.pages:
        text = _page_text(page)
        starts.append(length)
        texts.append(text)
        length += len(text) + len(_PAGE_GAP)
        size += len(text.encode())
        if size > limits.max_text_bytes:
            raise Poison(
                "document_too_large", f"the PDF holds more than {limits.max_text_bytes} bytes of text; divide it"
            )
    if not any(texts):
        raise Poison("no_text_layer", f"none of the PDF's {count} pages has a text layer; run OCR on it first")
    return Extracted(text=_PAGE_GAP.join(texts), title=_title(reader), pages=tuple(starts))


def _page_text(page: PageObject) -> str:
    text = _LINE_END.sub("\n", page.extract_text())
    text = _UNSHOWABLE.sub("", _DIVIDED_WORD.sub("", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def _title(reader: PdfReader) -> str:
    title = reader.metadata.title if reader.metadata is not None else None
    return " ".join(_UNSHOWABLE.sub("", title).split()) if isinstance(title, str) else ""
