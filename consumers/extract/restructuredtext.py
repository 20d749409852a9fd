"""reStructuredText: its text without its markup, and its header fields; no file is read and nothing raw is let in."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives

from consumers.extract.decoding import decode_text
from consumers.extract.doctree import DoctreeWalk
from consumers.extract.extracted import Extracted
from consumers.extract.front_matter import flat_metadata
from consumers.extract.text_writer import TextWriter
from schemas.errors import Poison
from schemas.metadata import MetadataValue

_SETTINGS: Final = {
    "_disable_config": True,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 3,
    "halt_level": 5,
    "warning_stream": False,
    "syntax_highlight": "none",
    "doctitle_xform": False,
    "docinfo_xform": False,
    # Above it docutils gives the whole document up.
    "line_length_limit": 1_000_000_000,
}
#: The header of a Python Enhancement Proposal and its kin: ``Name: value`` lines, continued by indented ones.
_HEADER: Final = re.compile(r"\A(?:[A-Z][A-Za-z-]{0,40}:(?:[ \t][^\n]*)?\n(?:[ \t]+\S[^\n]*\n)*){2,}(?=\n|\Z)")
_HEADER_FIELD: Final = re.compile(r"^([A-Z][A-Za-z-]*):((?:[^\n]*\n)(?:[ \t]+[^\n]*\n)*)", re.MULTILINE)


class _Ignored(Directive):
    """Does nothing; see below."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        return []


# docutils keeps roles for the whole process: what one document defines would change how the next one is read.
directives.register_directive("role", _Ignored)
directives.register_directive("default-role", _Ignored)


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
    """Parse without touching files, standard error or docutils' own configuration."""
    try:
        return publish_doctree(source, settings_overrides=_SETTINGS)
    except (RecursionError, Poison):
        raise
    except Exception as error:  # docutils raises any type on markup that it did not foresee
        raise Poison(
            "malformed_restructuredtext",
            f"docutils cannot read it ({type(error).__name__}: {error}); correct the markup",
        ) from error


def _split_header(text: str) -> _Header:
    """Take a header off. Its values stay strings: ``3.5`` in one document is ``3.5.1`` in the next."""
    match = _HEADER.match(text)
    if match is None or "\nTitle:" not in f"\n{match[0]}":
        return _Header("", {}, text)
    fields = {name: " ".join(value.split()) for name, value in _HEADER_FIELD.findall(match[0])}
    title = fields.pop("Title", "")
    return _Header(title, flat_metadata(dict(fields)), text[match.end() :])
