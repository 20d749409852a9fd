"""Tokenizers small enough to be read at a glance, for the splitter's tests."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(slots=True)
class WordTokenizer:
    """Words of up to ``piece`` letters and single other characters are tokens; counts the characters it has read."""

    max_tokens: int = 256
    special_tokens: int = 2
    piece: int = 6
    characters_read: int = 0

    def offsets(self, text: str) -> list[tuple[int, int]]:
        self.characters_read += len(text)
        return [match.span() for match in re.finditer(rf"\w{{1,{self.piece}}}|[^\w\s]", text)]

    def count(self, text: str) -> int:
        return len(self.offsets(text))


@dataclass(slots=True)
class ByteTokenizer:
    """Every byte of UTF-8 is a token, also white space: one character has several, all at the same place."""

    max_tokens: int = 256
    special_tokens: int = 0

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [(index, index + 1) for index, character in enumerate(text) for _ in character.encode()]

    def count(self, text: str) -> int:
        return len(text.encode())


@dataclass(slots=True)
class GreedyTokenizer:
    """Tokens are pairs of characters, counted from the start: where a text is cut changes how many there are."""

    max_tokens: int = 256
    special_tokens: int = 2

    def offsets(self, text: str) -> list[tuple[int, int]]:
        spans = []
        for word in re.finditer(r"\s?\S+", text):
            start, end = word.span()
            spans += [(place, min(place + 2, end)) for place in range(start, end, 2)]
        return spans

    def count(self, text: str) -> int:
        return len(self.offsets(text))
