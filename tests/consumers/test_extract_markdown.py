"""Markdown: readable text, exact headings, front matter as metadata."""

from __future__ import annotations

import textwrap

import pytest

from consumers.extract.extracted import Extracted
from consumers.extract.markdown import extract_markdown
from schemas.errors import Poison


def read(source: str) -> Extracted:
    return extract_markdown(textwrap.dedent(source).encode())


def test_markup_goes_and_text_stays():
    """Emphasis, links, images and code spans leave their text."""
    extracted = read("Some *em* **strong** `code()` [link](http://x) ![an image](i.png) <http://auto.x> a &amp; b\\*")

    assert extracted.text == "Some em strong code() link an image http://auto.x a & b*"


def test_headings_carry_their_place_and_level():
    """Each heading's offset is where its title stands."""
    extracted = read("# Top *one*\n\ntext\n\nSub\n---\n\nmore\n\n### Deep `x` #\n")

    assert [(heading.level, heading.title) for heading in extracted.headings] == [
        (1, "Top one"),
        (2, "Sub"),
        (3, "Deep x"),
    ]
    for heading in extracted.headings:
        assert extracted.text.startswith(heading.title, heading.start)
    assert extracted.title == "Top one"


def test_lists_code_and_tables_stay_readable():
    """Items keep their markers, code its indentation, tables their rows."""
    extracted = read(
        """\
        - a
        - b
          1. x
          2. y

        ```python
        def f():

            return 1
        ```

        | h | i |
        |---|---|
        | 1 | `2` |
        |   |     |
        """
    )

    assert extracted.text == ("- a\n- b\n  1. x\n  2. y\n\ndef f():\n\n    return 1\n\nh | i\n1 | 2")
    assert [extracted.text[start:end] for start, end in extracted.verbatim] == [
        "def f():\n\n    return 1",
        "h | i\n1 | 2",
    ]


def test_html_inside_markdown_is_read_as_html():
    """Tags go, also where they stand inside a line; comments and scripts go with their content."""
    extracted = read("<details><summary>More</summary>\n\nIn<br>side\n\n</details>\n<!-- no --><script>no()</script>\n")

    assert extracted.text == "More\n\nIn\nside"


def test_template_tags_go_but_not_from_code():
    """Liquid and kramdown tags are markup; in code they are what the page is about."""
    extracted = read(
        "Note this.\n{: .note}\n\n{% include copy.html\n a=b %}\n\nUse `{% raw %}` {% raw %}`x`{% endraw %}.\n"
    )

    assert extracted.text == "Note this.\n\nUse {% raw %} x."


def test_front_matter_becomes_title_and_flat_metadata():
    """Strings, numbers, booleans and lists of strings are kept; nested values, dates and odd names are dropped."""
    extracted = read(
        """\
        ---
        title: "Colons: and more"
        nav_order: 3
        weight: 1.5
        draft: false
        tags: [a, b]
        empty:
        nested: {a: 1}
        numbers: [1, 2]
        day: 2024-01-31
        "bad name": x
        huge: 99999999999999999999
        ---
        # Heading

        Text
        """
    )

    assert extracted.title == "Colons: and more"
    assert extracted.metadata == {"nav_order": 3, "weight": 1.5, "draft": False, "tags": ("a", "b")}
    assert extracted.text == "Heading\n\nText"


@pytest.mark.parametrize(
    "source", ["---\n- a\n- b\n---\n\ntext", "---\nkey: [unclosed\n---\n\ntext", "---\n" + "[" * 3000 + "\n---\n\ntext"]
)
def test_what_is_no_front_matter_stays_text(source):
    """A list, broken YAML or a thousand brackets are shown rather than lost."""
    extracted = extract_markdown(source.encode())

    assert extracted.metadata == {}
    assert extracted.text.endswith("text")
    assert len(extracted.text) > len("text")


def test_front_matter_cannot_build_objects():
    """Only plain YAML is read."""
    extracted = read("---\ntitle: !!python/object/apply:os.getcwd []\n---\ntext")

    assert extracted.title == ""


@pytest.mark.parametrize("source", ["![" * 20_000, "[a](" * 20_000, "*a_ " * 20_000])
def test_hostile_markdown_is_read(source):
    """Deep and unclosed markup is text in the end."""
    assert extract_markdown(source.encode()).text


def test_nested_lists_lose_nothing():
    """Forty levels are read; what is too deep for the parser is refused and not left out."""
    assert read("".join(f"{'  ' * depth}- level {depth}\n" for depth in range(40))).text.endswith("level 39")
    with pytest.raises(Poison) as caught:
        read("> " * 500 + "deep")
    assert caught.value.reason == "too_deeply_nested"
