"""Cuts texts into words and punctuation marks without any model: the hash embedder's tokenizer."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")


class WordTokenizer:
    """A Tokenizer with the limits of a small model, so that what is tested without a model meets limits too."""

    def __init__(self, *, max_tokens: int = 256, special_tokens: int = 2) -> None:
        self.max_tokens = max_tokens
        self.special_tokens = special_tokens

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's character span in the text, in order."""
        return [match.span() for match in _TOKEN.finditer(text)]

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return len(_TOKEN.findall(text))

    def cut(self, text: str) -> str:
        """Return the beginning of the text that the limit leaves."""
        spans = self.offsets(text)
        room = self.max_tokens - self.special_tokens
        return text if len(spans) <= room else text[: spans[room - 1][1]]
