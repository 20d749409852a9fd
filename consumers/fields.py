"""The collection's memory of metadata types: learned on first sight, written to the catalog, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from engines.ports import Catalog
from schemas.errors import Fatal, Retryable
from schemas.generation import CollectionRecord
from schemas.metadata import MetadataValue
from schemas.rules import new_fields

_WRITE_ATTEMPTS: Final = 16


class CollectionFields:
    """The catalog record as this process last saw it.

    Invariant: a document is admitted only after every one of its names is in the catalog with its type, so that two
    processes can never admit the same name with two types.
    """

    def __init__(self, catalog: Catalog, record: CollectionRecord) -> None:
        self._catalog = catalog
        self._record = record

    @property
    def record(self) -> CollectionRecord:
        """Return the record as last seen."""
        return self._record

    async def admit(self, metadata: Mapping[str, MetadataValue]) -> None:
        """Make sure that the collection knows these names. Raises InvalidField where one changed its type."""
        if not new_fields(self._record.fields, metadata):
            return
        for _ in range(_WRITE_ATTEMPTS):
            stored = await self._catalog.read(self._record.name)
            if stored is None:
                raise Fatal(f"collection '{self._record.name}' is no longer in the catalog: stop its stages")
            self._record = stored.record
            fresh = new_fields(self._record.fields, metadata)
            if not fresh:
                return
            changed = replace(self._record, fields={**self._record.fields, **fresh})
            if await self._catalog.write(changed, stored.token) is not None:
                self._record = changed
                return
        raise Retryable(
            f"the catalog record of '{self._record.name}' changed {_WRITE_ATTEMPTS} times while being written"
        )
