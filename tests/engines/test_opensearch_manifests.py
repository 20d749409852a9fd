"""The OpenSearch ManifestStore keeps the port's promises on a real node, and says what a partly refused write means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engines.opensearch_catalog import OpenSearchCatalog
from engines.opensearch_client import OpenSearchClient, OpenSearchSettings
from engines.opensearch_manifests import OpenSearchManifestStore
from inver.servers.cluster import ServerStatus
from schemas.errors import Fatal, InverError, Poison, Retryable
from tests.contracts.manifest_store import ManifestStoreContract, OpenManifests, change, create, key, manifest


@pytest.fixture
async def client(opensearch_server: ServerStatus) -> AsyncIterator[OpenSearchClient]:
    """Connect to the node."""
    client = OpenSearchClient(OpenSearchSettings(urls=(f"http://{opensearch_server.address}",)))
    yield client
    await client.close()


@pytest.fixture
async def index(client: OpenSearchClient) -> AsyncIterator[str]:
    """Name an index that is deleted in the end."""
    name = f"contract-manifests-{uuid4().hex[:12]}"
    yield name
    await client.delete_index(name)


class TestOpenSearchManifestStore(ManifestStoreContract):
    """The contract on one index; each store has connections of its own."""

    @pytest.fixture
    async def open_store(self, opensearch_server: ServerStatus, index: str) -> AsyncIterator[OpenManifests]:
        clients: list[OpenSearchClient] = []

        async def open_it() -> OpenSearchManifestStore:
            clients.append(OpenSearchClient(OpenSearchSettings(urls=(f"http://{opensearch_server.address}",))))
            return OpenSearchManifestStore(clients[-1], index=index)

        yield open_it
        for client in clients:
            await client.close()

    async def test_the_index_holds_no_guessed_fields(self, client: OpenSearchClient, index: str) -> None:
        """Only what is counted and filtered by is mapped, whatever a manifest holds."""
        store = OpenSearchManifestStore(client, index=index)
        await store.ensure()
        await create(store, [key("a")])

        mappings = (await client.request("GET", f"/{index}/_mapping"))[index]["mappings"]

        assert set(mappings["properties"]) == {"key", "body"}
        assert set(mappings["properties"]["body"]["properties"]) == {"version", "rows_version", "row_count", "deleted"}

    async def test_an_index_of_something_else_is_fatal(self, client: OpenSearchClient, index: str) -> None:
        """A name that is taken, by strangers or by another store, is a mistake in the settings."""
        await client.request("PUT", f"/{index}")
        with pytest.raises(Fatal, match="something else"):
            await OpenSearchManifestStore(client, index=index).ensure()
        await client.delete_index(index)
        await OpenSearchCatalog(client, index=index).ensure()
        with pytest.raises(Fatal, match="catalog"):
            await OpenSearchManifestStore(client, index=index).ensure()

    async def test_a_missing_index_is_fatal_and_is_not_created(self, client: OpenSearchClient, index: str) -> None:
        """A generation that was dropped is not brought back by a late reader or writer."""
        store = OpenSearchManifestStore(client, index=index)

        with pytest.raises(Fatal, match="rebuild this generation"):
            await store.read([key("a")])
        with pytest.raises(Fatal):
            await store.advance([change(key("a"), 1, None)])
        with pytest.raises(Fatal, match="rebuild this generation"):
            _ = [entry async for entry in store.scan()]
        assert (await client.request("GET", f"/{index}", accept=(404,)))["status"] == 404

    async def test_a_write_block_is_retryable(self, client: OpenSearchClient, index: str) -> None:
        """What a full disk makes read-only takes writes again later."""
        store = OpenSearchManifestStore(client, index=index)
        await store.ensure()
        await client.request("PUT", f"/{index}/_settings", body={"index.blocks.read_only_allow_delete": True})
        with pytest.raises(Retryable, match="read-only"):
            await store.advance([change(key("a"), 1, None)])
        await client.request("PUT", f"/{index}/_settings", body={"index.blocks.read_only_allow_delete": None})

        await create(store, [key("a")])

    async def test_a_refused_manifest_is_poison_and_its_neighbours_are_written(
        self, client: OpenSearchClient, index: str
    ) -> None:
        """A number no field can hold is refused alone."""
        store = OpenSearchManifestStore(client, index=index)
        await store.ensure()
        broken = replace(change(key("b"), 1, None), manifest=manifest(row_count=2**63))

        with pytest.raises(Poison, match="default/b"):
            await store.advance([change(key("a"), 1, None), broken, change(key("c"), 1, None)])

        assert set(await store.read([key("a"), key("b"), key("c")])) == {key("a"), key("c")}


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ({1: (429, "rejected_execution_exception")}, Retryable),
        ({0: (503, "unavailable_shards_exception")}, Retryable),
        ({0: (400, "mapper_parsing_exception")}, Poison),
        ({0: (403, "security_exception")}, Fatal),
        ({0: (400, "mapper_parsing_exception"), 2: (429, "rejected_execution_exception")}, Retryable),
        ({0: (429, "rejected_execution_exception"), 2: (403, "security_exception")}, Fatal),
        ({0: (409, "version_conflict_engine_exception"), 1: (429, "rejected_execution_exception")}, Retryable),
    ],
)
async def test_partial_refusals(refusals: dict[int, tuple[int, str]], expected: type[InverError]) -> None:
    """One refused item decides the whole call: stop before wait, and wait before setting one aside."""

    async def bulk(_: web.Request) -> web.Response:
        items: list[object] = []
        for place in range(3):
            status, kind = refusals.get(place, (201, ""))
            error = {"error": {"type": kind, "reason": "because"}} if kind else {"_seq_no": place, "_primary_term": 1}
            items.append({"create": {"_id": f"default/{place}", "status": status, **error}})
        return web.json_response({"errors": bool(refusals), "items": items})

    application = web.Application()
    application.router.add_post("/_bulk", bulk)
    async with TestServer(application) as server:
        client = OpenSearchClient(OpenSearchSettings(urls=(str(server.make_url("")),)))
        store = OpenSearchManifestStore(client, index="any")

        with pytest.raises(expected, match="because"):
            await store.advance([change(key(str(place)), 1, None) for place in range(3)])
        await client.close()


async def test_an_absent_server_is_retryable(unused_tcp_port: int) -> None:
    """A node that does not answer may answer later."""
    client = OpenSearchClient(OpenSearchSettings(urls=(f"http://127.0.0.1:{unused_tcp_port}",)))
    store = OpenSearchManifestStore(client, index="any")

    for call in (store.ensure(), store.read([key("a")]), store.advance([change(key("a"), 1, None)]), store.ping()):
        with pytest.raises(Retryable, match="does not answer"):
            await call
    await client.close()
