"""Markdown: its text without its markup; code, tables and lists stay readable as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from consumers.extract.decoding import decode_text
from consumers.extract.extracted import Extracted
from consumers.extract.front_matter import split_front_matter
from consumers.extract.html import write_html
from consumers.extract.text_writer import TextWriter
from schemas.errors import Poison

_DEEPEST_NESTING: Final = 100
#: Site generators' tags: Liquid ``{% include … %}`` and kramdown ``{: .note}``. They are markup, not text.
_TEMPLATE_TAG: Final = re.compile(r"\{%[^%]{0,2000}%\}|\{:[^{}\n]*\}")


def extract_markdown(content: bytes) -> Extracted:
    """Read CommonMark with tables and front matter. Raises Poison."""
    front = split_front_matter(decode_text(content))
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST_NESTING}).enable(["table", "strikethrough"])
    tokens = parser.parse(front.body)
    if any(token.level >= _DEEPEST_NESTING - 1 for token in tokens):
        # Below this the parser leaves text out without a word.
        raise Poison("too_deeply_nested", "the Markdown nests lists or quotes too deeply to be read; flatten it")
    walk = _Walk()
    walk.blocks(tokens)
    writer = walk.writer
    first = next((heading.title for heading in writer.headings if heading.level == 1), "")
    return Extracted(
        text=writer.text(),
        title=front.title or first,
        headings=tuple(writer.headings),
        verbatim=tuple(writer.verbatim),
        metadata=front.metadata,
    )


class _Walk:
    """Goes through the flat token list; what is open at the moment is kept here."""

    def __init__(self) -> None:
        self.writer = TextWriter()
        self._lists: list[int | None] = []
        self._list_is_new = False
        self._heading_level = 0
        self._is_tight = False
        self._rows: list[list[str]] | None = None

    def blocks(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            match token.type:
                case "inline":
                    self._inline(_inline_text(token.children or []))
                case "heading_open":
                    self._heading_level = int(token.tag[1])
                case "heading_close":
                    self._heading_level = 0
                case "paragraph_open":
                    self._is_tight = token.hidden
                case "fence" | "code_block":
                    self.writer.verbatim_block(token.content, tight=self._is_tight)
                case "html_block":
                    write_html(token.content, self.writer)
                case "bullet_list_open" | "ordered_list_open" | "list_item_open" | "list_item_close":
                    self._list(token)
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                    self._is_tight = False
                case "table_open":
                    self._rows = []
                case "tr_open":
                    (self._rows or self._new_table()).append([])
                case "table_close":
                    self._close_table()

    def _new_table(self) -> list[list[str]]:
        self._rows = []
        return self._rows

    def _inline(self, text: str) -> None:
        if self._rows:
            self._rows[-1].append(" ".join(text.split()))
        elif self._heading_level:
            self.writer.heading(self._heading_level, text)
        else:
            starts_outer_list = self._list_is_new and len(self._lists) == 1
            self.writer.block(text, tight=self._is_tight and not starts_outer_list)
            self._list_is_new = False

    def _list(self, token: Token) -> None:
        if token.type == "list_item_close":
            self.writer.close_item()
        elif token.type == "list_item_open":
            is_ordered = self._lists[-1] is not None
            self.writer.open_item(f"{token.info}{token.markup} " if is_ordered else "- ")
        else:
            self._lists.append(1 if token.type == "ordered_list_open" else None)
            self._list_is_new = True

    def _close_table(self) -> None:
        rows, self._rows = self._rows or [], None
        self.writer.verbatim_block("\n".join(" | ".join(row) for row in rows if any(row)))


def _inline_text(tokens: Sequence[Token]) -> str:
    """Join an inline token's children; template tags are cut out of the prose between code spans only."""
    done: list[str] = []
    prose: list[str] = []
    for token in tokens:
        if token.type == "code_inline":
            done += [_TEMPLATE_TAG.sub("", "".join(prose)), token.content]
            prose.clear()
        elif token.type in {"softbreak", "hardbreak"} or token.content.lower().startswith("<br"):
            prose.append("\n")
        elif token.type in {"text", "image"}:
            prose.append(token.content)
    return "".join([*done, _TEMPLATE_TAG.sub("", "".join(prose))])
