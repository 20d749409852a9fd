"""A bulk request on its way to the log: line by line, in batches, each line with a result of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from query_api.bodies import parse_json
from query_api.document_answer import BulkAnswer, ItemAnswer
from query_api.document_request import event_of_line
from query_api.lines import Line
from query_api.problems import problem_of
from query_api.writing import Accepted, DocumentSink
from schemas.document import DocumentEvent
from schemas.errors import Poison

_ACCEPTED: Final = 202
#: One call of the sink makes so many events durable at once.
_BATCH_EVENTS: Final = 500
_BATCH_BYTES: Final = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: DocumentEvent
    line: int
    #: Where its result belongs.
    place: int


class BulkIntake:
    """Takes the lines of one request, in order.

    Invariant: holds one batch of events at most, and a small result for every line that was not blank.
    """

    def __init__(self, sink: DocumentSink, collection: str, *, line_limit_bytes: int) -> None:
        self._sink = sink
        self._collection = collection
        self._line_limit_bytes = line_limit_bytes
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._items: list[ItemAnswer] = []
        self.accepted = 0
        #: The first line that has not been handed on; where a request that breaks off would go on.
        self.next_line = 1

    async def take(self, line: Line) -> None:
        """Check a line, and hand the batch on once it is full. Raises what DocumentSink.submit raises."""
        if line.content is None or line.content.strip():
            self._check(line)
        if len(self._waiting) >= _BATCH_EVENTS or self._waiting_bytes >= _BATCH_BYTES:
            await self.hand_on()

    async def hand_on(self) -> None:
        """Make the waiting events durable. Raises what DocumentSink.submit raises."""
        if not self._waiting:
            return
        self.next_line = self._waiting[0].line
        results = await self._sink.submit(self._collection, [waiting.event for waiting in self._waiting])
        for waiting, result in zip(self._waiting, results, strict=True):
            self._items[waiting.place] = self._item(waiting, result)
        self.next_line = self._waiting[-1].line + 1
        self._waiting, self._waiting_bytes = [], 0

    def answer(self) -> BulkAnswer:
        """Return what became of each line, after the last ``hand_on``."""
        return {"items": self._items, "accepted": self.accepted, "failed": len(self._items) - self.accepted}

    def _check(self, line: Line) -> None:
        try:
            event = event_of_line(self._json(line))
        except Poison as poison:
            self._items.append(_failed(line.number, poison))
            return
        self._waiting.append(_Waiting(event, line.number, len(self._items)))
        self._waiting_bytes += len(line.content or b"")
        self._items.append({"line": line.number, "status": 0})

    def _json(self, line: Line) -> object:
        if line.content is None:
            limit = self._line_limit_bytes
            raise Poison("document_too_large", f"line {line.number} has more than {limit} bytes; split the document")
        return parse_json(line.content)

    def _item(self, waiting: _Waiting, result: Accepted | Poison) -> ItemAnswer:
        key = waiting.event.key
        if isinstance(result, Poison):
            return {**_failed(waiting.line, result), "id": key.id, "tenant": key.tenant}
        self.accepted += 1
        return {
            "line": waiting.line,
            "id": key.id,
            "tenant": key.tenant,
            "status": _ACCEPTED,
            "version": result.version,
        }


def _failed(line: int, poison: Poison) -> ItemAnswer:
    problem = problem_of(poison)
    return {"line": line, "status": problem.status, "problem": problem.answer()}
