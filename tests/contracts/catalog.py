"""What every Catalog promises, as tests: a class per adapter inherits them and says how to open its catalog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from engines.ports import Catalog
from schemas.generation import (
    Chunking,
    ChunkStrategy,
    CollectionRecord,
    GenerationConfig,
    VectorParameters,
    VersionSource,
)
from schemas.metadata import FieldType

OpenCatalog = Callable[[], Awaitable[Catalog]]


def record(name: str = "papers", *, partitions: int = 4) -> CollectionRecord:
    """Build a record with one generation."""
    return CollectionRecord(name=name, partitions=partitions, generations={"g1": GenerationConfig(dimension=384)})


class CatalogContract:
    """The port's promises. Adapters provide ``open_catalog``; every catalog it opens is on the same, empty storage."""

    @pytest.fixture
    def open_catalog(self) -> OpenCatalog:
        raise NotImplementedError

    @pytest.fixture
    async def catalog(self, open_catalog: OpenCatalog) -> AsyncIterator[Catalog]:
        catalog = await open_catalog()
        await catalog.ensure()
        return catalog

    async def test_reads_back_every_field(self, catalog: Catalog) -> None:
        """What was written is what is read."""
        written = CollectionRecord(
            name="papers-2",
            version_source=VersionSource.PRODUCER,
            epoch=3,
            partitions=12,
            live="g7",
            previous="g6",
            building="g8",
            generations={
                "g6": GenerationConfig(analyzer="standard", bm25_b=0.4),
                "g7": GenerationConfig(model_fingerprint="ab" * 32, dimension=384),
                "g8": GenerationConfig(
                    chunking=Chunking(strategy=ChunkStrategy.WHOLE, max_tokens=256, overlap_tokens=0),
                    vector=VectorParameters(m=32),
                ),
            },
            fields={"year": FieldType.NUMBER, "Straße": FieldType.STRING, "at": FieldType.DATETIME},
            log_identity="topic-id-1",
        )
        token = await catalog.write(written, None)

        stored = await catalog.read("papers-2")

        assert stored is not None
        assert (written, token) == (stored.record, stored.token)

    async def test_an_absent_collection_is_none(self, catalog: Catalog) -> None:
        """A collection that was never written is not there."""
        assert await catalog.read("absent") is None
        assert await catalog.names() == []

    async def test_names_are_sorted_and_complete(self, catalog: Catalog, open_catalog: OpenCatalog) -> None:
        """Every acknowledged collection is named, at once and in every catalog."""
        other = await open_catalog()
        for name in ("zebra", "a-b", "a", "middle"):
            await catalog.write(record(name), None)

            assert name in await other.names()

        assert await catalog.names() == ["a", "a-b", "middle", "zebra"]

    async def test_ensuring_again_keeps_everything(self, catalog: Catalog) -> None:
        """Creating what is missing touches nothing that is there."""
        await catalog.write(record(), None)

        await catalog.ensure()

        assert await catalog.names() == ["papers"]

    async def test_a_write_from_an_outdated_token_changes_nothing(
        self, catalog: Catalog, open_catalog: OpenCatalog
    ) -> None:
        """A writer that decided from an older record is told so, and the newer one stays."""
        other = await open_catalog()
        first = await catalog.write(record(), None)
        second = await other.write(record(partitions=8), first)

        assert second is not None
        assert await catalog.write(record(partitions=16), first) is None
        assert await catalog.write(record(partitions=16), None) is None
        stored = await catalog.read("papers")
        assert stored is not None
        assert (record(partitions=8), second) == (stored.record, stored.token)

    async def test_no_concurrent_change_is_lost(self, catalog: Catalog, open_catalog: OpenCatalog) -> None:
        """Writers that read, decide and write until accepted all show in the end."""
        catalogs = [catalog, await open_catalog()]
        await catalog.write(record(partitions=1), None)

        async def add_one(number: int) -> None:
            mine = catalogs[number % 2]
            token = None
            while token is None:
                stored = await mine.read("papers")
                assert stored is not None
                token = await mine.write(replace(stored.record, epoch=stored.record.epoch + 1), stored.token)

        await asyncio.gather(*(add_one(number) for number in range(10)))

        stored = await catalog.read("papers")
        assert stored is not None
        assert stored.record.epoch == 11

    async def test_one_of_many_first_writes_wins(self, catalog: Catalog) -> None:
        """A collection is created once, however many try."""
        tokens = await asyncio.gather(*(catalog.write(record(partitions=n), None) for n in range(1, 21)))

        assert len([token for token in tokens if token is not None]) == 1

    async def test_records_outlive_the_catalog(self, catalog: Catalog, open_catalog: OpenCatalog) -> None:
        """Acknowledged records are durable; closing twice is harmless."""
        token = await catalog.write(record(), None)
        await catalog.close()
        await catalog.close()

        stored = await (await open_catalog()).read("papers")

        assert stored is not None
        assert token == stored.token

    async def test_answers_to_a_ping(self, catalog: Catalog) -> None:
        """A catalog that works answers."""
        await catalog.ping()
