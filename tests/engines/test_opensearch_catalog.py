"""The OpenSearch Catalog keeps the port's promises on a real node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from engines.opensearch_catalog import OpenSearchCatalog
from engines.opensearch_client import OpenSearchClient, OpenSearchSettings
from inver.servers.cluster import ServerStatus
from tests.contracts.catalog import CatalogContract, OpenCatalog


class TestOpenSearchCatalog(CatalogContract):
    """The contract on one index; each catalog has connections of its own."""

    @pytest.fixture
    async def open_catalog(self, opensearch_server: ServerStatus) -> AsyncIterator[OpenCatalog]:
        index = f"contract-catalog-{uuid4().hex[:12]}"
        clients: list[OpenSearchClient] = []

        async def open_it() -> OpenSearchCatalog:
            clients.append(OpenSearchClient(OpenSearchSettings(urls=(f"http://{opensearch_server.address}",))))
            return OpenSearchCatalog(clients[-1], index=index)

        yield open_it
        for client in clients:
            await client.delete_index(index)
            await client.close()
