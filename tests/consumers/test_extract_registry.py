"""The registry: known kinds are read, all others are refused by name, and limits hold for each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.extract.extracted import ExtractLimits
from consumers.extract.registry import MEDIA_TYPE_BY_SUFFIX, extract, media_type_of
from schemas.errors import Poison

TEXTUAL = ["text/plain", "text/markdown", "text/x-rst", "text/html"]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("folder.d/README.MD", "text/markdown"),
        ("a.b.markdown", "text/markdown"),
        ("pep-0008.rst", "text/x-rst"),
        ("index.htm", "text/html"),
        ("paper.PDF", "application/pdf"),
    ],
)
def test_a_files_kind_is_known_by_its_suffix(name, media_type):
    """Case and folders do not matter."""
    assert media_type_of(name) == media_type


@pytest.mark.parametrize(
    ("name", "named"), [("report.docx", r"\.docx"), ("LICENSE", "no suffix"), ("a.json", r"\.json")]
)
def test_unknown_files_are_refused_by_name(name, named):
    """The message names the suffix and what is known."""
    with pytest.raises(Poison, match=rf"{named}.*known: \.txt") as caught:
        media_type_of(name)
    assert caught.value.reason == "unsupported_media_type"


def test_unknown_media_types_are_refused_by_name():
    """So are events that name a type nobody reads."""
    with pytest.raises(Poison, match="'application/zip' cannot be read; known: application/pdf") as caught:
        extract(b"PK", "application/zip")
    assert caught.value.reason == "unsupported_media_type"


@pytest.mark.parametrize("media_type", sorted(set(MEDIA_TYPE_BY_SUFFIX.values()) - {"application/pdf"}))
def test_every_known_type_is_read(media_type):
    """Each media type of the table has a reader."""
    assert extract(b"Some text", media_type).text == "Some text"


@pytest.mark.parametrize("media_type", TEXTUAL)
def test_documents_without_text_are_refused(media_type):
    """White space alone is no document."""
    with pytest.raises(Poison, match="no visible character") as caught:
        extract(b" \n\t\n", media_type)
    assert caught.value.reason == "empty_text"


@pytest.mark.parametrize("media_type", TEXTUAL)
def test_large_documents_are_refused(media_type):
    """The message names both sizes; nothing is cut off silently."""
    with pytest.raises(Poison, match="has 1500 bytes of text and 1000 are read") as caught:
        extract(b"a" * 1500, media_type, limits=ExtractLimits(max_text_bytes=1000))
    assert caught.value.reason == "document_too_large"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*TEXTUAL, "application/pdf"]),
    st.one_of(st.binary(max_size=300), st.text().map(lambda text: text.encode("utf-8", "ignore"))),
)
def test_any_bytes_give_text_or_poison(media_type, content):
    """Whatever arrives, there is an answer, and it is the same twice."""
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(extract(content, media_type))
        except Poison as poison:
            outcomes.append((poison.reason, str(poison)))
    assert outcomes[0] == outcomes[1]
