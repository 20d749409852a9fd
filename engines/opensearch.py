"""TextIndex on OpenSearch: one index holds the rows of one generation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from engines.analysis import check_analyzer, words_of
from engines.filter_terms import terms_of
from engines.opensearch_client import BulkOperation, OpenSearchClient, error_of, require_complete
from engines.opensearch_filters import TERMS_FIELD, clause_count, filter_query
from engines.opensearch_mapping import index_definition
from engines.row_json import row_from_json, row_to_json
from schemas.errors import Fatal, InverError, Poison, Retryable
from schemas.filters import Filter
from schemas.row import Candidate, Row

#: Raised with every change to what stands in an index; an index of another format is refused.
_FORMAT: Final = 1
_ID_LIMIT_BYTES: Final = 512
_KEYS_AT_ONCE: Final = 1_000
#: How long a scan may pause between two pages.
_SCAN_PAUSE: Final = "5m"
#: Lucene counts the words, the filter's conditions and the tenant together against one limit.
_CLAUSES_LIMIT: Final = 1_024
_TENANT_CLAUSES: Final = 1


class OpenSearchTextIndex:
    """One generation in one index. The client is shared with others and closed by whoever made it.

    Scores are comparable within one shard; with more, every search first collects term statistics from all of them.
    """

    def __init__(
        self,
        client: OpenSearchClient,
        *,
        index: str,
        analyzer: str = "english",
        bm25_k1: float = 1.2,
        bm25_b: float = 0.75,
        shards: int = 1,
        replicas: int = 0,
    ) -> None:
        self._client = client
        self._index = index
        self._analyzer = check_analyzer(analyzer)
        self._similarity: dict[str, object] = {"type": "BM25", "k1": bm25_k1, "b": bm25_b}
        self._shards = shards
        self._replicas = replicas

    async def ensure(self) -> None:
        """Create the index, wait until it takes writes, and refuse one that was built differently."""
        definition = index_definition(
            analyzer=self._analyzer,
            similarity=self._similarity,
            meta=self._meta(),
            shards=self._shards,
            replicas=self._replicas,
        )
        await self._client.create_index(self._index, definition)
        answer = await self._client.request("GET", f"/{self._index}/_mapping")
        found = answer[self._index]["mappings"].get("_meta", {})
        if found != self._meta():
            raise Fatal(
                f"index '{self._index}' was built for {found or 'something else'} and this generation needs "
                f"{self._meta()}; rebuild the generation from the log under another name"
            )
        health = await self._client.request(
            "GET",
            f"/_cluster/health/{self._index}",
            parameters={"wait_for_status": "yellow", "timeout": "10s"},
            accept=(408,),
        )
        if health.get("timed_out"):
            raise Retryable(f"index '{self._index}' has shards that no node serves; is the cluster still starting?")

    async def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows in bulk; each is acknowledged or refused on its own."""
        operations: list[BulkOperation] = []
        errors: list[InverError] = []
        for row in rows:
            try:
                operations.append(self._operation(row))
            except (TypeError, ValueError) as error:
                errors.append(Poison("unstorable_row", f"OpenSearch cannot hold row '{row.key}': {error}"))
        await self._bulk(operations, errors)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete rows in bulk."""
        await self._bulk([BulkOperation(action="delete", index=self._index, id=key) for key in keys], [])

    async def make_searchable(self, keys: Sequence[str]) -> None:
        """Refresh the index, which shows every write that was acknowledged before."""
        if keys:
            await self._refresh()

    async def search(self, query: str, *, tenant: str, window: int, condition: Filter | None = None) -> list[Candidate]:
        """Return the rows that score best.

        Of too many words the first are asked for, as rareness is not known here; a large filter leaves room for fewer.
        """
        words = list(dict.fromkeys(words_of(query, self._analyzer)))
        limit = max(1, _CLAUSES_LIMIT - _TENANT_CLAUSES - clause_count(condition))
        if not words or window < 1:
            return []
        filters: list[dict[str, object]] = [{"term": {"tenant": tenant}}]
        if condition is not None:
            filters.append(filter_query(condition))
        match = {"match": {"words": {"query": " ".join(words[:limit]), "operator": "or"}}}
        parameters = {"allow_partial_search_results": "false", "filter_path": "timed_out,_shards,hits.hits.sort"}
        if self._shards > 1:
            parameters["search_type"] = "dfs_query_then_fetch"
        answer = await self._client.request(
            "POST",
            f"/{self._index}/_search",
            parameters=parameters,
            body={
                "query": {"bool": {"must": [match], "filter": filters}},
                "sort": [{"_score": "desc"}, {"key": "asc"}],
                "size": window,
                # Score and key come out of the sort; loading even the ids would double the time.
                "stored_fields": "_none_",
                "track_total_hits": False,
            },
        )
        require_complete(answer, f"searching '{self._index}'")
        return [Candidate(key, score) for score, key in (hit["sort"] for hit in answer.get("hits", {}).get("hits", []))]

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Look the keys up in the primary shards, which need no refresh for it."""
        found = [document["_id"] for document in await self._get(keys, "false")]
        return set(keys).difference(found)

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Read the rows from the primary shards, which need no refresh for it."""
        documents = await self._get(keys, "true")
        return {document["_id"]: row_from_json(document["_id"], document["_source"]["row"]) for document in documents}

    async def scan(self) -> AsyncIterator[str]:
        """Yield the keys that were stored when the scan began."""
        await self._refresh()
        answer = await self._client.request(
            "POST",
            f"/{self._index}/_search/point_in_time",
            parameters={"keep_alive": _SCAN_PAUSE, "allow_partial_pit_creation": "false"},
        )
        point_in_time = answer["pit_id"]
        try:
            after = ""
            while page := await self._page_of_keys(point_in_time, after):
                for key in page:
                    yield key
                after = page[-1]
        finally:
            await self._client.request(
                "DELETE", "/_search/point_in_time", body={"pit_id": [point_in_time]}, accept=(404,)
            )

    async def count(self) -> int:
        """Refresh and count."""
        await self._refresh()
        answer = await self._client.request("GET", f"/{self._index}/_count")
        require_complete(answer, f"counting '{self._index}'")
        return int(answer["count"])

    async def drop(self) -> None:
        """Delete the index."""
        await self._client.delete_index(self._index)

    async def ping(self) -> None:
        """Return when a node answers."""
        await self._client.ping()

    async def close(self) -> None:
        """Do nothing: the client belongs to whoever made it."""

    async def _bulk(self, operations: Sequence[BulkOperation], errors: list[InverError]) -> None:
        results = await self._client.bulk(operations)
        found = [*errors, *(error for result in results if (error := result.error()) is not None)]
        if found:
            # What stops everything comes first, then what another try may still write.
            raise min(found, key=lambda error: (not isinstance(error, Fatal), not isinstance(error, Retryable)))

    async def _get(self, keys: Sequence[str], source: str) -> list[dict[str, Any]]:
        documents: list[dict[str, Any]] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            answer = await self._client.request(
                "POST",
                f"/{self._index}/_mget",
                parameters={"realtime": "true", "preference": "_primary", "_source": source},
                body={"ids": list(keys[start : start + _KEYS_AT_ONCE])},
            )
            for document in answer["docs"]:
                if "error" in document:
                    error = document["error"]
                    raise error_of(error.get("status", 503), error["type"], error["reason"], f"reading '{self._index}'")
                if document["found"]:
                    documents.append(document)
        return documents

    async def _page_of_keys(self, point_in_time: str, after: str) -> list[str]:
        answer = await self._client.request(
            "POST",
            "/_search",
            parameters={"allow_partial_search_results": "false"},
            body={
                "pit": {"id": point_in_time, "keep_alive": _SCAN_PAUSE},
                "sort": [{"key": "asc"}],
                "search_after": [after],
                "size": _KEYS_AT_ONCE,
                "stored_fields": "_none_",
                "track_total_hits": False,
            },
        )
        require_complete(answer, f"scanning '{self._index}'")
        return [hit["sort"][0] for hit in answer["hits"]["hits"]]

    async def _refresh(self) -> None:
        answer = await self._client.request("POST", f"/{self._index}/_refresh")
        require_complete(answer, f"refreshing '{self._index}'")
        if answer["_shards"]["successful"] < self._shards:
            raise Retryable(f"index '{self._index}' has shards that no node serves, so not every write shows yet")

    def _operation(self, row: Row) -> BulkOperation:
        # One such id would have the whole request refused, its neighbours included.
        if len(row.key.encode()) > _ID_LIMIT_BYTES:
            raise ValueError(f"its key has more than {_ID_LIMIT_BYTES} bytes")
        source: dict[str, object] = {
            "key": row.key,
            "tenant": row.document.tenant,
            "words": " ".join(words_of(row.searchable_text(), self._analyzer)),
            TERMS_FIELD: terms_of(row.metadata),
            "row": orjson.Fragment(orjson.dumps(row_to_json(row))),
        }
        return BulkOperation(action="index", index=self._index, id=row.key, source=source)

    def _meta(self) -> dict[str, object]:
        return {
            "inver": "text",
            "format": _FORMAT,
            "analyzer": self._analyzer,
            "similarity": self._similarity,
            "shards": self._shards,
        }
