"""What every BlobStore promises, as tests: a class per kind of storage inherits them and says how to open it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from engines.ports import BlobStore
from schemas.errors import Poison

OpenBlobs = Callable[[], Awaitable[BlobStore]]

LIMIT_BYTES = 32 * 1024 * 1024


def uri_of(content: bytes) -> str:
    """Name content."""
    return f"blob:{hashlib.sha256(content).hexdigest()}"


class BlobStoreContract:
    """The port's promises. Adapters provide ``open_blobs``; every store it opens is on the same, empty storage."""

    @pytest.fixture
    def open_blobs(self) -> OpenBlobs:
        raise NotImplementedError

    @pytest.fixture
    async def blobs(self, open_blobs: OpenBlobs) -> BlobStore:
        return await open_blobs()

    @pytest.mark.parametrize("content", [b"text", b"", bytes(range(256)) * 40_000], ids=["text", "empty", "10 MB"])
    async def test_gives_back_what_was_put(self, blobs: BlobStore, open_blobs: OpenBlobs, content: bytes) -> None:
        """Content comes back byte for byte, from every store on the same storage."""
        uri = await blobs.put(content)

        assert uri_of(content) == uri
        assert content == await (await open_blobs()).get(uri, limit_bytes=LIMIT_BYTES)

    async def test_the_same_content_is_stored_once(self, blobs: BlobStore) -> None:
        """Storing again changes nothing, also at the same time."""
        uris = await asyncio.gather(*(blobs.put(b"again") for _ in range(10)))

        assert {uri_of(b"again")} == {*uris, await blobs.put(b"again")}
        assert await blobs.get(uris[0], limit_bytes=LIMIT_BYTES) == b"again"

    @pytest.mark.parametrize(
        "uri",
        ["", "blob:", "blob:abc", f"blob:{'A' * 64}", f"file:{'a' * 64}", f"blob:{'a' * 64}\n", f"blob:../{'a' * 61}"],
    )
    async def test_a_uri_of_another_form_is_poison(self, blobs: BlobStore, uri: str) -> None:
        """Only names of the one form are looked up."""
        with pytest.raises(Poison, match="64 hexadecimal digits") as caught:
            await blobs.get(uri, limit_bytes=LIMIT_BYTES)

        assert caught.value.reason == "invalid_blob_uri"

    async def test_an_absent_blob_is_poison(self, blobs: BlobStore) -> None:
        """A blob that was never stored cannot be waited for."""
        with pytest.raises(Poison, match=uri_of(b"absent")) as caught:
            await blobs.get(uri_of(b"absent"), limit_bytes=LIMIT_BYTES)

        assert caught.value.reason == "blob_missing"

    async def test_a_blob_over_the_limit_is_poison(self, blobs: BlobStore) -> None:
        """The limit is inclusive, and the error names both sizes."""
        uri = await blobs.put(b"12345678")

        assert await blobs.get(uri, limit_bytes=8) == b"12345678"
        with pytest.raises(Poison, match=r"8 bytes and the limit is 7") as caught:
            await blobs.get(uri, limit_bytes=7)
        assert caught.value.reason == "blob_too_large"

    async def test_closing_twice_is_harmless(self, blobs: BlobStore, open_blobs: OpenBlobs) -> None:
        """What was acknowledged is durable without closing."""
        uri = await blobs.put(b"kept")
        await blobs.close()
        await blobs.close()

        assert await (await open_blobs()).get(uri, limit_bytes=LIMIT_BYTES) == b"kept"
