"""HTML: the text a reader sees, block by block, without scripts, styles, navigation and hidden parts."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from consumers.extract.decoding import decode_text
from consumers.extract.extracted import Extracted
from consumers.extract.text_writer import TextWriter

_SKIPPED: Final = frozenset(
    {
        "head", "script", "style", "nav", "noscript", "template", "svg", "canvas", "iframe", "object", "embed",
        "audio", "video", "map", "button", "select", "input", "textarea", "datalist", "dialog",
    }
)  # fmt: skip
_BLOCKS: Final = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl",
        "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend",
        "li", "main", "ol", "p", "pre", "search", "section", "summary", "table", "tbody", "td", "tfoot", "th",
        "thead", "tr", "ul",
    }
)  # fmt: skip
_TIGHT: Final = frozenset({"li", "dt", "dd"})
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
#: A table that holds any of these lays out a page; its cells are blocks, not columns.
_LAYOUT: Final = "table, h1, h2, h3, h4, pre, form"
_HIDDEN_STYLE: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACE: Final = re.compile(r"[^\S\n]+")
_ANY_SPACE: Final = re.compile(r"\s+")
_CHARSET: Final = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def extract_html(content: bytes) -> Extracted:
    """Read an HTML page, in UTF-8 or the encoding it declares. Raises Poison."""
    source = decode_text(content, _declared_encoding(content))
    writer = TextWriter()
    title = write_html(source, writer)
    first = next((heading.title for heading in writer.headings if heading.level == 1), "")
    return Extracted(
        text=writer.text(),
        title=title or first,
        headings=tuple(writer.headings),
        verbatim=tuple(writer.verbatim),
    )


def write_html(source: str, writer: TextWriter) -> str:
    """Write a page's or a fragment's visible text, and return its title."""
    tree = LexborHTMLParser(source)
    if tree.root is not None:
        walk = _Walk(writer)
        for node, entering in _steps(tree.root):
            if entering:
                walk.enter(node)
            else:
                walk.leave(node)
        walk.flush()
    title = tree.head.css_first("title") if tree.head is not None else None
    return " ".join((title.text() if title is not None else "").split())


def _declared_encoding(content: bytes) -> str:
    declared = _CHARSET.search(content[:1024])
    if declared is None or content.startswith(codecs.BOM_UTF8):
        return "utf-8"
    name = declared[1].decode("ascii").lower()
    # Browsers read the first as the second: it differs only where Latin-1 has control characters.
    name = "cp1252" if name in {"iso-8859-1", "latin-1", "latin1", "us-ascii"} else name
    try:
        return name if "x".encode(name) == b"x" else "utf-8"
    except (LookupError, UnicodeError):
        return "utf-8"


def _steps(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each visible node on entering and on leaving it, without recursion: pages nest as deep as they like."""
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        if not entering:
            yield node, False
            continue
        following = node.next if node is not root else None
        if following is not None:
            stack.append((following, True))
        if _is_skipped(node):
            continue
        yield node, True
        stack.append((node, False))
        child = node.first_child
        if child is not None:
            stack.append((child, True))


def _is_skipped(node: LexborNode) -> bool:
    if node.is_text_node:
        return False
    if not node.is_element_node or node.tag in _SKIPPED:
        return True
    attributes = node.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or _HIDDEN_STYLE.search(attributes.get("style") or "") is not None
    )


def _lays_out(table: LexborNode) -> bool:
    child = table.first_child
    while child is not None:
        # Asked of the children, because an element's own tag counts as found in it.
        if child.is_element_node and child.css_first(_LAYOUT) is not None:
            return True
        child = child.next
    return False


class _Walk:
    """Collects inline text and writes it out wherever a block begins or ends."""

    def __init__(self, writer: TextWriter) -> None:
        self._writer = writer
        self._inline: list[str] = []
        self._is_tight = False
        self._preformatted = 0
        #: For each open list, whether it is numbered and how many items it has had.
        self._lists: list[tuple[bool, int]] = []
        self._table: LexborNode | None = None
        self._rows: list[list[str]] = []

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if node.is_text_node:
            text = node.text_content or ""
            self._inline.append(text if self._preformatted else _ANY_SPACE.sub(" ", text))
        elif tag == "br":
            self._inline.append("\n")
        elif self._table is not None:
            self._enter_cell(tag)
        elif tag in _HEADINGS:
            self.flush()
        elif tag in _BLOCKS:
            self._enter_block(node, tag)

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if self._table is not None:
            self._leave_cell(node, tag)
        elif tag in _HEADINGS:
            self._writer.heading(_HEADINGS[tag], "".join(self._inline))
            self._inline.clear()
        elif tag in _BLOCKS:
            self._leave_block(tag)

    def flush(self) -> None:
        """Write the inline text collected so far as one block."""
        text, tight = "".join(self._inline), self._is_tight
        self._inline.clear()
        if self._preformatted:
            self._writer.verbatim_block(text, tight=tight)
        elif text and not text.isspace():
            self._writer.block(_SPACE.sub(" ", text), tight=tight)
            self._is_tight = False

    def _enter_block(self, node: LexborNode, tag: str) -> None:
        self.flush()
        self._is_tight = self._is_tight or tag in _TIGHT
        if tag in {"ul", "ol"}:
            self._lists.append((tag == "ol", 0))
        elif tag == "li":
            self._open_item()
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "table" and not _lays_out(node):
            self._table, self._rows = node, []

    def _leave_block(self, tag: str) -> None:
        self.flush()
        self._is_tight = False
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._writer.close_item()
        elif tag == "pre":
            self._preformatted -= 1

    def _open_item(self) -> None:
        numbered, count = self._lists.pop() if self._lists else (False, 0)
        self._lists.append((numbered, count + 1))
        self._writer.open_item(f"{count + 1}. " if numbered else "- ")
        self._is_tight = count > 0 or len(self._lists) > 1

    def _enter_cell(self, tag: str) -> None:
        if tag == "tr":
            self._rows.append([])
        if tag in _BLOCKS:
            self._inline.append(" ")

    def _leave_cell(self, node: LexborNode, tag: str) -> None:
        if tag in {"td", "th", "caption"}:
            if not self._rows or tag == "caption":
                self._rows.append([])
            self._rows[-1].append(" ".join("".join(self._inline).split()))
            self._inline.clear()
        elif tag in _BLOCKS:
            self._inline.append(" ")
        if node == self._table:
            self._table = None
            self._inline.clear()
            self._writer.verbatim_block("\n".join(" | ".join(row) for row in self._rows if any(row)))
