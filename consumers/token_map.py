"""Where tokens end in a text, so that any stretch of it can be measured without tokenising it again."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Final

from engines.ports import Tokenizer

#: Large enough to spread the cost of a call, small enough that a call's answer takes little memory.
_PIECE_CHARACTERS: Final = 4_000


class TokenMap:
    """Counts are exact for stretches cut between words and close elsewhere; what must hold is counted again.

    Each character is tokenised once. Tokens are placed by where they end: where they begin, some tokenizers include
    the space in front.
    """

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self._length = len(text)
        self._ends = array("q")
        for start, end in _pieces(text):
            last = start
            for _, token_end in tokenizer.offsets(text[start:end]):
                # Never decreasing, whatever a tokenizer's normaliser does to the order.
                last = max(last, start + token_end)
                self._ends.append(last)

    def count(self, start: int, end: int) -> int:
        """Return the number of tokens in a stretch."""
        return bisect_right(self._ends, end) - bisect_right(self._ends, start)

    def furthest(self, start: int, tokens: int) -> int:
        """Return the largest offset up to which there are no more than so many tokens."""
        index = bisect_right(self._ends, start) + tokens
        return max(start, self._ends[index] - 1) if index < len(self._ends) else self._length

    def earliest(self, end: int, tokens: int) -> int:
        """Return the smallest offset from which there are no more than so many tokens up to ``end``."""
        index = bisect_right(self._ends, end) - tokens
        return min(end, self._ends[index - 1]) if index > 0 else 0

    def last_end(self, start: int, limit: int) -> int:
        """Return where the last token that ends after ``start`` and not after ``limit`` ends; else ``limit``."""
        index = bisect_right(self._ends, limit)
        return self._ends[index - 1] if index > bisect_left(self._ends, start + 1) else limit


def _pieces(text: str) -> list[tuple[int, int]]:
    """Cut a text into pieces, at white space where there is any."""
    pieces: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + _PIECE_CHARACTERS
        if end < len(text):
            cut = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + 1, end))
            end = cut if cut > start else end
        pieces.append((start, min(end, len(text))))
        start = end
    return pieces
