"""VectorIndex on a Milvus server: one collection per generation, HNSW with cosine similarity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from pymilvus import AsyncMilvusClient, MilvusClient

from engines.milvus_client import MilvusConnection
from engines.milvus_filters import expression, keys_above, keys_among
from engines.milvus_rows import KEY, ROW_FIELDS, VECTOR, check_sizes, collection_schema, difference, entities_of, row_of
from engines.vector_checks import check_query, check_rows
from schemas.embedding import Vectors
from schemas.errors import Fatal, Poison, Retryable
from schemas.filters import Filter
from schemas.generation import VectorParameters
from schemas.row import Candidate, Row

Item = TypeVar("Item")

_WRITTEN_AT_ONCE: Final = 250
_READ_AT_ONCE: Final = 500
_SCANNED_AT_ONCE: Final = 4_000
#: What Milvus returns at most from one search.
WINDOW_LIMIT: Final = 16_384
#: Beyond as many, the oldest writes that nobody asked to see are no longer compared by ``make_searchable``.
_REMEMBERED_WRITES: Final = 50_000
#: Equal vectors in different segments score differently in the last bits, which must not decide their order.
_SCORE_DIGITS: Final = 6


class MilvusVectorIndex:
    """One generation in one collection; constructing it does nothing, the first call connects.

    Consistency: Milvus applies a write when the query node's clock has passed it, up to 200 ms later.
    ``make_searchable`` reads with Strong consistency, which waits for that; searches then need not wait: they read
    Bounded, from the same node, which takes 8 ms instead of 88 (at a tick of 50 ms). Bounded also makes a node that
    took over after a failure wait until it is at most five seconds behind. The collection is loaded with one replica:
    with more, searches on another could miss for those seconds what ``make_searchable`` confirmed.

    A search may pass over near neighbours (HNSW), never over matches: where few rows match, Milvus compares all of
    them. Which of several equal rows are the last ones in the window is up to Milvus.
    """

    def __init__(
        self,
        uri: str,
        name: str,
        dimension: int,
        parameters: VectorParameters,
        *,
        timeout_seconds: float = 10.0,
        token: str = "",
    ) -> None:
        self._name = name
        self._dimension = dimension
        self._parameters = parameters
        self._milvus = MilvusConnection(uri, token=token, timeout_seconds=timeout_seconds)
        # Key -> whether it was upserted (or deleted), for writes that make_searchable has not confirmed.
        self._unconfirmed: dict[str, bool] = {}

    async def ensure(self) -> None:
        """Create, index and load the collection, each where it is missing. Raises Fatal where it was built otherwise.

        A process that dies in between leaves the rest to the next call.
        """
        await self._milvus.call(f"creating collection {self._name}", self._create)
        await self._milvus.call(f"indexing collection {self._name}", self._index)
        await self._milvus.call(
            f"loading collection {self._name}",
            lambda client, seconds: client.load_collection(self._name, replica_number=1, timeout=seconds),
        )

    async def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Store rows in batches, each key once: repeated within one batch, Milvus would keep both rows."""
        check_rows(rows, vectors, self._dimension)
        position_of = {row.key: position for position, row in enumerate(rows)}
        positions = list(position_of.values())
        chosen, matrix = [rows[p] for p in positions], np.asarray(vectors, np.float32)[positions]
        check_sizes(chosen)
        for start in range(0, len(chosen), _WRITTEN_AT_ONCE):
            part = slice(start, start + _WRITTEN_AT_ONCE)
            write = partial(self._upsert, chosen[part], matrix[part])
            await self._milvus.call_in_thread(f"upserting into {self._name}", write)
            self._remember([row.key for row in chosen[part]], stored=True)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete by key."""
        for batch in _batches(keys, _READ_AT_ONCE):
            await self._milvus.call(f"deleting from {self._name}", partial(self._delete, batch))
            self._remember(batch, stored=False)

    async def make_searchable(self, keys: Sequence[str]) -> None:
        """Read the keys back with Strong consistency and compare with what this instance wrote."""
        for batch in _batches(keys, _READ_AT_ONCE):
            found = await self._present(batch)
            for key in batch:
                if self._unconfirmed.get(key, key in found) is not (key in found):
                    raise Retryable(f"Milvus does not show the last write to row {key} yet; ask again")
            for key in batch:
                self._unconfirmed.pop(key, None)

    async def search(
        self, vector: Vectors, *, tenant: str, window: int, condition: Filter | None = None
    ) -> list[Candidate]:
        """Search within the tenant and the condition, which Milvus applies before it counts."""
        check_query(vector, self._dimension)
        if window > WINDOW_LIMIT:
            raise Poison("window_too_large", f"a window may have {WINDOW_LIMIT} rows and has {window}")
        if window < 1:
            return []
        effort = max(self._parameters.ef_search, window)
        found = await self._milvus.call(
            f"searching {self._name}",
            lambda client, seconds: client.search(
                self._name,
                data=[np.asarray(vector, np.float32)],
                anns_field=VECTOR,
                filter=expression(tenant, condition),
                limit=window,
                search_params={"metric_type": "COSINE", "params": {"ef": effort}},
                consistency_level="Bounded",
                timeout=seconds,
            ),
        )
        candidates = [Candidate(hit["id"], float(hit["distance"])) for hit in found[0]]
        return sorted(candidates, key=lambda candidate: (-round(candidate.score, _SCORE_DIGITS), candidate.key))

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Read back with Strong consistency, which waits for every acknowledged write."""
        found: set[str] = set()
        for batch in _batches(keys, _READ_AT_ONCE):
            found |= await self._present(batch)
        return set(keys) - found

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Read rows as searches see them."""
        rows: dict[str, Row] = {}
        for batch in _batches(keys, _READ_AT_ONCE):
            found = await self._query(keys_among(batch), ROW_FIELDS, "Bounded")
            rows |= {entity[KEY]: row_of(entity) for entity in found}
        return rows

    async def scan(self) -> AsyncIterator[str]:
        """Read page after page in the order of keys, which is how Milvus cuts a limited query."""
        last = ""
        consistency = "Strong"
        while True:
            found = await self._query(keys_above(last), (KEY,), consistency, limit=_SCANNED_AT_ONCE)
            if not found:
                return
            for key in sorted(entity[KEY] for entity in found):
                yield key
                last = key
            consistency = "Bounded"

    async def count(self) -> int:
        """Count with Strong consistency."""
        found = await self._query("", ("count(*)",), "Strong")
        return int(found[0]["count(*)"])

    async def drop(self) -> None:
        """Drop the collection."""
        self._unconfirmed.clear()
        await self._milvus.call(
            f"dropping collection {self._name}",
            lambda client, seconds: client.drop_collection(self._name, timeout=seconds),
        )

    async def ping(self) -> None:
        """Ask the server for its version."""
        await self._milvus.call("asking", lambda client, seconds: client.get_server_version(timeout=seconds))

    async def close(self) -> None:
        """Release the connection."""
        await self._milvus.close()

    async def _create(self, client: AsyncMilvusClient, seconds: int) -> None:
        if not await client.has_collection(self._name, timeout=seconds):
            await client.create_collection(
                self._name, schema=collection_schema(self._dimension), consistency_level="Bounded", timeout=seconds
            )
        wrong = difference(await client.describe_collection(self._name, timeout=seconds), self._dimension)
        if wrong:
            raise Fatal(f"Milvus collection {self._name} {wrong}: build a new generation")

    async def _index(self, client: AsyncMilvusClient, seconds: int) -> None:
        wanted = {"M": str(self._parameters.m), "efConstruction": str(self._parameters.ef_construction)}
        if not await client.list_indexes(self._name, field_name=VECTOR, timeout=seconds):
            index = AsyncMilvusClient.prepare_index_params()
            index.add_index(VECTOR, index_name=VECTOR, index_type="HNSW", metric_type="COSINE", params=wanted)
            await client.create_index(self._name, index, timeout=seconds)
        found = await client.describe_index(self._name, VECTOR, timeout=seconds)
        expected = {"index_type": "HNSW", "metric_type": "COSINE", **wanted}
        wrong = {name: found.get(name) for name, value in expected.items() if found.get(name) != value}
        if wrong:
            raise Fatal(
                f"the index of Milvus collection {self._name} has {wrong} where {expected} is needed: "
                "build a new generation"
            )

    def _upsert(self, rows: list[Row], vectors: Vectors, client: MilvusClient, seconds: int) -> None:
        client.upsert(self._name, entities_of(rows, vectors), timeout=seconds)

    async def _delete(self, keys: list[str], client: AsyncMilvusClient, seconds: int) -> None:
        await client.delete(self._name, filter=keys_among(keys), timeout=seconds)

    async def _present(self, keys: list[str]) -> set[str]:
        return {entity[KEY] for entity in await self._query(keys_among(keys), (KEY,), "Strong")}

    async def _query(
        self, condition: str, fields: Sequence[str], consistency: str, **options: int
    ) -> Sequence[dict[str, Any]]:
        found: Sequence[dict[str, Any]] = await self._milvus.call(
            f"querying {self._name}",
            lambda client, seconds: client.query(
                self._name,
                filter=condition,
                output_fields=list(fields),
                consistency_level=consistency,
                timeout=seconds,
                **options,
            ),
        )
        return found

    def _remember(self, keys: Sequence[str], *, stored: bool) -> None:
        self._unconfirmed |= dict.fromkeys(keys, stored)
        while len(self._unconfirmed) > _REMEMBERED_WRITES:
            del self._unconfirmed[next(iter(self._unconfirmed))]


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
