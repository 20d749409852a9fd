"""How commands ask Inver: over HTTP where one is running, else in this very process; the same API either way."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

from inver.lock import published_address
from schemas.errors import Fatal, Poison, Retryable

_TIMEOUT_SECONDS: Final = 120.0
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_UNAVAILABLE: Final = 503

Answer = dict[str, Any]


class Client(Protocol):
    """Sends one request to the API. Raises Retryable, Poison with the problem's reason, or Fatal."""

    async def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Return the decoded answer of a request that succeeded."""


def collection_path(collection: str, *rest: str, **query: str | None) -> str:
    """Build a path below a collection; every part is percent-encoded."""
    parts = "/".join(quote(part, safe="") for part in (collection, *rest))
    given = {name: value for name, value in query.items() if value is not None}
    return f"/v1/collections/{parts}" + (f"?{urlencode(given)}" if given else "")


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
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
            response = connection.getresponse()
            return checked(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Retryable(f"Inver at {self.url} does not answer ({error}): is `inver up` still running?") from None
        finally:
            connection.close()


class LocalClient:
    """Asks an application in this process, through the same routes."""

    def __init__(self, application: Any) -> None:
        from httpx import ASGITransport, AsyncClient

        self._client = AsyncClient(
            transport=ASGITransport(app=application), base_url="http://inver", timeout=_TIMEOUT_SECONDS
        )

    async def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Call the application."""
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
    except json.JSONDecodeError:
        raise Fatal(f"the answer ({status}) is not JSON: is this port Inver's?") from None
    if status < _CLIENT_ERROR:
        return dict(answer)
    detail = str(answer.get("detail") or answer.get("title") or status)
    if status == _UNAVAILABLE:
        raise Retryable(detail)
    if status >= _SERVER_ERROR:
        raise Fatal(detail)
    raise Poison(str(answer.get("type", "problem")).rpartition(":")[2], detail)


def data_directory(flag: Path | None) -> Path:
    """Find the data directory as the settings would, without loading them: a running Inver knows the rest itself."""
    if flag is not None:
        return flag
    if "INVER_DATA_DIRECTORY" in os.environ:
        return Path(os.environ["INVER_DATA_DIRECTORY"])
    config = Path(os.environ.get("INVER_CONFIG", "inver.toml"))
    if config.is_file():
        try:
            return Path(str(tomllib.loads(config.read_text()).get("data_directory", "inver-data")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Fatal(f"{config} is not TOML: {error}") from None
    return Path("inver-data")


@asynccontextmanager
async def open_client(
    *, data_dir: Path | None, profile: str | None, writes: bool, statuses: bool = False
) -> AsyncIterator[Client]:
    """Find a running Inver, or be one for as long as this lasts.

    ``writes`` says that documents are on their way and every stage is needed; ``statuses`` that what the log says of
    documents must be known to its end, which nobody else in this data directory may have read.
    """
    url = published_address(data_directory(data_dir))
    if url is not None:
        yield RemoteClient(url)
        return
    from consumers.stages import STATUS
    from inver.logs import configure_logs
    from inver.runtime import ALL_STAGES, open_runtime
    from inver.settings import load_settings

    settings = load_settings(data_directory=data_dir, profile=profile)
    # What a command has to say it says itself; events are for processes that stay.
    configure_logs(logging.ERROR)
    stages = ALL_STAGES if writes else (STATUS,) if statuses else ()
    async with open_runtime(settings, stages) as runtime:
        if statuses:
            await runtime.pipeline.caught_up()
        client = LocalClient(runtime.app)
        try:
            yield client
        finally:
            await client.close()
