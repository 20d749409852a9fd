"""The collections as this process knows them: creates them, opens what serves them, follows the catalog."""

from __future__ import annotations

import time
from typing import Final

from engines.ports import Embedder
from inver.wiring import GenerationEngines, Wiring
from query_api.serving import Serving, UnknownCollection
from schemas.errors import Fatal
from schemas.generation import CollectionRecord, GenerationConfig, validate_collection_name
from streams.topics import collection_topics

#: A query node follows the catalog within this time.
_FRESH_SECONDS: Final = 1.0
_FIRST_GENERATION: Final = "g1"


class CollectionDirectory:
    """Knows the collections; a request that resolves one holds on to what it got."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._records: dict[str, tuple[float, CollectionRecord]] = {}
        #: Collections whose topics this process has seen to.
        self._prepared: set[str] = set()

    async def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return await (await self._wiring.catalog()).names()

    async def find(self, name: str, *, fresh: bool = False) -> CollectionRecord | None:
        """Return a collection's record, at most a second old, or None; ``fresh`` asks the catalog in any case."""
        validate_collection_name(name)
        read_at, record = self._records.get(name, (float("-inf"), None))
        if record is not None and not fresh and time.monotonic() - read_at < _FRESH_SECONDS:
            return record
        stored = await (await self._wiring.catalog()).read(name)
        if stored is None:
            self._records.pop(name, None)
            return None
        self._records[name] = (time.monotonic(), stored.record)
        return stored.record

    async def record(self, name: str, *, fresh: bool = False) -> CollectionRecord:
        """Return a collection's record. Raises UnknownCollection."""
        record = await self.find(name, fresh=fresh)
        if record is None:
            raise UnknownCollection(name)
        return record

    async def ensure(self, name: str) -> CollectionRecord:
        """Return a collection's record, creating the collection if it is new and that is allowed.

        Every step may be repeated: a process that dies between them leaves nothing that the next call cannot finish.
        """
        record = await self.find(name)
        if record is None:
            if not self._wiring.settings.collections.create:
                raise UnknownCollection(name)
            record = await self._create(name)
        if name not in self._prepared:
            # Whoever wrote the record may have died before it made the topics.
            await self.prepare(record)
        return record

    async def prepare(self, record: CollectionRecord) -> None:
        """Create the topics a collection's stages read and write."""
        log = await self._wiring.log()
        await log.create_topics(collection_topics(record.name, record.live, record.partitions))
        self._prepared.add(record.name)

    async def engines(self, record: CollectionRecord) -> GenerationEngines:
        """Return the live generation's engines."""
        return await self._wiring.engines(record.name, record.live, record.live_config)

    async def embedder(self, config: GenerationConfig) -> Embedder:
        """Return a generation's model. Raises Fatal when the model at hand is another one than it was built with."""
        embedder = await self._wiring.embedder(config.model)
        if embedder.fingerprint != config.model_fingerprint:
            raise Fatal(
                f"the index was built with model {config.model!r}, fingerprint {config.model_fingerprint}, and the one "
                f"found here has {embedder.fingerprint}: set embedding.model_directory to the first, or reindex"
            )
        return embedder

    async def serving(self, name: str) -> Serving:
        """Return what serves a collection."""
        record = await self.record(name)
        engines = await self.engines(record)
        return Serving(
            record=record,
            generation=record.live,
            embedder=await self.embedder(record.live_config),
            vectors=engines.vectors,
            texts=engines.texts,
            manifests=engines.manifests,
        )

    async def _create(self, name: str) -> CollectionRecord:
        settings = self._wiring.settings
        embedder = await self._wiring.embedder(settings.embedding.model)
        config = settings.collections.generation_config(
            model=settings.embedding.model, fingerprint=embedder.fingerprint, dimension=embedder.dimension
        )
        record = CollectionRecord(
            name=name,
            version_source=settings.collections.version_source,
            partitions=settings.collections.partitions,
            live=_FIRST_GENERATION,
            generations={_FIRST_GENERATION: config},
        )
        catalog = await self._wiring.catalog()
        # Another process may be first; then its record counts, and this one's is forgotten.
        await catalog.write(record, None)
        stored = await catalog.read(name)
        created = record if stored is None else stored.record
        self._records[name] = (time.monotonic(), created)
        return created
