"""Writes readable text block by block and notes where headings and verbatim blocks came to stand."""

from __future__ import annotations

from consumers.extract.extracted import Heading, Span

#: Deeper nesting is written at this depth: otherwise its indentation alone grows with the square of the document.
_DEEPEST_INDENT = 12


class TextWriter:
    """Blocks stand apart by a blank line, tight ones by a line end; each is indented under its list item."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self.verbatim: list[Span] = []
        self._parts: list[str] = []
        self._length = 0
        #: For each open item, what stands before its next line: first its marker, then as many spaces.
        self._leads: list[str] = []
        self._indents: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has been written."""
        return self._length == 0

    def text(self) -> str:
        """Return everything written so far."""
        return "".join(self._parts)

    def open_item(self, marker: str, indent: str | None = None) -> None:
        """Put the marker before the next block, and indent what follows under it until ``close_item``."""
        self._leads.append(marker)
        self._indents.append(" " * len(marker) if indent is None else indent)

    def close_item(self) -> None:
        """End the innermost item."""
        self._leads.pop()
        self._indents.pop()

    def block(self, text: str, *, tight: bool = False) -> None:
        """Write a block of prose; one without a visible character is left out."""
        lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
        if lines:
            self._write(lines, tight=tight)

    def verbatim_block(self, text: str, *, tight: bool = False) -> None:
        """Write code or table rows: every line stays as it is."""
        lines = [line.rstrip() for line in text.expandtabs(4).split("\n")]
        while lines and not lines[0]:
            lines.pop(0)
        while lines and not lines[-1]:
            lines.pop()
        if lines:
            start = self._write(lines, tight=tight)
            self.verbatim.append(Span(start, self._length))

    def heading(self, level: int, title: str) -> None:
        """Write a heading on a line of its own."""
        title = " ".join(title.split())
        if title:
            self.headings.append(Heading(self._write([title], tight=False), level, title))

    def _write(self, lines: list[str], *, tight: bool) -> int:
        if self._length:
            self._append("\n" if tight else "\n\n")
        lead = "".join(self._leads[:_DEEPEST_INDENT])
        self._leads = list(self._indents)
        indent = "".join(self._leads[:_DEEPEST_INDENT])
        self._append(lead)
        start = self._length
        self._append("\n".join([lines[0], *(indent + line if line else "" for line in lines[1:])]))
        return start

    def _append(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)
