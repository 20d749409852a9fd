"""How commands ask Inver: over HTTP where one is running, else in this very process; the same API either way."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

from inver.data_directory import find_data_directory, prepare_data_directory
from inver.lock import published_address
from schemas.errors import Fatal, InverError, Poison, Retryable

if TYPE_CHECKING:
    from fastapi import FastAPI

_TIMEOUT_SECONDS: Final = 120.0
_GREETING_SECONDS: Final = 10.0
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_UNAVAILABLE: Final = 503
#: Bytes of the command line that are not UTF-8 are sent as they came: the API refuses them with a sentence.
_ERRORS: Final = "surrogateescape"

Answer = dict[str, Any]


class Client(Protocol):
    """Sends one request to the API. Raises Retryable, Poison with the problem's reason, or Fatal."""

    async def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Return the decoded answer of a request that succeeded."""


def collection_path(collection: str, *rest: str, **query: str | None) -> str:
    """Build a path below a collection; every part is percent-encoded."""
    parts = "/".join(_segment(part) for part in (collection, *rest))
    given = {name: value for name, value in query.items() if value is not None}
    return f"/v1/collections/{parts}" + (f"?{urlencode(given, errors=_ERRORS)}" if given else "")


def _segment(part: str) -> str:
    # URLs give dots a meaning of their own, and clients resolve them away.
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe="", errors=_ERRORS)


async def post_json(client: Client, path: str, body: object) -> Answer:
    """Send JSON."""
    return await client.request("POST", path, json.dumps(body).encode(), "application/json")


@dataclass(frozen=True, slots=True)
class RemoteClient:
    """Asks a running Inver, with nothing but the standard library, because importing more would be most of the wait."""

    url: str

    async def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Send over a connection of its own."""
        return await asyncio.to_thread(self._request, method, path, body, content_type)

    def _request(self, method: str, path: str, body: bytes | None, content_type: str) -> Answer:
        try:
            status, answer = _exchange(self.url, method, path, body, content_type, timeout_seconds=_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            raise _silent(self.url, error) from None
        return checked(status, answer)


class LocalClient:
    """Asks an application in this process, through the same routes."""

    def __init__(self, application: FastAPI, *, pipeline: asyncio.Task[None] | None = None) -> None:
        """Take the application, and the stages that its documents wait for, if there are any."""
        from httpx import ASGITransport, AsyncClient

        self._pipeline = pipeline
        self._client = AsyncClient(
            transport=ASGITransport(app=application), base_url="http://inver", timeout=_TIMEOUT_SECONDS
        )

    async def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Call the application. Raises what a stage stopped for: nothing would ever become searchable."""
        if self._pipeline is not None and self._pipeline.done():
            self._pipeline.result()
        headers = {"Content-Type": content_type} if content_type else {}
        response = await self._client.request(method, path, content=body, headers=headers)
        return checked(response.status_code, response.content)

    async def close(self) -> None:
        """Release the transport."""
        await self._client.aclose()


def checked(status: int, body: bytes) -> Answer:
    """Return a good answer; raise for a problem document, as the error it describes."""
    try:
        answer = json.loads(body) if body else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Fatal(f"the answer ({status}) is not a JSON object: is this port Inver's?")
    if status < _CLIENT_ERROR:
        return answer
    detail = str(answer.get("detail") or answer.get("title") or status)
    if status == _UNAVAILABLE:
        raise Retryable(detail)
    if status >= _SERVER_ERROR:
        raise Fatal(detail)
    raise Poison(str(answer.get("type", "problem")).rpartition(":")[2], detail)


async def running_inver(directory: Path) -> RemoteClient | None:
    """Return a client of the Inver that serves this directory, or None when there is none.

    After a crash the address may name a process that has nothing to do with Inver, or a port that somebody else has
    taken since. Raises Retryable when something is there and does not answer in time.
    """
    url = published_address(directory) if directory.is_dir() else None
    if url is not None and await asyncio.to_thread(_is_inver, url):
        return RemoteClient(url)
    return None


def _is_inver(url: str) -> bool:
    try:
        status, answer = _exchange(url, "GET", "/version", None, "", timeout_seconds=_GREETING_SECONDS)
        return "profile" in checked(status, answer)
    except TimeoutError as error:
        raise _silent(url, error) from None
    except (OSError, http.client.HTTPException, InverError):
        return False


def _exchange(
    url: str, method: str, path: str, body: bytes | None, content_type: str, *, timeout_seconds: float
) -> tuple[int, bytes]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_seconds)
    try:
        connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _silent(url: str, error: Exception) -> Retryable:
    return Retryable(f"Inver at {url} does not answer ({error}): is `inver up` still running?")


@asynccontextmanager
async def open_client(
    *, data_dir: Path | None, profile: str | None, writes: bool, statuses: bool = False
) -> AsyncIterator[Client]:
    """Find a running Inver, or be one for as long as this lasts.

    ``writes`` says that documents are on their way and every stage is needed; ``statuses`` that what the log says of
    documents must be known to its end, which nobody else in this data directory may have read.
    """
    running = await running_inver(find_data_directory(data_dir))
    if running is not None:
        yield running
        return
    from consumers.stages import STATUS
    from inver.logs import configure_logs
    from inver.runtime import ALL_STAGES, open_runtime
    from inver.settings import load_settings

    settings = load_settings(data_directory=data_dir, profile=profile)
    prepare_data_directory(settings.data_directory)
    # What a command has to say it says itself; events are for processes that stay.
    configure_logs(logging.ERROR)
    stages = ALL_STAGES if writes else (STATUS,) if statuses else ()
    async with open_runtime(settings, stages) as runtime:
        if statuses:
            await runtime.pipeline.caught_up()
        client = LocalClient(runtime.app, pipeline=runtime.pipeline_task)
        try:
            yield client
        finally:
            await client.close()
