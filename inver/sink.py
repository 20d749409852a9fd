"""The way in: checks a collection's rules, then puts events into its log and notes that they were received."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engines.ports import BlobStore, Received, StatusStore
from inver.directory import CollectionDirectory
from inver.wiring import Wiring
from query_api.serving import UnknownCollection
from query_api.writing import Accepted
from schemas.chunk import Operation
from schemas.document import DocumentEvent
from schemas.errors import InvalidField, Poison
from schemas.generation import CollectionRecord
from schemas.keys import validate_key
from schemas.rules import check_version, event_version, new_fields
from streams.log import Position
from streams.producer import DocumentProducer


class LogSink:
    """A DocumentSink on the event log."""

    def __init__(self, wiring: Wiring, directory: CollectionDirectory, look_again: Callable[[], None]) -> None:
        """Take a function that makes the pipeline look for new collections at once."""
        self._wiring = wiring
        self._directory = directory
        self._look_again = look_again

    async def submit(self, collection: str, events: Sequence[DocumentEvent]) -> list[Accepted | Poison]:
        """Append the good ones; see DocumentSink."""
        known = await self._directory.find(collection)
        if known is None and all(event.operation is Operation.DELETE for event in events):
            raise UnknownCollection(collection)
        record = await self._directory.ensure(collection)
        if known is None:
            self._look_again()
        results: list[Accepted | Poison] = [self._refusal(record, event) or _PLACE for event in events]
        good = [index for index, result in enumerate(results) if result is _PLACE]
        blobs: BlobStore = await self._wiring.blobs()
        producer = DocumentProducer(await self._wiring.log(), store_blob=blobs.put)
        sent = await _send(producer, collection, [events[index] for index in good])
        for index, outcome in zip(good, sent, strict=True):
            if isinstance(outcome, Poison):
                results[index] = outcome
            else:
                version = event_version(events[index].version, record, outcome.offset)
                results[index] = Accepted(events[index].key, version)
        await self._note_received(collection, results)
        return results

    def _refusal(self, record: CollectionRecord, event: DocumentEvent) -> Poison | None:
        try:
            validate_key(event.key)
            check_version(event.version, record.version_source)
            new_fields(record.fields, event.metadata)
            size = len(event.text.encode()) if event.text is not None else len(event.content or b"")
            if size > self._wiring.settings.max_text_bytes:
                raise InvalidField(
                    "text",
                    f"{size} bytes",
                    f"a document may have {self._wiring.settings.max_text_bytes} bytes (max_text_bytes); split it",
                    reason="document_too_large",
                )
        except Poison as poison:
            return poison
        return None

    async def _note_received(self, collection: str, results: Sequence[Accepted | Poison]) -> None:
        """Make the answer to a status request right from this moment on, before the log's own reader gets there."""
        statuses: StatusStore = await self._wiring.statuses()
        facts = [
            Received(document=result.document, version=result.version, appended_at_ms=0)
            for result in results
            if isinstance(result, Accepted)
        ]
        await statuses.record(collection, facts)


async def _send(
    producer: DocumentProducer, collection: str, events: Sequence[DocumentEvent]
) -> list[Position | Poison]:
    """Send in order. Where the log refuses the request, find the event at fault, which the others need not suffer."""
    try:
        return list(await producer.send(collection, events))
    except Poison as poison:
        if len(events) == 1:
            return [poison]
    middle = len(events) // 2
    return [
        *await _send(producer, collection, events[:middle]),
        *await _send(producer, collection, events[middle:]),
    ]


#: Holds the place of an event that is about to be appended.
_PLACE = Poison("not_appended", "this event was not appended")
