"""The BlobStore on obstore: content by its SHA-256, in a local directory or behind an s3://, gs:// or az:// URL."""

from __future__ import annotations

import asyncio
import errno
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
    InvalidPathError,
    NotSupportedError,
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
_FINAL_ERRORS: Final = (
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
_SHOWN_REASON_LENGTH: Final = 300


class ObstoreBlobStore:
    """Blobs as files ``ab/cd/<sha256>``, so that no folder grows too large."""

    def __init__(self, location: Path | str) -> None:
        """Take a directory, made on first use, or a URL, whose credentials obstore reads from the environment."""
        self._location = str(location)
        self._directory = Path(location) if isinstance(location, Path) or "://" not in location else None
        self._store: Any = None
        if self._directory is None:
            self._store = _remote(self._location)

    async def put(self, content: bytes) -> str:
        """Store durably and return ``blob:<sha256>``."""
        digest = await asyncio.to_thread(_sha256, content)
        # A blob of another length was cut short by a failing disk; it is written again.
        stored = await self._stored_size(digest) == len(content)
        if self._directory is not None:
            await self._put_local(self._directory, _path(digest), None if stored else content)
        elif not stored:
            await self._answer(obstore.put_async(self._open(), _path(digest), content))
        return f"blob:{digest}"

    async def get(self, uri: str, *, limit_bytes: int) -> bytes:
        """Return the content, after its length and its SHA-256 were checked."""
        digest = _digest(uri)
        found = await self._if_there(obstore.get_async(self._open(), _path(digest)))
        if found is None:
            raise Poison("blob_missing", f"{uri} is not in {self._location}; store it and send the event again")
        # The length comes ahead of the content, so that nothing over the limit is ever read.
        length = found.meta["size"]
        if length > limit_bytes:
            raise Poison(
                "blob_too_large", f"{uri} has {length} bytes and the limit is {limit_bytes}; split the document"
            )
        content = bytes(await self._answer(found.bytes_async()))
        if await asyncio.to_thread(_sha256, content) != digest:
            raise Poison(
                "blob_damaged",
                f"{uri} has other content in {self._location} than its name says; "
                f"delete {_path(digest)} there, store the content and send the event again",
            )
        return content

    async def close(self) -> None:
        """Release connections; obstore ends them with the last reference."""
        self._store = None

    async def _put_local(self, directory: Path, path: str, content: bytes | None) -> None:
        """Place content under its name, or only make sure of a name that another writer may just have placed."""
        if content is not None:
            # obstore alone renames without an fsync: a power failure could leave an empty file under the name.
            incoming = f"{_INCOMING}/{uuid.uuid4().hex}"
            await self._answer(obstore.put_async(self._open(), incoming, content))
            await self._answer(asyncio.to_thread(_sync, directory / incoming))
            await self._answer(obstore.rename_async(self._open(), incoming, path))
        await self._answer(asyncio.to_thread(_sync_folders, directory / path, directory))

    async def _stored_size(self, digest: str) -> int | None:
        found = await self._if_there(obstore.head_async(self._open(), _path(digest)))
        return None if found is None else found["size"]

    def _open(self) -> Any:
        if self._store is None:
            try:
                self._store = (
                    _remote(self._location) if self._directory is None else LocalStore(self._directory, mkdir=True)
                )
            except (OSError, BaseError) as error:
                raise self._translate(error) from error
        return self._store

    async def _answer(self, call: Awaitable[Result]) -> Result:
        """Wait for obstore. Raises Retryable or Fatal."""
        try:
            return await call
        except (OSError, BaseError) as error:
            raise self._translate(error) from error

    async def _if_there(self, call: Awaitable[Result]) -> Result | None:
        """Wait for obstore to look at a blob; None where there is none."""
        try:
            return await call
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._translate(error) from error
            return None
        except (OSError, BaseError) as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> InverError:
        said = f"blob store {self._location}: {_first_line(error)}"
        if isinstance(error, _FINAL_ERRORS):
            return Fatal(f"{said}; check its address, credentials and permissions")
        if isinstance(error, OSError) and error.errno != errno.ENOSPC:
            return Fatal(f"{said}; check that the directory or bucket is there and its permissions")
        return Retryable(said)


def _remote(url: str) -> Any:
    try:
        return from_url(
            url,
            # Plain HTTP is spoken only to an endpoint whose address begins with http://, chosen by whoever set it.
            client_options={"timeout": TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, "allow_http": True},
            retry_config={"max_retries": RETRIES, "retry_timeout": TIMEOUT},
        )
    except (BaseError, ValueError) as error:
        raise Fatal(
            f"blob store {url!r} cannot be used: {_first_line(error)}; name a directory or a URL such as s3://bucket/prefix"
        ) from error


def _digest(uri: str) -> str:
    match = _URI.fullmatch(uri)
    if match is None:
        raise Poison("invalid_blob_uri", f"{uri[:_SHOWN_REASON_LENGTH]!r} is not 'blob:' and 64 hexadecimal digits")
    return match[1]


def _path(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:_SHOWN_REASON_LENGTH]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folders(path: Path, root: Path) -> None:
    """Make the file's name, and those of the folders made for it, survive a power failure."""
    for folder in path.parents:
        _sync(folder)
        if folder == root:
            return
