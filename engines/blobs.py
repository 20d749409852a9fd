"""The BlobStore on obstore: content by its SHA-256, in a local directory or behind an s3://, gs:// or az:// URL."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import obstore
from obstore.exceptions import (
    BaseError,
    GenericError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import LocalStore, from_url

from schemas.errors import Fatal, InverError, Poison, Retryable

Result = TypeVar("Result")

TIMEOUT: Final = timedelta(seconds=30)
CONNECT_TIMEOUT: Final = timedelta(seconds=5)
#: obstore's own default would go on for three minutes; waiting is the caller's decision.
RETRIES: Final = 2
_URI: Final = re.compile(r"blob:([0-9a-f]{64})")
#: Where a local blob lies until it is complete and on disk.
_INCOMING: Final = "incoming"
_SHOWN_REASON_LENGTH: Final = 300


class ObstoreBlobStore:
    """Blobs as files ``ab/cd/<sha256>``, so that no folder grows too large."""

    def __init__(self, location: Path | str) -> None:
        """Take a directory, made when first written to, or a URL; obstore reads credentials from the environment."""
        self._location = str(location)
        self._directory = _directory(location)
        self._store: Any = None if self._directory is not None else _remote(str(location))

    async def put(self, content: bytes) -> str:
        """Store durably and return ``blob:<sha256>``."""
        digest = await asyncio.to_thread(_sha256, content)
        uri = f"blob:{digest}"
        if await self._stored_size(digest) == len(content):
            return uri
        # Absent, or cut short by a crash or a failing disk: written whole.
        if self._directory is None:
            await self._called(obstore.put_async(self._open(), _path(digest), content), f"storing {uri}")
        else:
            await self._put_local(self._directory, digest, content)
        return uri

    async def get(self, uri: str, *, limit_bytes: int) -> bytes:
        """Return the content, after its size and before its SHA-256 is checked."""
        digest = _digest(uri)
        try:
            found = await self._called(obstore.get_async(self._open(), _path(digest)), f"reading {uri}")
            # The size comes ahead of the content, so that nothing over the limit is ever read.
            size = found.meta["size"]
            if size > limit_bytes:
                raise Poison("blob_too_large", f"{uri} has {size} bytes and the limit is {limit_bytes}; split it")
            content = bytes(await self._called(found.bytes_async(), f"reading {uri}"))
        except FileNotFoundError:
            raise Poison("blob_missing", f"{uri} is not in {self._location}; store it, then send the event again") from None
        if await asyncio.to_thread(_sha256, content) != digest:
            raise Poison("blob_damaged", f"{uri} in {self._location} has other content than its name says; delete it there, store it again, and send the event again")
        return content

    async def close(self) -> None:
        """Release connections; obstore closes them with the last reference."""
        self._store = None

    def _open(self) -> Any:
        if self._store is None:
            if self._directory is None:
                raise Fatal("the blob store was closed; a closed store stays closed, make a new one")
            self._store = LocalStore(self._directory, mkdir=True)
        return self._store
