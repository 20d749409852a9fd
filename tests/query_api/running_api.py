"""The API of a running Inver, embedded, with the model that is none: as clients see it, and every answer checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from fastapi import FastAPI

from inver.runtime import ALL_STAGES, Runtime, open_runtime
from inver.settings import EmbeddingSettings, Settings
from tests.query_api.described import check_described

_DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningApi:
    """A client, what it talks to, and one collection that is there from the beginning."""

    client: httpx.AsyncClient
    runtime: Runtime
    collection: str = "docs"

    def path(self, *parts: str) -> str:
        """Return an address in the collection; each part is one segment, whatever it holds."""
        segments = [part.replace(".", "%2E") if part in (".", "..") else quote(part, safe="") for part in parts]
        return "/".join(("/v1/collections", self.collection, *segments))

    async def put(self, document_id: str, *, tenant: str = "default", **body: Any) -> dict[str, Any]:
        """Store a document and return the answer."""
        address = self.path("documents", document_id)
        response = await self.client.put(address, params={"tenant": tenant}, json=body)
        assert response.status_code == 202, response.text
        return dict(response.json())

    async def settled(self, document_id: str, version: int, *, tenant: str = "default") -> dict[str, Any]:
        """Wait until a version is finished, however it ended, and return the status."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        address = self.path("documents", document_id, "status")
        while time.monotonic() < deadline:
            status: dict[str, Any] = (await self.client.get(address, params={"tenant": tenant})).json()
            if status["state"] != "pending" and (status["version"] or 0) >= version:
                return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"not settled within {_DEADLINE_SECONDS} s: {status}")

    async def store(self, document_id: str, *, tenant: str = "default", **body: Any) -> int:
        """Store a document, wait until it is searchable, and return its version."""
        accepted = await self.put(document_id, tenant=tenant, **body)
        status = await self.settled(document_id, accepted["version"], tenant=tenant)
        assert status["state"] == "searchable", status
        return int(accepted["version"])

    async def knows(self, field: str) -> None:
        """Wait until this process has seen that the collection knows a metadata name."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while field not in (await self.client.get(self.path())).json()["fields"]:
            assert time.monotonic() < deadline, f"field {field} is not known within {_DEADLINE_SECONDS} s"
            await asyncio.sleep(0.02)

    async def search(self, query: str, **body: Any) -> dict[str, Any]:
        """Search and return the answer."""
        response = await self.client.post(self.path("search"), json={"query": query, **body})
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def lines(self, *lines: bytes) -> dict[str, Any]:
        """Send lines as one bulk request and return the answer."""
        response = await self.client.post(
            self.path("documents"), content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        )
        assert response.status_code == 200, response.text
        return dict(response.json())


async def _check(response: httpx.Response) -> None:
    await response.aread()
    check_described(response)
    assert response.headers["x-content-type-options"] == "nosniff"


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a client whose every answer is held against the OpenAPI document."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://inver", event_hooks={"response": [_check]}
    )


@asynccontextmanager
async def running_api(directory: Path) -> AsyncIterator[RunningApi]:
    """Run everything that ``inver up`` runs."""
    settings = Settings(data_directory=directory, embedding=EmbeddingSettings(model="hash", cache_bytes=0))
    async with open_runtime(settings, ALL_STAGES) as runtime, client_of(runtime.app) as client:
        api = RunningApi(client, runtime)
        await api.store("first", text="The first document of all.")
        yield api


def problem(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """Return the problem that a response is, after checking which one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    answer: dict[str, Any] = orjson.loads(response.content)
    assert answer["type"] == f"urn:inver:problem:{reason}"
    assert answer["status"] == status
    return answer
