"""Packs a section's text into spans of at most so many tokens, cut at the best place, with some overlap."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from consumers.blocks import Boundary
from consumers.token_map import TokenMap

#: Text of more characters than this per token is white space, or words the model does not know and reads as one token.
_CHARACTERS_PER_TOKEN: Final = 16
#: In UTF-8 at most 65,532 bytes: engines hold strings of up to 65,535.
TEXT_LIMIT_CHARACTERS: Final = 16_383
#: White space before a visible character; possessive, to stay linear on a megabyte of it.
_SPACE: Final = re.compile(r"(?<!\s)\s++(?=\S)")


class Packed(NamedTuple):
    """A span of the text, overlap included, and where the next one's new text begins."""

    start: int
    end: int
    next_position: int


class Packer:
    """Finds the spans of one section; pure arithmetic over offsets."""

    def __init__(self, text: str, *, end: int, boundaries: Sequence[Boundary], tokens: TokenMap, overlap: int) -> None:
        self._text = text
        self._end = end
        self._boundaries = boundaries
        self._positions = [boundary.position for boundary in boundaries]
        self._tokens = tokens
        self._overlap = overlap

    def skip_space(self, position: int) -> int:
        """Return the offset of the next visible character, or the section's end."""
        while position < self._end and self._text[position].isspace():
            position += 1
        return position

    def pack(self, position: int, previous_start: int | None, room: int) -> Packed:
        """Pack from ``position``, preceded by overlap, as much as ``room`` tokens hold; always moves on."""
        start = position if previous_start is None else self._overlap_start(position, previous_start, room)
        cut = self._cut(start, position, room)
        if cut is None and start < position:
            start = position
            cut = self._cut(start, position, room)
        if cut is None:
            limit = self._limit(position, room)
            cut = max(self._tokens.last_end(position, limit), position + 1)
        end = cut
        while end > position + 1 and self._text[end - 1].isspace():
            end -= 1
        return Packed(start, end, self.skip_space(cut))

    def _limit(self, start: int, room: int) -> int:
        characters = min(room * _CHARACTERS_PER_TOKEN, TEXT_LIMIT_CHARACTERS)
        return min(self._tokens.furthest(start, room), start + characters, self._end)

    def _cut(self, start: int, position: int, room: int) -> int | None:
        """Find the best cut after ``position``: the section's end, a boundary, or a space between words."""
        limit = self._limit(start, room)
        if limit >= self._end:
            return self._end
        first = bisect_right(self._positions, position)
        beyond = bisect_right(self._positions, limit)
        half = self._tokens.furthest(start, room // 2)
        late = range(bisect_right(self._positions, half, lo=first, hi=beyond), beyond)
        if late:
            # The strongest in the second half; of equals, the last.
            return self._positions[max(late, key=lambda index: (self._boundaries[index].strength, index))]
        if first < beyond and self._fits_alone(beyond, room):
            return self._positions[beyond - 1]
        return self._space_before(limit, max(position, half)) or self._space_before(limit, position)

    def _fits_alone(self, beyond: int, room: int) -> bool:
        """Tell whether the unit that is too much here fits a span of its own; otherwise it is cut in any case."""
        unit_end = self._positions[beyond] if beyond < len(self._positions) else self._end
        return unit_end <= self._limit(self._positions[beyond - 1], room)

    def _space_before(self, limit: int, floor: int) -> int | None:
        """Return the last offset in (floor, limit] at which a word begins, preferring the start of a line."""
        spaces = list(_SPACE.finditer(self._text, floor, limit + 1))
        chosen = next((space for space in reversed(spaces) if "\n" in space[0]), spaces[-1] if spaces else None)
        return chosen.end() if chosen is not None else None

    def _overlap_start(self, position: int, previous_start: int, room: int) -> int:
        """Return where whole sentences, or else whole words, of the span before begin that fit the overlap."""
        allowed = min(self._overlap, room // 2)
        following = bisect_right(self._positions, position)
        unit_end = self._positions[following] if following < len(self._positions) else self._end
        needed = self._tokens.count(position, unit_end)
        if needed <= room:
            # Never at the price of cutting the sentence that follows.
            allowed = min(allowed, room - needed)
        earliest = max(
            self._tokens.earliest(position, allowed),
            previous_start + 1,
            position - allowed * _CHARACTERS_PER_TOKEN,
        )
        index = bisect_left(self._positions, earliest)
        if index < len(self._positions) and self._positions[index] < position:
            return self._positions[index]
        for place in range(earliest, position):
            if self._text[place - 1].isspace() and not self._text[place].isspace():
                return place
        return position
