"""Where sentences begin: punctuation, abbreviations and quotes of most languages, with exact offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Possessive quantifiers and the look-behind keep this linear on a megabyte of dots.
_END: Final = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+\s++ | [。！？｡．؟।]++["”’»」』）】\]]*+\s*+""", re.VERBOSE)
_LAST_WORD: Final = re.compile(r"[^\s(\[\"'“‘«]*\Z")
_LONGEST_WORD: Final = 24
#: ``1.`` begins a list item, ``1999.`` ends a sentence; ``e.g`` and ``U.S`` are dotted words.
_LONGEST_NUMBER: Final = 3
_LONGEST_DOTTED: Final = 5
_DEEPEST_INDENT: Final = 40
_ABBREVIATIONS: Final = frozenset(
    {
        "al", "approx", "art", "assoc", "bros", "ca", "capt", "cf", "ch", "co", "col", "corp", "dept", "dr", "ed",
        "eds", "eq", "eqs", "esp", "est", "fig", "figs", "gen", "gov", "hon", "inc", "incl", "jr", "ltd", "maj",
        "mr", "mrs", "ms", "mt", "no", "nos", "nr", "op", "p", "pp", "prof", "ref", "refs", "resp", "rev", "sec",
        "sen", "sgt", "sr", "st", "tab", "univ", "viz", "vol", "vols", "vs", "jan", "feb", "mar", "apr", "jun",
        "jul", "aug", "sep", "sept", "oct", "nov", "dec", "bzw", "ggf", "usw", "z.b", "d.h", "u.a",
    }
)  # fmt: skip


def sentence_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the offset of every sentence in ``text[start:end]`` but the first."""
    for match in _END.finditer(text, start, end):
        if match.end() < end and not (text[match.start()] == "." and _goes_on(text, match, start)):
            yield match.end()


def _goes_on(text: str, match: re.Match[str], start: int) -> bool:
    """Tell whether a full stop ends a word only and not the sentence."""
    if text[match.end()].islower():
        return True
    # Two dots or more are no abbreviation.
    if text[match.start() : match.start() + 2] == "..":
        return False
    before = _LAST_WORD.search(text[max(start, match.start() - _LONGEST_WORD) : match.start()])
    word = before[0] if before is not None else ""
    if len(word) == 1 and word.isalpha() and word.isupper():
        return True
    if word.isdecimal() and len(word) <= _LONGEST_NUMBER:
        return _begins_line(text, match.start() - len(word), start)
    return word.lower() in _ABBREVIATIONS or (
        "." in word and len(word) <= _LONGEST_DOTTED and word.replace(".", "").isalpha()
    )


def _begins_line(text: str, position: int, start: int) -> bool:
    """Tell whether nothing but indentation stands before on the line; looks back a little only, to stay linear."""
    window_start = max(start, position - _DEEPEST_INDENT)
    before, newline, line = text[window_start:position].rpartition("\n")
    return not line.strip() and (newline == "\n" or (window_start == start and not before))
