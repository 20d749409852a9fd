"""The only place where adapters are chosen: one object per process that opens each of them on first need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from engines.ports import (
    BlobStore,
    Catalog,
    Embedder,
    ManifestStore,
    StatusStore,
    TextIndex,
    Tokenizer,
    VectorIndex,
)
from inver.addresses import server_addresses
from inver.settings import Profile, Settings
from schemas.generation import GenerationConfig
from streams.log import EventLog

if TYPE_CHECKING:
    from engines.opensearch_client import OpenSearchClient

Opened = TypeVar("Opened")


@runtime_checkable
class _Closable(Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationEngines:
    """The engines that hold one generation of one collection; one set per process, shared by all who use it."""

    vectors: VectorIndex
    texts: TextIndex
    manifests: ManifestStore

    async def ensure(self) -> None:
        """Create what is missing. Raises Fatal where something of the same name was built otherwise."""
        await asyncio.gather(self.vectors.ensure(), self.texts.ensure(), self.manifests.ensure())


class ProfileAdapters(Protocol):
    """What a profile decides; ``close`` releases what several of its adapters share, after these are closed."""

    async def open_log(self) -> EventLog:
        """Open the event log."""

    def open_catalog(self) -> Catalog:
        """Construct the catalog."""

    def open_engines(self, collection: str, generation: str, config: GenerationConfig) -> GenerationEngines:
        """Construct the engines of one generation."""

    async def close(self) -> None:
        """Release shared connections."""


class Wiring:
    """Opens adapters once, on first need, and closes them in the opposite order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.data_directory.mkdir(parents=True, exist_ok=True)
        self._profile = _profile_adapters(settings)
        self._opened: dict[object, object] = {}
        self._opening = asyncio.Lock()
        self._closers: list[_Closable] = [self._profile]

    async def log(self) -> EventLog:
        """Return the event log."""
        return await self._once("log", self._profile.open_log)

    async def catalog(self) -> Catalog:
        """Return the catalog, ready to use."""

        async def open_catalog() -> Catalog:
            catalog = self._profile.open_catalog()
            await catalog.ensure()
            return catalog

        return await self._once("catalog", open_catalog)

    async def statuses(self) -> StatusStore:
        """Return this node's status store, a projection of the log."""

        async def open_statuses() -> StatusStore:
            from engines.sqlite_status import SqliteStatusStore

            return SqliteStatusStore(self.settings.data_directory / "status.sqlite")

        return await self._once("statuses", open_statuses)

    async def blobs(self) -> BlobStore:
        """Return the store for content too large for the log."""

        async def open_blobs() -> BlobStore:
            from engines.blobs import ObstoreBlobStore

            return ObstoreBlobStore(self.settings.blob_url or self.settings.data_directory / "blobs")

        return await self._once("blobs", open_blobs)

    async def engines(self, collection: str, generation: str, config: GenerationConfig) -> GenerationEngines:
        """Return the engines of one generation, which exist when this returns."""

        async def open_engines() -> GenerationEngines:
            engines = self._profile.open_engines(collection, generation, config)
            self._closers += [engines.vectors, engines.texts, engines.manifests]
            await engines.ensure()
            return engines

        return await self._once(("engines", collection, generation), open_engines)

    async def embedder(self, model: str) -> Embedder:
        """Return the model, loaded, with its cache of vectors in front where that is on."""

        async def open_embedder() -> Embedder:
            from engines.embedders import load_embedder

            embedding = self.settings.embedding
            loaded = await asyncio.to_thread(
                load_embedder,
                model,
                model_directory=embedding.model_directory,
                cache_directory=self.settings.cache_directory,
                backend=embedding.backend,
            )
            if not embedding.cache_bytes:
                return loaded
            from engines.embedding_cache import CachingEmbedder

            return CachingEmbedder(
                loaded, self.settings.data_directory / "vectors.sqlite", limit_bytes=embedding.cache_bytes
            )

        return await self._once(("embedder", model), open_embedder)

    async def tokenizer(self, model: str) -> Tokenizer:
        """Return the model's tokenizer, which needs neither the model's weights nor its framework."""

        async def open_tokenizer() -> Tokenizer:
            from engines.embedders import load_tokenizer

            return await asyncio.to_thread(
                load_tokenizer, model, model_directory=self.settings.embedding.model_directory
            )

        return await self._once(("tokenizer", model), open_tokenizer)

    async def close(self) -> None:
        """Close everything that was opened; one failure does not keep the others open."""
        failures: list[Exception] = []
        while self._closers:
            try:
                await self._closers.pop().close()
            except Exception as error:  # noqa: BLE001  the rest must be closed before anything is raised
                failures.append(error)
        if failures:
            raise failures[0]

    async def _once(self, name: object, open_it: Callable[[], Awaitable[Opened]]) -> Opened:
        if name not in self._opened:
            async with self._opening:
                if name not in self._opened:
                    opened = await open_it()
                    if isinstance(opened, _Closable):
                        self._closers.append(opened)
                    self._opened[name] = opened
        return self._opened[name]  # type: ignore[return-value]  # each name is always opened with the same type


def _profile_adapters(settings: Settings) -> ProfileAdapters:
    if settings.profile is Profile.EMBEDDED:
        return _Embedded(settings)
    return _Servers(settings)


class _Embedded:
    """SQLite, an exact matrix in memory, and Tantivy, in one data directory."""

    def __init__(self, settings: Settings) -> None:
        self._directory = settings.data_directory

    async def open_log(self) -> EventLog:
        from streams.sqlite_log import SqliteLog

        return await SqliteLog.open(self._directory / "log.sqlite")

    def open_catalog(self) -> Catalog:
        from engines.sqlite_catalog import SqliteCatalog

        return SqliteCatalog(self._directory / "catalog.sqlite")

    def open_engines(self, collection: str, generation: str, config: GenerationConfig) -> GenerationEngines:
        from engines.exact_vectors import ExactVectorIndex
        from engines.sqlite_manifests import SqliteManifestStore
        from engines.tantivy import TantivyTextIndex

        directory = self._directory / "collections" / collection / generation
        directory.mkdir(parents=True, exist_ok=True)
        return GenerationEngines(
            vectors=ExactVectorIndex(directory / "vectors.sqlite", config.dimension),
            texts=TantivyTextIndex(
                directory / "text", analyzer=config.analyzer, bm25_k1=config.bm25_k1, bm25_b=config.bm25_b
            ),
            manifests=SqliteManifestStore(directory / "manifests.sqlite"),
        )

    async def close(self) -> None:
        """Nothing is shared."""


class _Servers:
    """Apache Kafka, Milvus and OpenSearch, at the addresses that are set or those of ``inver servers up``."""

    def __init__(self, settings: Settings) -> None:
        self._addresses = server_addresses(settings)
        self._opensearch: OpenSearchClient | None = None

    async def open_log(self) -> EventLog:
        from streams.kafka_log import KafkaLog

        return KafkaLog(bootstrap_servers=self._addresses.kafka)

    def open_catalog(self) -> Catalog:
        from engines.opensearch_catalog import OpenSearchCatalog

        return OpenSearchCatalog(self._opensearch_client())

    def open_engines(self, collection: str, generation: str, config: GenerationConfig) -> GenerationEngines:
        from engines.milvus import MilvusVectorIndex
        from engines.opensearch import OpenSearchTextIndex
        from engines.opensearch_manifests import OpenSearchManifestStore

        client = self._opensearch_client()
        return GenerationEngines(
            vectors=MilvusVectorIndex(
                self._addresses.milvus,
                f"inver_{collection.replace('-', '_')}_{generation}",
                config.dimension,
                config.vector,
            ),
            texts=OpenSearchTextIndex(
                client,
                index=f"inver-{collection}-{generation}-rows",
                analyzer=config.analyzer,
                bm25_k1=config.bm25_k1,
                bm25_b=config.bm25_b,
            ),
            manifests=OpenSearchManifestStore(client, index=f"inver-{collection}-{generation}-manifests"),
        )

    def _opensearch_client(self) -> OpenSearchClient:
        """Share one pool of connections among everything that talks to OpenSearch."""
        if self._opensearch is None:
            from engines.opensearch_client import OpenSearchClient, OpenSearchSettings

            self._opensearch = OpenSearchClient(OpenSearchSettings(urls=(self._addresses.opensearch,)))
        return self._opensearch

    async def close(self) -> None:
        """Close the pool."""
        if self._opensearch is not None:
            await self._opensearch.close()
