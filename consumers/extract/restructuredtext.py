"""reStructuredText: its text without its markup, and its header fields; no file is read and nothing raw is let in."""

from __future__ import annotations

import re
from copy import copy
from functools import cache
from typing import Any, Final, NamedTuple

from docutils import nodes
from docutils.frontend import Values, get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, states
from docutils.utils import new_document

from consumers.extract.decoding import decode_text
from consumers.extract.doctree import DoctreeWalk
from consumers.extract.extracted import Extracted
from consumers.extract.front_matter import flat_metadata
from consumers.extract.text_writer import TextWriter
from schemas.errors import Poison
from schemas.metadata import MetadataValue

_LONGEST_PARAGRAPH_CHARACTERS: Final = 5_000
_SETTINGS: Final = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 3,
    "halt_level": 5,
    "warning_stream": False,
    "syntax_highlight": "none",
    # Above it docutils gives the whole document up.
    "line_length_limit": 1_000_000_000,
}
#: The header of a Python Enhancement Proposal and its kin: ``Name: value`` lines, continued by indented ones.
_HEADER: Final = re.compile(r"\A(?:[A-Z][A-Za-z-]{0,40}:(?:[ \t][^\n]*)?\n(?:[ \t]+\S[^\n]*\n)*){2,}(?=\n|\Z)")
_HEADER_FIELD: Final = re.compile(r"^([A-Z][A-Za-z-]*):((?:[^\n]*\n)(?:[ \t]+[^\n]*\n)*)", re.MULTILINE)


def _bounded_inliner() -> states.Inliner:
    """Make an inliner that leaves very long paragraphs as they are.

    Markup that is opened and not closed costs docutils the square of a paragraph's length.
    """
    inliner = states.Inliner()
    parse = inliner.parse

    def parse_bounded(
        text: str, lineno: int, memo: Any, parent: nodes.Element
    ) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if len(text) > _LONGEST_PARAGRAPH_CHARACTERS:
            return [nodes.Text(text)], []
        return parse(text, lineno, memo, parent)

    # Not a subclass: docutils builds the patterns from the attributes of an inliner's own class alone.
    inliner.parse = parse_bounded  # type: ignore[method-assign]
    return inliner


class _Ignored(Directive):
    """Does nothing; see below."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        return []


# docutils keeps roles for the whole process: what one document defines would change how the next one is read. The date
# would change with the day.
for _name in ("role", "default-role", "date"):
    directives.register_directive(_name, _Ignored)


class _Header(NamedTuple):
    title: str
    metadata: dict[str, MetadataValue]
    body: str


def extract_restructuredtext(content: bytes) -> Extracted:
    """Read reStructuredText, also with roles and directives that docutils does not know. Raises Poison."""
    header = _split_header(decode_text(content))
    writer = TextWriter()
    walk = DoctreeWalk(writer, parse_source)
    try:
        walk.document(parse_source(header.body))
    except RecursionError:
        raise Poison("too_deeply_nested", "the reStructuredText nests too deeply to be read; flatten it") from None
    starts_with_title = bool(writer.headings) and writer.headings[0].start == 0
    return Extracted(
        text=writer.text(),
        title=header.title or (writer.headings[0].title if starts_with_title else ""),
        headings=tuple(writer.headings),
        verbatim=tuple(writer.verbatim),
        metadata=header.metadata | flat_metadata(walk.fields),
    )


def parse_source(source: str) -> nodes.document:
    """Parse without touching files, standard error or docutils' own configuration, and without resolving references."""
    document = new_document("<document>", settings=copy(_default_settings()))
    parser = Parser(inliner=_bounded_inliner())
    try:
        parser.parse(source, document)
    except (RecursionError, Poison):
        raise
    except Exception as error:  # docutils raises any type on markup that it did not foresee
        raise Poison(
            "malformed_restructuredtext",
            f"docutils cannot read it ({type(error).__name__}: {error}); correct the markup",
        ) from error
    return document


@cache
def _default_settings() -> Values:
    settings = get_default_settings(Parser)
    for name, value in _SETTINGS.items():
        setattr(settings, name, value)
    return settings


def _split_header(text: str) -> _Header:
    """Take a header off. Its values stay strings: ``3.5`` in one document is ``3.5.1`` in the next."""
    match = _HEADER.match(text)
    if match is None or "\nTitle:" not in f"\n{match[0]}":
        return _Header("", {}, text)
    fields = {name: " ".join(value.split()) for name, value in _HEADER_FIELD.findall(match[0])}
    title = fields.pop("Title", "")
    return _Header(title, flat_metadata(dict(fields)), text[match.end() :])
