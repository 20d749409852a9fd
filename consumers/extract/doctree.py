"""A docutils document tree, written as readable text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Final

from docutils import nodes

from consumers.extract.text_writer import TextWriter

_SKIPPED: Final = (
    nodes.comment, nodes.substitution_definition, nodes.target, nodes.pending, nodes.raw, nodes.meta,
    nodes.transition, nodes.decoration, nodes.colspec, nodes.title,
)  # fmt: skip
_TITLED: Final = (nodes.Admonition, nodes.topic, nodes.sidebar)
_VERBATIM: Final = (nodes.literal_block, nodes.doctest_block, nodes.math_block)
#: ``:role:`text``` with a role docutils does not know, and ```text`_`` with a target it does not find.
_ROLE: Final = re.compile(r"(?::[\w:.+-]+:)?`+([^`]*?)(?:\s*<[^<>`]*>)?`+_*(?::[\w:.+-]+:)?", re.DOTALL)
_DIRECTIVE: Final = re.compile(r"\A\s*\.\. +(?:\|[^|\n]+\| +)?([\w:.+-]+)::[ \t]*([^\n]*)(?:\n|\Z)")
_OPTION: Final = re.compile(r"\s+:[\w-]+:(?:\s[^\n]*)?$")
_CODE_DIRECTIVES: Final = frozenset({"code", "code-block", "sourcecode", "productionlist", "parsed-literal", "math"})
_DROPPED_DIRECTIVES: Final = frozenset(
    {"highlight", "index", "toctree", "include", "literalinclude", "raw", "currentmodule", "module", "image"}
)
#: Directives that docutils does not know are parsed again, one inside the other, this often.
_DEEPEST_DIRECTIVE: Final = 6
_ERROR_LEVEL: Final = 3
_LETTERS: Final = 26
#: Longer ones are shown by name: a few bytes of reference each would otherwise add up to gigabytes.
_SUBSTITUTION_LIMIT_CHARACTERS: Final = 200


class DoctreeWalk:
    """Writes one document; ``fields`` holds the field list it begins with."""

    def __init__(self, writer: TextWriter, parse: Callable[[str], nodes.document]) -> None:
        self.fields: dict[object, object] = {}
        self._writer = writer
        self._parse = parse
        self._substitutions: dict[str, str] = {}
        self._level = 0
        self._directive_depth = 0

    def document(self, document: nodes.document) -> None:
        """Write a whole tree."""
        for name, definition in document.substitution_defs.items():
            text = inline_text(definition)
            if len(text) <= _SUBSTITUTION_LIMIT_CHARACTERS:
                self._substitutions[name] = text
        for reference in document.findall(nodes.substitution_reference):
            text = self._substitutions.get(str(reference["refname"]), reference.astext())
            reference.children = [nodes.Text(text)]
        self._children(document)

    def _node(self, node: nodes.Node) -> None:
        match node:
            case nodes.system_message():
                self._system_message(node)
            case nodes.section():
                self._section(node)
            case nodes.bullet_list() | nodes.enumerated_list():
                self._list(node)
            case nodes.definition_list_item() | nodes.option_list_item():
                self._definition(node)
            case nodes.field():
                self._field(node)
            case nodes.table():
                self._table(node)
            case nodes.footnote() | nodes.citation():
                self._footnote(node)
            case nodes.image():
                self._writer.block(str(node.get("alt", "")))
            case nodes.attribution():
                self._writer.block(f"— {inline_text(node)}")
            case nodes.line_block():
                self._writer.block("\n".join(inline_text(line) for line in node.findall(nodes.line)))
            case nodes.Element():
                self._element(node)

    def _element(self, node: nodes.Element) -> None:
        if isinstance(node, _TITLED):
            self._admonition(node)
        elif isinstance(node, _VERBATIM):
            self._writer.verbatim_block(node.astext())
        elif isinstance(node, nodes.TextElement):
            if not isinstance(node, _SKIPPED):
                self._writer.block(inline_text(node))
        elif not isinstance(node, _SKIPPED):
            self._children(node)

    def _children(self, node: nodes.Element) -> None:
        for child in node.children:
            self._node(child)

    def _section(self, section: nodes.section) -> None:
        if "system-messages" in section["classes"]:
            return
        self._level += 1
        title = section.next_node(nodes.title, descend=True)
        if title is not None and title.parent is section:
            self._writer.heading(self._level, inline_text(title))
        self._children(section)
        self._level -= 1

    def _list(self, node: nodes.bullet_list | nodes.enumerated_list) -> None:
        ordered = isinstance(node, nodes.enumerated_list)
        number = int(node.get("start", 1))
        tight = all(len(item.children) <= 1 for item in node.children if isinstance(item, nodes.Element))
        for index, item in enumerate(node.children):
            if not isinstance(item, nodes.list_item):
                self._node(item)
                continue
            self._writer.open_item(f"{_enumerator(node, number + index)} " if ordered else "- ")
            for place, child in enumerate(item.children):
                if place == 0 and index > 0 and tight and isinstance(child, nodes.paragraph):
                    self._writer.block(inline_text(child), tight=True)
                else:
                    self._node(child)
            self._writer.close_item()

    def _definition(self, node: nodes.Element) -> None:
        terms = [child for child in node.children if isinstance(child, nodes.TextElement | nodes.option_group)]
        self._writer.block(" : ".join(inline_text(term) for term in terms))
        for body in node.children:
            if isinstance(body, nodes.Element) and _is_body(body):
                self._writer.open_item("    ")
                for index, child in enumerate(body.children):
                    if index == 0 and isinstance(child, nodes.paragraph):
                        self._writer.block(inline_text(child), tight=True)
                    else:
                        self._node(child)
                self._writer.close_item()

    def _field(self, node: nodes.field) -> None:
        name, body = inline_text(node.children[0]), node.children[1]
        at_top = self._writer.is_empty or (self._level == 1 and len(self._writer.headings) == 1)
        value = " ".join(body.astext().split())
        if at_top and value:
            self.fields.setdefault(name, value)
        if not value or not isinstance(body, nodes.Element):
            self._writer.block(f"{name}:")
            return
        self._writer.open_item(f"{name}: ", "  ")
        self._children(body)
        self._writer.close_item()

    def _footnote(self, node: nodes.Element) -> None:
        label = node.next_node(nodes.label)
        self._writer.open_item(f"[{label.astext() if label is not None else '#'}] ", "")
        for child in node.children:
            if not isinstance(child, nodes.label):
                self._node(child)
        self._writer.close_item()

    def _admonition(self, node: nodes.Element) -> None:
        title = node.next_node(nodes.title)
        name = inline_text(title) if title is not None else node.tagname.capitalize()
        self._writer.open_item(f"{name}: ", "")
        self._children(node)
        self._writer.close_item()

    def _table(self, node: nodes.table) -> None:
        title = node.next_node(nodes.title)
        if title is not None:
            self._writer.block(inline_text(title))
        rows = [
            " | ".join(" ".join(_block_text(entry).split()) for entry in row.children)
            for row in node.findall(nodes.row)
        ]
        self._writer.verbatim_block("\n".join(rows))

    def _system_message(self, message: nodes.system_message) -> None:
        """Write what docutils could not read: an unknown directive, or a table or heading that is malformed."""
        source = message.next_node(nodes.literal_block)
        if source is None or int(message["level"]) < _ERROR_LEVEL:
            return
        raw = source.astext()
        directive = _DIRECTIVE.match(raw)
        if directive is None:
            self._writer.verbatim_block(raw)
        elif directive[1] not in _DROPPED_DIRECTIVES:
            self._directive(directive[1], directive[2], raw[directive.end() :])

    def _directive(self, name: str, argument: str, content: str) -> None:
        lines = content.split("\n")
        while lines and _OPTION.match(lines[0]):
            lines.pop(0)
        body = textwrap.dedent("\n".join(lines))
        if not argument and not body.strip():
            # A notice such as ``.. withdrawn::``, whose name is all it says.
            self._writer.block(name.replace("-", " ").capitalize())
            return
        if name in _CODE_DIRECTIVES:
            self._writer.verbatim_block(body if name != "productionlist" else f"{argument}\n{body}")
            return
        if name.startswith(("version", "deprecated")):
            argument = f"{name}: {argument}"
        if self._directive_depth >= _DEEPEST_DIRECTIVE:
            self._writer.block(f"{argument}\n{body}")
            return
        self._directive_depth += 1
        self._writer.block(_ROLE.sub(r"\1", argument))
        self.document(self._parse(body))
        self._directive_depth -= 1


def inline_text(node: nodes.Node) -> str:
    """Return the text of an inline tree, as a reader sees it."""
    match node:
        case nodes.Text():
            return node.astext()
        case nodes.problematic():
            return _ROLE.sub(r"\1", node.astext())
        case nodes.footnote_reference() | nodes.citation_reference():
            return f"[{node.astext() or '#'}]"
        case nodes.image():
            return str(node.get("alt", ""))
        case nodes.system_message() | nodes.raw():
            return ""
        case nodes.Element():
            return "".join(inline_text(child) for child in node.children)
    return ""


def _block_text(node: nodes.Node) -> str:
    if isinstance(node, nodes.TextElement | nodes.Text):
        return inline_text(node)
    return "\n".join(_block_text(child) for child in node.children)


def _is_body(node: nodes.Element) -> bool:
    return isinstance(node, nodes.definition | nodes.description)


def _enumerator(node: nodes.Element, number: int) -> str:
    kind, suffix = node.get("enumtype", "arabic"), node.get("suffix", ".")
    if kind in {"loweralpha", "upperalpha"} and 1 <= number <= _LETTERS:
        return chr(ord("a" if kind == "loweralpha" else "A") + number - 1) + suffix
    return f"{number}{suffix}"
