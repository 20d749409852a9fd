"""Random histories of documents, as the embeddings topic holds them, and what must be visible after each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np

from schemas.chunk import Chunk, ChunkSet, Operation
from schemas.codec import encode_embedded_chunk_set
from schemas.embedding import EmbeddedChunkSet
from schemas.keys import DocumentKey
from streams.log import Record
from tests.consumers.unreliable_engines import REFUSED_WORD

FINGERPRINT = "model-of-the-tests"
DIMENSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version says: how many rows each of its parts brings, and which row, if any, an engine refuses."""

    name: str
    rows_by_part: tuple[int, ...]
    refused_row: int | None = None

    @property
    def row_count(self) -> int:
        return sum(self.rows_by_part)

    def text(self, ordinal: int) -> str:
        return f"{self.name}/{ordinal}" + (f" {REFUSED_WORD}" if ordinal == self.refused_row else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record to be: a part of a version; ``content`` None is a delete."""

    document: DocumentKey
    version: int
    content: Content | None
    part: int = 0

    @property
    def is_last_part(self) -> bool:
        return self.content is None or self.part == len(self.content.rows_by_part) - 1

    def chunk_set(self) -> ChunkSet:
        if self.content is None:
            return ChunkSet(document=self.document, version=self.version, operation=Operation.DELETE)
        first = sum(self.content.rows_by_part[: self.part])
        ordinals = range(first, first + self.content.rows_by_part[self.part])
        return ChunkSet(
            document=self.document,
            version=self.version,
            operation=Operation.UPSERT,
            content_hash=self.content.name,
            part=self.part,
            parts=len(self.content.rows_by_part),
            row_count=self.content.row_count,
            chunks=tuple(Chunk(ordinal=n, text=self.content.text(n), prefix="", start=0, end=1) for n in ordinals),
        )

    def record(self, offset: int) -> Record:
        chunk_set = self.chunk_set()
        vectors = np.zeros((len(chunk_set.chunks), DIMENSION), np.float32)
        return Record(
            topic="c.g1.embeddings",
            partition=0,
            offset=offset,
            key=self.document.encoded().encode(),
            value=encode_embedded_chunk_set(EmbeddedChunkSet(chunk_set, FINGERPRINT, vectors)),
            headers=(),
            timestamp_ms=offset,
        )


class History:
    """The records in order, and after how many of them each version that can be whole is whole."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.documents = sorted({entry.document for entry in entries})
        self.contents = {(entry.document, entry.version): entry.content for entry in entries}
        self.whole_after = {
            (document, version): after
            for document, version in self.contents
            if (after := _whole_after(entries, document, version)) is not None
        }
        #: By document, for each number of records, the newest version that is whole in as many; 0 where none is.
        self.newest = {
            document: [self._newest(document, offset) for offset in range(len(entries) + 1)]
            for document in self.documents
        }

    def _newest(self, document: DocumentKey, offset: int) -> int:
        return max((v for (d, v), after in self.whole_after.items() if d == document and after <= offset), default=0)


def random_history(random: Random, *, versions: int) -> History:
    """Write some versions of one or two documents, with losses and repetitions as stages before this one cause them."""
    log: list[Entry] = []
    for name in ["a", "b"][: random.randint(1, 2)]:
        log = _interleave(random, log, _document(random, DocumentKey("t", name), versions))
    return History(log)


def _document(random: Random, key: DocumentKey, versions: int) -> list[Entry]:
    contents = [_content(random, f"{key.id}{n}") for n in range(3)]
    log: list[Entry] = []
    for version in range(1, random.randint(1, versions) + 1):
        content = None if random.random() < 0.2 else random.choice(contents)
        count = 1 if content is None else len(content.rows_by_part)
        lost = random.randrange(count) if random.random() < 0.3 else None
        if lost is not None and content is not None:
            # Its own, because a version that says what is visible anyway is whole whatever was lost of it.
            content = replace(content, name=f"{key.id}-lost-{version}")
        whole = [Entry(document=key, version=version, content=content, part=part) for part in range(count)]
        log += [entry for entry in whole if entry.part != lost]
        if random.random() < 0.3:
            # An earlier stage did its work twice; the second time, what was lost may get through.
            again = whole if random.random() < 0.5 else [entry for entry in whole if entry.part != lost]
            log = [*log, *([] if random.random() < 0.5 else _repeat(random, log)), *again]
        elif log and random.random() < 0.2:
            log += _repeat(random, log)
    return log


def _repeat(random: Random, log: list[Entry]) -> list[Entry]:
    begin = random.randrange(len(log)) if log else 0
    return log[begin : begin + random.randint(1, 4)]


def _content(random: Random, name: str) -> Content:
    rows = tuple(random.randint(1, 2) for _ in range(random.choice([1, 1, 2, 3])))
    return Content(name=name, rows_by_part=rows, refused_row=0 if random.random() < 0.1 else None)


def _interleave(random: Random, left: list[Entry], right: list[Entry]) -> list[Entry]:
    left, right, mixed = list(left), list(right), []
    while left or right:
        source = left if left and (not right or random.random() < 0.5) else right
        mixed.append(source.pop(0))
    return mixed


def _whole_after(log: list[Entry], document: DocumentKey, version: int) -> int | None:
    """Find the last part that comes when all others have come."""
    parts: set[int] = set()
    for number, entry in enumerate(log, start=1):
        if (entry.document, entry.version) != (document, version):
            continue
        if entry.content is not None and entry.content.refused_row is not None:
            return None
        parts.add(entry.part)
        if entry.is_last_part and (entry.content is None or len(parts) == len(entry.content.rows_by_part)):
            return number
    return None
