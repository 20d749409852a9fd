"""The connection to Milvus: every call gets a time limit, every failure one of Inver's three types."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import grpc
from pymilvus import AsyncMilvusClient, MilvusClient
from pymilvus.exceptions import MilvusException

from schemas.errors import Fatal, InverError, Poison, Retryable

Result = TypeVar("Result")

#: Milvus' own codes; all others are taken for passing, because a stalled stage is seen and a lost document is not.
_COLLECTION_NOT_FOUND: Final = 100
_NOT_LOADED: Final = frozenset({101, 103})
_INVALID_PARAMETER: Final = range(1100, 1200)
_REFUSED_USER: Final = range(1400, 1500)
_UNEXPECTED: Final = 65_535
#: Statuses of the connection itself.
_REFUSED_STATUSES: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_WRONG_STATUSES: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
#: How much longer than its limit a call may take before it is cut off: the client's own waits round up.
_GRACE_SECONDS: Final = 2.0


class MilvusConnection:
    """Connects on the first call, inside the loop that makes it, and stays with that loop."""

    def __init__(self, uri: str, *, token: str, timeout_seconds: float) -> None:
        self._uri = uri
        self._token = token
        # The client's waiting loops heed whole seconds only.
        self._timeout_seconds = max(1, math.ceil(timeout_seconds))
        self._client: AsyncMilvusClient | None = None
        # The client packs rows where it is called, about 0.1 ms each at 384 dimensions: too long for the loop.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="milvus-writer")
        self._writer: MilvusClient | None = None

    async def call(self, what: str, work: Callable[[AsyncMilvusClient, int], Awaitable[Result]]) -> Result:
        """Run one call, given the client and the seconds it may take. Raises Retryable, Poison or Fatal.

        Without a time limit the client would try 75 times before it reports anything.
        """
        async with self._translating(what):
            if self._client is None:
                self._client = AsyncMilvusClient(
                    uri=self._uri, token=self._token, timeout=self._timeout_seconds, dedicated=True
                )
            return await work(self._client, self._timeout_seconds)

    async def call_in_thread(self, what: str, work: Callable[[MilvusClient, int], Result]) -> Result:
        """Run one call beside the loop, one after the other. Raises Retryable, Poison or Fatal."""
        async with self._translating(what):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, work)

    async def close(self) -> None:
        """Release the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_writer)
        self._thread.shutdown(wait=False)

    def _write(self, work: Callable[[MilvusClient, int], Result]) -> Result:
        if self._writer is None:
            self._writer = MilvusClient(uri=self._uri, token=self._token, timeout=self._timeout_seconds, dedicated=True)
        return work(self._writer, self._timeout_seconds)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @asynccontextmanager
    async def _translating(self, what: str) -> AsyncIterator[None]:
        where = f"{what} at {self._uri}"
        try:
            async with asyncio.timeout(self._timeout_seconds + _GRACE_SECONDS):
                yield
        except MilvusException as error:
            raise translate(error, where) from error
        except grpc.RpcError as error:
            raise _translate_status(error, where) from error
        except TimeoutError as error:
            raise Retryable(f"{where} took longer than {self._timeout_seconds} s") from error


def translate(error: MilvusException, what: str) -> InverError:
    """Give Milvus' answer the type that says what to do."""
    code, message = error.code, str(error.message)
    if isinstance(code, grpc.StatusCode):
        return _by_status(code, what, message)
    if code == _COLLECTION_NOT_FOUND:
        return Fatal(f"{what}: the Milvus collection does not exist ({message}); create it with 'ensure'")
    if code in _NOT_LOADED:
        return Retryable(f"{what}: Milvus has not loaded the collection yet ({message})")
    if code in _REFUSED_USER or "auth check failure" in message:
        return Fatal(f"{what}: Milvus refuses the user ({message}); check the token")
    if code in _INVALID_PARAMETER or (code == _UNEXPECTED and "cannot parse expression" in message):
        return Poison("refused_by_milvus", f"{what}: Milvus refuses the request ({message})")
    return Retryable(f"{what}: Milvus did not answer as asked ({message}); is the server up and healthy?")


def _translate_status(error: grpc.RpcError, what: str) -> InverError:
    status = error.code() if callable(getattr(error, "code", None)) else grpc.StatusCode.UNKNOWN
    details: Any = error.details() if callable(getattr(error, "details", None)) else error
    return _by_status(status, what, str(details))


def _by_status(status: grpc.StatusCode, what: str, details: str) -> InverError:
    if status in _REFUSED_STATUSES:
        return Fatal(f"{what}: Milvus refuses the user ({details}); check the token")
    if status in _WRONG_STATUSES:
        return Poison("refused_by_milvus", f"{what}: Milvus refuses the request ({details})")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return Fatal(f"{what}: this Milvus lacks the call ({details}); use Milvus 2.3.5 or newer")
    return Retryable(f"{what}: Milvus cannot be reached ({status.name}: {details}); is the server up?")
