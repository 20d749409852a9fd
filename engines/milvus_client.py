"""One connection to Milvus: every call gets a time limit, every failure one of Inver's three types."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from pymilvus import AsyncMilvusClient
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


class MilvusClient:
    """Connects on the first call, inside the loop that makes it, and stays with that loop."""

    def __init__(self, uri: str, *, token: str, timeout_seconds: float) -> None:
        self._uri = uri
        self._token = token
        # The client's waiting loops heed whole seconds only.
        self._timeout_seconds = max(1, math.ceil(timeout_seconds))
        self._client: AsyncMilvusClient | None = None

    async def call(self, what: str, work: Callable[[AsyncMilvusClient, int], Awaitable[Result]]) -> Result:
        """Run one call, given the client and the seconds it may take. Raises Retryable, Poison or Fatal.

        Without a time limit the client would try 75 times before it reports anything.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds + _GRACE_SECONDS):
                if self._client is None:
                    self._client = AsyncMilvusClient(
                        uri=self._uri, token=self._token, timeout=self._timeout_seconds, dedicated=True
                    )
                return await work(self._client, self._timeout_seconds)
        except MilvusException as error:
            raise translate(error, f"{what} at {self._uri}") from error
        except grpc.RpcError as error:
            raise _translate_status(error, f"{what} at {self._uri}") from error
        except TimeoutError as error:
            raise Retryable(f"{what} at {self._uri} took longer than {self._timeout_seconds} s") from error

    async def close(self) -> None:
        """Release the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


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
