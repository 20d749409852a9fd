"""Registers in one OpenSearch index: conditional writes by sequence number, realtime reads by id, never by search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import orjson

from engines.opensearch_client import BulkOperation, BulkResult, OpenSearchClient, error_of, require_complete
from engines.registers import Register, RegisterChange
from schemas.errors import Fatal, InverError, Retryable

PAGE_SIZE: Final = 1_000
_SCHEMA: Final = 1
#: How long a scan may pause between two pages.
_SCAN_PAUSE: Final = "5m"


class OpenSearchRegisters:
    """Registers in one index. The client is shared with others and closed by whoever made it."""

    def __init__(
        self, client: OpenSearchClient, *, index: str, kind: str, body_fields: Mapping[str, object], shards: int = 1
    ) -> None:
        self._client = client
        self._index = index
        self._kind = kind
        self._body_fields = body_fields
        self._shards = shards

    async def ensure(self) -> None:
        """Create the index, refuse one of that name that was built as something else, and wait until it answers."""
        await self._client.create_index(self._index, self._definition())
        answer = await self._client.request("GET", f"/{self._index}/_mapping")
        found = answer[self._index]["mappings"].get("_meta", {})
        wanted = self._meta()
        if found != wanted:
            raise Fatal(
                f"index '{self._index}' was made for {found or 'something else'} and this Inver keeps {wanted} in it; "
                "upgrade Inver if a newer one made it, else choose another index prefix"
            )
        health = await self._client.request(
            "GET",
            f"/_cluster/health/{self._index}",
            parameters={"wait_for_status": "yellow", "timeout": "10s"},
            accept=(408,),
        )
        if health.get("timed_out"):
            raise Retryable(f"index '{self._index}' has shards that no node serves; is the cluster still starting?")

    async def read(self, keys: Sequence[str]) -> dict[str, Register]:
        """Return those that exist, asked of the primary shards without a refresh."""
        found: dict[str, Register] = {}
        for start in range(0, len(keys), PAGE_SIZE):
            answer = await self._client.request(
                "POST",
                f"/{self._index}/_mget",
                parameters={"realtime": "true", "preference": "_primary"},
                body={"ids": list(keys[start : start + PAGE_SIZE])},
            )
            for document in answer["docs"]:
                if "error" in document:
                    raise self._read_error(document)
                if document["found"]:
                    found[document["_id"]] = Register(_body(document), _token(document))
        return found

    async def write(self, changes: Sequence[RegisterChange]) -> list[str | None]:
        """Write each change whose register still carries the expected token.

        Where some are refused for a while (429, 503) the rest is written before Retryable is raised.
        """
        results = await self._client.bulk([self._operation(change) for change in changes])
        if errors := [error for result in results if (error := _error(result)) is not None]:
            raise min(errors, key=lambda error: (not isinstance(error, Fatal), not isinstance(error, Retryable)))
        return [None if result.is_conflict else _written_token(result) for result in results]

    async def scan(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every key once, as they stood when the scan began."""
        await self._refresh()
        answer = await self._client.request(
            "POST",
            f"/{self._index}/_search/point_in_time",
            parameters={"keep_alive": _SCAN_PAUSE, "allow_partial_pit_creation": "false"},
        )
        point_in_time = answer["pit_id"]
        try:
            after: list[Any] | None = None
            while hits := await self._page(point_in_time, after):
                for hit in hits:
                    yield hit["_source"]["key"], _body(hit)
                after = hits[-1]["sort"]
        finally:
            await self._forget(point_in_time)

    async def drop(self) -> None:
        """Delete the index."""
        await self._client.delete_index(self._index)

    async def ping(self) -> None:
        """Return when a node answers."""
        await self._client.ping()

    async def close(self) -> None:
        """Do nothing: the client belongs to whoever made it."""

    async def _refresh(self) -> None:
        answer = await self._client.request("POST", f"/{self._index}/_refresh")
        require_complete(answer, f"refreshing '{self._index}'")

    async def _page(self, point_in_time: str, after: list[Any] | None) -> list[dict[str, Any]]:
        body: dict[str, object] = {
            "pit": {"id": point_in_time, "keep_alive": _SCAN_PAUSE},
            "size": PAGE_SIZE,
            "sort": [{"key": "asc"}],
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        answer = await self._client.request(
            "POST", "/_search", parameters={"allow_partial_search_results": "false"}, body=body
        )
        require_complete(answer, f"scanning '{self._index}'")
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    async def _forget(self, point_in_time: str) -> None:
        try:
            await self._client.request("DELETE", "/_search/point_in_time", body={"pit_id": [point_in_time]})
        except InverError:
            # Lost: some memory of OpenSearch's, until the pause has passed. What the scan itself met is told instead.
            return

    def _operation(self, change: RegisterChange) -> BulkOperation:
        source = {"key": change.key, "body": orjson.Fragment(change.body)}
        if change.expected is None:
            return BulkOperation(action="create", index=self._index, id=change.key, source=source)
        return BulkOperation(
            action="index", index=self._index, id=change.key, source=source, conditions=_conditions(change.expected)
        )

    def _read_error(self, document: Mapping[str, Any]) -> InverError:
        # An item carries no status: an index that is gone or closed will not come back, a shard without a copy will.
        kind, reason = str(document["error"].get("type")), str(document["error"].get("reason"))
        return error_of(404 if kind.startswith("index_") else 503, kind, reason, f"reading from '{self._index}'")

    def _meta(self) -> dict[str, object]:
        return {"inver": self._kind, "schema": _SCHEMA}

    def _definition(self) -> dict[str, object]:
        return {
            "settings": {
                "index": {
                    "number_of_shards": self._shards,
                    "auto_expand_replicas": "0-1",
                    # Reads go by id and scans refresh first; set at all, so that the index never goes search-idle.
                    "refresh_interval": "30s",
                }
            },
            "mappings": {
                "dynamic": False,
                "_meta": self._meta(),
                "properties": {
                    "key": {"type": "keyword", "index": False, "doc_values": True},
                    "body": {"type": "object", "dynamic": False, "properties": self._body_fields},
                },
            },
        }


def _error(result: BulkResult) -> InverError | None:
    return None if result.is_conflict else result.error()


def _body(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document["_source"]["body"])


def _token(document: Mapping[str, Any]) -> str:
    return f"{document['_seq_no']}:{document['_primary_term']}"


def _written_token(result: BulkResult) -> str:
    return f"{result.sequence_number}:{result.primary_term}"


def _conditions(token: str) -> dict[str, int | str]:
    sequence_number, _, primary_term = token.partition(":")
    return {"if_seq_no": int(sequence_number), "if_primary_term": int(primary_term)}
