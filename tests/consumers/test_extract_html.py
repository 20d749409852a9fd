"""HTML: what a reader sees, in blocks."""

from __future__ import annotations

import pytest

from consumers.extract.html import extract_html


def read(source: str) -> str:
    return extract_html(source.encode()).text


def test_only_visible_text_is_kept():
    """Scripts, styles, navigation, controls and hidden parts are left out."""
    source = """<html><head><style>a{}</style><title>T</title></head><body><nav>menu</nav><script>x()</script>
    <p>shown<span hidden>no</span><span style="display: none">no</span><i aria-hidden="true">no</i></p>
    <button>no</button><template>no</template><!-- no --></body>"""

    assert read(source) == "shown"


def test_title_and_headings_are_found():
    """The title comes from the head, or from the first heading of level 1."""
    extracted = extract_html(b"<title> A\n page </title><h1>One <b>bold</b></h1><p>x<h2>Two</h2>y")

    assert extracted.title == "A page"
    assert [(heading.level, heading.title) for heading in extracted.headings] == [(1, "One bold"), (2, "Two")]
    assert all(extracted.text.startswith(heading.title, heading.start) for heading in extracted.headings)
    assert extract_html(b"<h1>Only heading</h1>text").title == "Only heading"


def test_blocks_lists_and_preformatted_text_stay_apart():
    """White space collapses outside ``pre``; items have markers."""
    source = """<p>a  b
    c<br>d</p><ul><li>x<li><p>y</p><ol><li>1st<li>2nd</ol></ul><pre>  if a:
      b</pre><div>e<div>f</div></div>"""

    assert read(source) == "a b c\nd\n\n- x\n- y\n  1. 1st\n  2. 2nd\n\n  if a:\n      b\n\ne\n\nf"


def test_data_tables_are_rows_and_layout_tables_are_blocks():
    """A table with headings or tables in it is a page's layout."""
    table = "<table><tr><th>h<th>i<tr><td>1<td><p>2</p></table>"

    assert read(table) == "h | i\n1 | 2"
    assert read(f"<table><tr><td><h2>Head</h2>side</td><td>{table}</td></table>") == "Head\n\nside\n\nh | i\n1 | 2"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('<meta charset="iso-8859-1">caf\u00e9'.encode("latin-1"), "café"),
        ('<meta http-equiv="x" content="text/html; charset=shift_jis">日本'.encode("shift_jis"), "日本"),
        ("<p>café".encode(), "café"),
        (b'<meta charset="no-such-thing">plain', "plain"),
    ],
)
def test_a_declared_encoding_is_used(content, text):
    """UTF-8 where none is declared."""
    assert extract_html(content).text == text


def test_deep_pages_are_read():
    """Nesting costs no recursion."""
    assert read("<div>" * 30_000 + "deep") == "deep"
    assert read("<ul><li>" * 3_000 + "deep").endswith("deep")
