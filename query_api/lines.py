"""Cutting a stream of bytes into lines, in bounded memory: a line that is too long is dropped, its neighbours stay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; ``content`` is None where it was too long."""

    number: int
    content: bytes | None


class LineCutter:
    """Takes bytes as they come and gives lines as they end.

    Invariant: never holds more than ``limit_bytes`` and the part last fed.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._number = 1
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._too_long = False

    def feed(self, part: bytes) -> list[Line]:
        """Return the lines that end in this part."""
        *ended, rest = part.split(b"\n")
        lines: list[Line] = []
        for piece in ended:
            self._hold(piece)
            lines.append(self._end())
        self._hold(rest)
        return lines

    def finish(self) -> list[Line]:
        """Return the last line, if it has no end of its own."""
        return [self._end()] if self._begun or self._too_long else []

    def _hold(self, piece: bytes) -> None:
        if not piece or self._too_long:
            return
        self._begun_bytes += len(piece)
        if self._begun_bytes > self._limit_bytes:
            self._too_long = True
            self._begun.clear()
        else:
            self._begun.append(piece)

    def _end(self) -> Line:
        line = Line(self._number, None if self._too_long else b"".join(self._begun))
        self._number += 1
        self._begun, self._begun_bytes, self._too_long = [], 0, False
        return line
