"""The status stage: folds what stands in the log and what became of it into what people ask for."""

from __future__ import annotations

from collections.abc import Sequence

from engines.ports import Received, StatusStore
from schemas.codec import decode_document_event, decode_indexed
from schemas.errors import Poison
from schemas.generation import CollectionRecord, VersionSource
from schemas.indexed import Indexed
from schemas.keys import DocumentKey, log_version
from streams.log import OutgoingRecord, Record
from streams.partitioner import partition_of
from streams.topics import documents_topic
from streams.worker import Outputs


class StatusStage:
    """Writes facts only; a record it cannot read is left to the stage whose business it is."""

    name = "status"

    def __init__(self, *, store: StatusStore, record: CollectionRecord) -> None:
        self._store = store
        self._record = record
        self._documents = documents_topic(record.name)

    async def process(self, batch: Sequence[Record]) -> Outputs:
        """Record what the batch says."""
        facts = [fact for record in batch if (fact := self._fact(record)) is not None]
        await self._store.record(self._record.name, facts)
        return Outputs()

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:  # noqa: ARG002
        """Say nothing: this stage's failures concern no document's way."""
        return None

    def _fact(self, record: Record) -> Received | Indexed | None:
        try:
            if record.topic != self._documents:
                return None if record.value is None else decode_indexed(record.value)
            return self._received(record)
        except (UnicodeDecodeError, Poison):
            return None

    def _received(self, record: Record) -> Received | None:
        key = record.key or b""
        document = DocumentKey.decode(key.decode())
        if record.partition != partition_of(key, self._record.partitions):
            # The chunk stage sets it aside; its offset, were it a version, could stand above all of the document's own.
            return None
        version = self._version(record)
        if version is None:
            return None
        return Received(document=document, version=version, appended_at_ms=record.timestamp_ms)

    def _version(self, record: Record) -> int | None:
        if self._record.version_source is VersionSource.LOG:
            return log_version(self._record.epoch, record.offset)
        return None if record.value is None else decode_document_event(record.value).version
