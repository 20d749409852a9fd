"""What stands in front of a chunk where it is embedded: the document's title, then the headings above the chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engines.ports import Tokenizer

_CHARACTERS_PER_TOKEN: Final = 16


def fit_prefix(title: str, path: Sequence[str], *, tokenizer: Tokenizer, limit_tokens: int) -> str:
    """Join title and headings, one a line, in so many tokens: first the outermost headings go, then the title's end."""
    limit_characters = limit_tokens * _CHARACTERS_PER_TOKEN
    has_title = bool(title.strip())
    parts = [" ".join(part.split()) for part in ([title] if has_title else []) + list(path)]
    while len(parts) > 1:
        prefix = "\n".join(parts)
        if len(prefix) <= limit_characters and tokenizer.count(prefix) <= limit_tokens:
            return prefix
        parts.pop(1 if has_title else 0)
    return _cut(parts[0][:limit_characters], tokenizer, limit_tokens) if parts else ""


def _cut(text: str, tokenizer: Tokenizer, limit_tokens: int) -> str:
    """Return the beginning of the text that has no more than so many tokens, in whole words where there are any."""
    keep = limit_tokens
    offsets = tokenizer.offsets(text)
    if len(offsets) <= keep:
        return text
    while keep > 0:
        end = offsets[keep][0]
        space = text.rfind(" ", 0, end + 1)
        cut = text[: space if space > 0 else end].rstrip()
        if tokenizer.count(cut) <= limit_tokens:
            return cut
        keep -= 1
    return ""
