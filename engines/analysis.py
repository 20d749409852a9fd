"""Cuts text into words, once for all text engines, and names the languages whose stemmers they share.

Engines disagree about apostrophes, hyphens, ligatures, combining marks and scripts without spaces; so the cutting is
done here, for documents and queries alike, and an engine is handed words with single spaces between them. All that is
left to it is dropping stop words and stemming, for which Lucene and Tantivy carry the same Snowball lists and
algorithms. Languages for which they do not (Dutch, where Lucene uses Kraaij-Pohlmann) are left out.

- Characters are brought to Unicode's NFKC form (``ﬁ`` is ``fi``, ``ｗ`` is ``w``) and to lower case.
- A word is a run of letters, marks and digits: ``5-HT2A`` is ``5 ht2a``, ``foo_bar`` is ``foo bar``.
- In English, an apostrophe inside a word joins and a possessive falls away: ``can't`` is ``cant``, ``O'Neil's`` is
  ``oneil``. Elsewhere it separates, as French and Italian need: ``l'homme`` is ``l homme``.
- Each Han, Hiragana and Katakana character is a word of its own.
- Invisible joiners and soft hyphens vanish, so that a hyphenated PDF still says ``example``.
- Words over 255 characters, such as embedded data, are left out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from schemas.errors import Fatal

#: Cuts words and does nothing else.
STANDARD: Final = "standard"
LANGUAGES: Final = (
    "danish",
    "english",
    "finnish",
    "french",
    "german",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
)
WORD_LIMIT: Final = 255
_INVISIBLE: Final = frozenset("\u00ad\u200c\u200d\u2060\ufeff")
_ONE_CHARACTER_WORDS: Final = re.compile("[\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
_JOINING_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])'(?:s\b|(?=[^\W\d_]))")
#: Bounds what remembering costs when texts hold every character there is.
_REMEMBERED_CHARACTERS: Final = 20_000


def check_analyzer(name: str) -> str:
    """Return the name. Raises Fatal when no text engine here can provide it."""
    if name != STANDARD and name not in LANGUAGES:
        raise Fatal(f"analyzer {name!r} is unknown; choose one of {', '.join((STANDARD, *LANGUAGES))}")
    return name


def words_of(text: str, analyzer: str) -> list[str]:
    """Cut text into words as the module describes; stop words and endings are still there."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    folded = folded.lower()
    if "'" in folded and analyzer in (STANDARD, "english"):
        folded = _JOINING_APOSTROPHE.sub("", folded)
    return [word for word in folded.translate(_SEPARATE).split(" ") if word and len(word) <= WORD_LIMIT]


class _Separation(dict[int, str]):
    """What stands for each character once words are separated; remembers characters as it meets them."""

    def __missing__(self, code_point: int) -> str:
        replacement = _separate(chr(code_point))
        if len(self) < _REMEMBERED_CHARACTERS:
            self[code_point] = replacement
        return replacement


def _separate(character: str) -> str:
    if character in _INVISIBLE:
        return ""
    if _ONE_CHARACTER_WORDS.match(character) and unicodedata.category(character)[0] in "LN":
        return f" {character} "
    return character if unicodedata.category(character)[0] in "LMN" else " "


_SEPARATE: Final = _Separation()
