"""The document producer: puts events under the right key, and content too large for the log into the blob store."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from schemas.codec import encode_document_event
from schemas.document import DocumentEvent
from schemas.keys import validate_key
from streams.log import EventLog, Headers, OutgoingRecord, Position
from streams.topics import DOCUMENT_LIMIT_BYTES, documents_topic


class DocumentProducer:
    """Appends document events. What it returns for stands durably in the log, in the order given."""

    def __init__(self, log: EventLog, *, store_blob: Callable[[bytes], Awaitable[str]]) -> None:
        """Take the log, and a function that stores bytes and returns their ``blob:<sha256>`` URI."""
        self._log = log
        self._store_blob = store_blob

    async def send(self, collection: str, events: Sequence[DocumentEvent], headers: Headers = ()) -> list[Position]:
        """Append; durable when it returns.

        Raises Poison for an event no engine could hold, before anything is appended, and Retryable when the log or
        the blob store does not answer: sending all of them again is safe.
        """
        for event in events:
            validate_key(event.key)
        topic = documents_topic(collection)
        records = [
            OutgoingRecord(
                topic=topic, key=event.key.encoded().encode(), value=await self._encode(event), headers=headers
            )
            for event in events
        ]
        return await self._log.append(records) if records else []

    async def _encode(self, event: DocumentEvent) -> bytes:
        body = event.content if event.text is None else event.text.encode()
        if body is None:
            return encode_document_event(event)
        value = encode_document_event(event) if len(body) <= DOCUMENT_LIMIT_BYTES else None
        if value is not None and len(value) <= DOCUMENT_LIMIT_BYTES:
            return value
        uri = await self._store_blob(body)
        digest = hashlib.sha256(body).hexdigest()
        claim = replace(event, text=None, content=None, content_uri=uri, content_sha256=digest)
        return encode_document_event(claim)
