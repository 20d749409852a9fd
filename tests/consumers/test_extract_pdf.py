"""PDF: text by page; what cannot be read is refused with its reason."""

from __future__ import annotations

import io

import pytest
from pypdf import PdfReader, PdfWriter

from consumers.extract.extracted import ExtractLimits
from consumers.extract.pdf import extract_pdf
from schemas.errors import Poison

LIMITS = ExtractLimits()


def make_pdf(*pages: str) -> bytes:
    """Write a PDF of one font, each page's lines below each other, by hand: the format is simple enough."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        lines = " ".join(f"({line}) Tj T*" for line in page.split("\n") if line)
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET"
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects) + 2} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    entries = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{entries}{trailer}".encode("latin-1")


def rewritten(content: bytes, *, opens_with: str | None = None, title: str | None = None) -> bytes:
    writer = PdfWriter()
    for page in PdfReader(io.BytesIO(content)).pages:
        writer.add_page(page)
    if title is not None:
        writer.add_metadata({"/Title": title})
    if opens_with is not None:
        writer.encrypt(opens_with, "owner", algorithm="AES-256")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def test_text_comes_page_by_page():
    """Pages are apart, and each one's start is known."""
    extracted = extract_pdf(make_pdf("First page\nline two", "", "Third page"), LIMITS)

    assert extracted.text == "First page\nline two\n\n\n\nThird page"
    assert extracted.pages == (0, 21, 23)
    assert extracted.text[extracted.pages[2] :] == "Third page"


def test_words_divided_at_line_ends_are_joined():
    """Only between lower-case letters: elsewhere the hyphen is part of the word."""
    extracted = extract_pdf(make_pdf("a divi-\nded word and X-\nRay"), LIMITS)

    assert extracted.text == "a divided word and X-\nRay"


def test_the_title_is_the_one_in_its_properties():
    """White space in it collapses."""
    assert extract_pdf(rewritten(make_pdf("text"), title=" A\n title "), LIMITS).title == "A title"


def test_a_password_is_asked_for_in_vain():
    """A PDF that opens without a password is read, whatever its owner's password is."""
    with pytest.raises(Poison, match="password") as caught:
        extract_pdf(rewritten(make_pdf("text"), opens_with="secret"), LIMITS)
    assert caught.value.reason == "encrypted_pdf"

    assert extract_pdf(rewritten(make_pdf("text"), opens_with=""), LIMITS).text == "text"


def test_scans_are_refused_with_the_remedy():
    """Pages without a text layer need OCR."""
    with pytest.raises(Poison, match="none of the PDF's 2 pages has a text layer; run OCR") as caught:
        extract_pdf(make_pdf("", ""), LIMITS)
    assert caught.value.reason == "no_text_layer"


@pytest.mark.parametrize("content", [b"", b"no pdf", b"%PDF-1.7\n%%EOF", b"%PDF-1.4\n" + b"1 0 obj <<" * 500])
def test_what_is_no_pdf_is_refused(content):
    """Whatever the library raises becomes one reason."""
    with pytest.raises(Poison) as caught:
        extract_pdf(content, LIMITS)
    assert caught.value.reason == "malformed_pdf"


def test_limits_hold():
    """Pages and text beyond the limits are refused, not left out."""
    content = make_pdf("page one", "page two", "page three")
    with pytest.raises(Poison, match="3 pages and 2 are read") as pages:
        extract_pdf(content, ExtractLimits(max_pages=2))
    with pytest.raises(Poison, match="more than 10 bytes of text") as size:
        extract_pdf(content, ExtractLimits(max_text_bytes=10))
    assert pages.value.reason == size.value.reason == "document_too_large"
