"""Text to chunks: cut along the document's structure, packed up to a size in the model's own tokens, spans exact."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from consumers.blocks import Boundary, Strength, boundaries
from consumers.extract.extracted import Extracted
from consumers.packing import Packed, Packer
from consumers.prefix import fit_prefix
from consumers.sections import Section, sections_of
from consumers.token_map import TokenMap
from engines.ports import Tokenizer
from schemas.chunk import Chunk
from schemas.errors import Fatal, Poison
from schemas.generation import Chunking, ChunkStrategy

#: Room for a character of any script and a word of title.
SMALLEST_BUDGET_TOKENS: Final = 16
#: Engines hold strings of up to so many bytes.
_WHOLE_LIMIT_BYTES: Final = 65_535


def split(extracted: Extracted, *, title: str, chunking: Chunking, tokenizer: Tokenizer) -> list[Chunk]:
    """Cut a document into chunks; the same text and settings give the same chunks.

    Every visible character is in some chunk, and no chunk, with its prefix and the model's special tokens, has more
    than ``chunking.max_tokens`` or the model's limit. Raises Poison for a document that cannot be cut so, Fatal for
    settings that no document can meet.
    """
    budget = min(chunking.max_tokens, tokenizer.max_tokens) - tokenizer.special_tokens
    if budget < SMALLEST_BUDGET_TOKENS:
        raise Fatal(
            f"chunks of {chunking.max_tokens} tokens leave {budget} for text; "
            f"set chunking.max_tokens to {SMALLEST_BUDGET_TOKENS + tokenizer.special_tokens} or more"
        )
    if chunking.strategy is ChunkStrategy.WHOLE:
        return _whole(extracted, title, budget, tokenizer)
    return list(_Splitter(extracted, title=title, chunking=chunking, tokenizer=tokenizer, budget=budget).chunks())


def _whole(extracted: Extracted, title: str, budget: int, tokenizer: Tokenizer) -> list[Chunk]:
    text = extracted.text.strip()
    if not text:
        return []
    prefix = fit_prefix(title, (), tokenizer=tokenizer, limit_tokens=budget // 2)
    start = extracted.text.index(text[0])
    chunk = _chunk(extracted, ordinal=0, prefix=prefix, packed=Packed(start, start + len(text), 0), path=())
    tokens = tokenizer.count(chunk.searchable_text())
    if tokens > budget or len(text.encode()) > _WHOLE_LIMIT_BYTES:
        raise Poison(
            "document_exceeds_chunk",
            f"the document has {tokens} tokens with its title and {len(text.encode())} bytes, and one chunk may have "
            f"{budget} and {_WHOLE_LIMIT_BYTES}; raise chunking.max_tokens up to the model's limit or choose another "
            "strategy",
        )
    return [chunk]


class _Splitter:
    """Splits one document section by section; counts every finished chunk again."""

    def __init__(
        self, extracted: Extracted, *, title: str, chunking: Chunking, tokenizer: Tokenizer, budget: int
    ) -> None:
        self._extracted = extracted
        self._title = title
        self._chunking = chunking
        self._tokenizer = tokenizer
        self._budget = budget
        self._tokens = TokenMap(extracted.text, tokenizer)

    def chunks(self) -> Iterator[Chunk]:
        ordinal = 0
        for section in self._sections():
            prefix = fit_prefix(self._title, section.path, tokenizer=self._tokenizer, limit_tokens=self._budget // 2)
            packer = Packer(
                self._extracted.text,
                end=section.end,
                boundaries=self._boundaries(section),
                tokens=self._tokens,
                overlap=self._chunking.overlap_tokens,
            )
            position = packer.skip_space(section.start)
            previous_start: int | None = None
            while position < section.end:
                packed, used_prefix = self._next(packer, prefix, position, previous_start)
                yield _chunk(self._extracted, ordinal=ordinal, prefix=used_prefix, packed=packed, path=section.path)
                position, previous_start = packed.next_position, packed.start
                ordinal += 1

    def _next(self, packer: Packer, prefix: str, position: int, previous_start: int | None) -> tuple[Packed, str]:
        """Find the next chunk's span, smaller and smaller until the model would read all of it, and its prefix."""
        room = self._budget - (self._tokenizer.count(f"{prefix}\n") if prefix else 0)
        while True:
            packed = packer.pack(position, previous_start, max(room, 1))
            text = self._extracted.text[packed.start : packed.end]
            excess = self._tokenizer.count(f"{prefix}\n{text}" if prefix else text) - self._budget
            if excess <= 0:
                return packed, prefix
            if room > 1:
                room = max(1, min(room - 1, self._tokens.count(packed.start, packed.end) - excess))
            elif prefix:
                prefix, room = "", self._budget
            else:
                raise Poison(
                    "unsplittable_text",
                    f"the character at offset {packed.start} alone has more than {self._budget} tokens; "
                    "raise chunking.max_tokens or remove it",
                )

    def _sections(self) -> list[Section]:
        if self._chunking.strategy is ChunkStrategy.STRUCTURE:
            return sections_of(self._extracted, self._title)
        return [Section(0, len(self._extracted.text), ())]

    def _boundaries(self, section: Section) -> list[Boundary]:
        if self._chunking.strategy is ChunkStrategy.FIXED:
            return []
        found = boundaries(self._extracted.text, section.start, section.end, self._extracted.verbatim)
        if self._chunking.strategy is ChunkStrategy.SENTENCE:
            return [Boundary(boundary.position, Strength.SENTENCE) for boundary in found]
        return found


def _chunk(extracted: Extracted, *, ordinal: int, prefix: str, packed: Packed, path: tuple[str, ...]) -> Chunk:
    pages = extracted.pages
    return Chunk(
        ordinal=ordinal,
        text=extracted.text[packed.start : packed.end],
        prefix=prefix,
        start=packed.start,
        end=packed.end,
        heading_path=path,
        page=bisect_right(pages, packed.start) if pages is not None else None,
    )
