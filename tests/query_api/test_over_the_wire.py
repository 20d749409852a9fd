"""The API behind a real server and a real socket: what ASGI's test transport cannot show."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
import uvicorn

from tests.query_api.running_api import RunningApi

pytestmark = pytest.mark.asyncio(loop_scope="session")

_Answer = tuple[int, dict[str, str], bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port(api: RunningApi) -> AsyncIterator[int]:
    """Serve the running API on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(api.runtime.app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving


async def _ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> _Answer:
    def ask() -> _Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def test_paths_arrive_as_they_were_sent(port: int) -> None:
    """An encoded slash is part of an id, and so are dots that the client left alone."""
    for path, document_id in (("a%2Fstatus", "a/status"), ("..", ".."), ("%252F", "%2F"), ("%C3%BC", "ü")):
        status, _, content = await _ask(port, "GET", f"/v1/collections/docs/documents/{path}/status")

        assert status == 200
        assert orjson.loads(content)["id"] == document_id


async def test_a_search_over_the_wire(port: int) -> None:
    """One question, one answer, with the headers of the API."""
    status, headers, content = await _ask(
        port, "POST", "/v1/collections/docs/search", b'{"query": "first"}', Content_Type="application/json"
    )

    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert orjson.loads(content)["hits"]


def _first_answer(port: int, *parts: bytes) -> bytes:
    """Send parts of a request that has no end, and return what is answered all the same."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 413
        return response.read()


_PUT = b"PUT /v1/collections/docs/documents/big HTTP/1.1\r\nHost: inver\r\nContent-Type: text/plain\r\n"
_PART = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (_PUT + b"Transfer-Encoding: chunked\r\n\r\n", *[_PART] * 33),
        (_PUT + b"Content-Length: 52428800\r\n\r\n",),
        (_PUT + b"Content-Length: 52428800\r\nExpect: 100-continue\r\n\r\n",),
    ],
    ids=["once it is over the limit", "once it has said so", "before it is sent"],
)
async def test_a_body_is_refused_before_its_end(port: int, parts: tuple[bytes, ...]) -> None:
    """A server that waited for the end would never answer here."""
    content = await asyncio.to_thread(_first_answer, port, *parts)

    assert orjson.loads(content)["type"] == "urn:inver:problem:body_too_large"


async def test_a_client_that_sends_all_before_it_reads_gets_the_problem(port: int) -> None:
    """Not a broken connection, which would look like a server that is down."""
    status, _, content = await _ask(
        port, "PUT", "/v1/collections/docs/documents/big", b"x" * 50 * 1024**2, Content_Type="text/plain"
    )

    assert status == 413
    assert orjson.loads(content)["type"] == "urn:inver:problem:body_too_large"
