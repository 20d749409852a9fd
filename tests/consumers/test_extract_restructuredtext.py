"""reStructuredText: readable text, headers, and nothing lost to unknown roles and directives."""

from __future__ import annotations

import textwrap

import pytest

from consumers.extract.extracted import Extracted
from consumers.extract.restructuredtext import extract_restructuredtext
from schemas.errors import Poison


def read(source: str) -> Extracted:
    return extract_restructuredtext(textwrap.dedent(source).encode())


def test_a_pep_header_becomes_title_and_metadata():
    """Continued lines are joined, and values stay strings."""
    extracted = read(
        """\
        PEP: 9999
        Title: A Good
          Idea
        Author: A. One <one@example.org>,
                B. Two
        Python-Version: 3.5
        Post-History:

        Abstract
        ========

        Text.
        """
    )

    assert extracted.title == "A Good Idea"
    assert extracted.metadata == {
        "PEP": "9999",
        "Author": "A. One <one@example.org>, B. Two",
        "Python-Version": "3.5",
    }
    assert extracted.text == "Abstract\n\nText."


def test_a_paragraph_with_colons_is_no_header():
    """A header has a title."""
    assert read("Note: this\nAnd: that\n\nText").text == "Note: this\nAnd: that\n\nText"


def test_headings_have_levels_and_places():
    """Levels follow the order in which underlines appear; a heading at the top is the title."""
    extracted = read("Top\n===\n\n:Author: Me\n\nSub\n---\n\nText\n\nOther\n=====\n\nx\n")

    assert [(heading.level, heading.title) for heading in extracted.headings] == [(1, "Top"), (2, "Sub"), (1, "Other")]
    assert all(extracted.text.startswith(heading.title, heading.start) for heading in extracted.headings)
    assert extracted.title == "Top"
    assert extracted.metadata == {"Author": "Me"}


def test_inline_markup_leaves_its_text():
    """Also roles and references that only Sphinx knows, and substitutions."""
    extracted = read(
        """\
        *em* **strong** ``code`` :pep:`8` :func:`f` :ref:`text <target>` `link <http://x>`_ word_ |sub| [1]_.

        .. |sub| replace:: shown
        .. [1] A note.
        .. A comment.
        """
    )

    assert extracted.text == "em strong code PEP 8 f text link word shown [1].\n\n[1] A note."


def test_blocks_stay_readable():
    """Lists, definitions, code, tables and notes."""
    extracted = read(
        """\
        * a
        * b

        #. one
        #. two

        term
            meaning

        Code::

            def f():
                pass

        .. note:: Mind this.

        === ===
         a   b
        === ===
         1   2
        === ===
        """
    )

    assert extracted.text == (
        "- a\n- b\n\n1. one\n2. two\n\nterm\n    meaning\n\nCode:\n\ndef f():\n    pass\n\n"
        "Note: Mind this.\n\na | b\n1 | 2"
    )


def test_directives_docutils_does_not_know_keep_their_content():
    """Their bodies are read as reStructuredText, code as code; bare notices say their name."""
    extracted = read(
        """\
        .. withdrawn::

        .. versionadded:: 3.5
           With *content*.

           .. deep:: name

              Deeper.

        .. code-block:: python
           :emphasize-lines: 3

           x = 1

        .. toctree::

           file
        """
    )

    assert extracted.text == "Withdrawn\n\nversionadded: 3.5\n\nWith content.\n\nname\n\nDeeper.\n\nx = 1"


def test_nothing_is_read_from_files_and_nothing_raw_comes_in(tmp_path, capfd):
    """Including, raw markup and files of tables are off, without a word on standard error."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    extracted = read(
        f"""\
        Text.

        .. include:: {secret}

        .. literalinclude:: {secret}

        .. csv-table::
           :file: {secret}

        .. raw:: html

           <script>no()</script>
        """
    )

    assert extracted.text.startswith("Text.")
    assert "secret\n" not in extracted.text
    assert "script" not in extracted.text
    assert capfd.readouterr() == ("", "")


def test_one_document_does_not_change_how_the_next_is_read():
    """Roles that a document defines are forgotten, and so is the day."""
    before = read(":own:`text` `default` |today|\n\n.. |today| date::\n")
    read(".. role:: own(raw)\n   :format: html\n\n.. default-role:: own\n\n:own:`x`\n")

    assert before == read(":own:`text` `default` |today|\n\n.. |today| date::\n")
    assert before.text == "text default today"


def test_malformed_markup_is_shown_as_it_is():
    """A broken table is better than none."""
    extracted = read("Text\n\n=== ===\na b c d\n=== ===\nx\n")

    assert "a b c d" in extracted.text


def test_endless_nesting_is_refused():
    """The sentence says why."""
    source = "\n".join("  " * depth + "- x\n" for depth in range(400))
    with pytest.raises(Poison, match="nests too deeply") as caught:
        extract_restructuredtext(source.encode())
    assert caught.value.reason == "too_deeply_nested"


@pytest.mark.parametrize("unit", ["*a ", "`a ", "|a ", "`a <b ", "word "])
def test_long_paragraphs_cost_no_more_than_their_length(unit):
    """Markup that is opened a hundred thousand times and never closed is text."""
    assert read(unit * 100_000).text.strip() == (unit * 100_000).strip()
