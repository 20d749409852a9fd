"""The obstore BlobStore keeps the port's promises in a directory and behind an S3 address, and survives damage."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engines.blobs import ObstoreBlobStore
from schemas.errors import Fatal, InverError, Poison, Retryable
from tests.contracts.blob_store import LIMIT_BYTES, BlobStoreContract, OpenBlobs, uri_of


class Bucket:
    """As much of S3 as a blob store calls: objects under /bucket, uploads in parts, and refusals on demand."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.refusal: web.Response | None = None
        self.requests = 0
        self.application = web.Application(client_max_size=LIMIT_BYTES)
        self.application.router.add_route("*", "/bucket/{name:.+}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        name, query = request.match_info["name"], request.query
        if self.refusal is not None:
            return web.Response(status=self.refusal.status, text=self.refusal.text)
        match request.method:
            case "PUT" if "partNumber" in query:
                self.parts[query["uploadId"]][int(query["partNumber"])] = await request.read()
            case "PUT":
                self.objects[name] = await request.read()
            case "POST" if "uploads" in query:
                self.parts[str(self.requests)] = {}
                answer = "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>"
                return web.Response(text=answer.format(self.requests))
            case "POST":
                parts = self.parts.pop(query["uploadId"])
                self.objects[name] = b"".join(parts[number] for number in sorted(parts))
                answer = "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>"
                return web.Response(text=answer)
            case _ if name not in self.objects:
                return web.Response(status=404)
        headers = {"ETag": '"tag"', "Last-Modified": "Mon, 05 Jan 2026 00:00:00 GMT"}
        return web.Response(body=self.objects.get(name, b""), headers=headers)


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    """Serve a bucket where obstore looks for S3."""
    bucket = Bucket()
    async with TestServer(bucket.application) as server:
        monkeypatch.setenv("AWS_ENDPOINT", str(server.make_url("")).rstrip("/"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "user")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "password")
        yield bucket


class TestLocalBlobStore(BlobStoreContract):
    """The contract in a directory that does not exist yet."""

    @pytest.fixture
    def open_blobs(self, tmp_path: Path) -> OpenBlobs:
        async def open_it() -> ObstoreBlobStore:
            return ObstoreBlobStore(tmp_path / "data" / "blobs")

        return open_it

    async def test_files_are_spread_over_folders(self, tmp_path: Path) -> None:
        """A blob lies where people find it by its name, and nothing half-written lies beside it."""
        uri = await ObstoreBlobStore(str(tmp_path)).put(b"text")

        digest = uri.removeprefix("blob:")
        files = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*")) if path.is_file()]
        assert files == [f"{digest[:2]}/{digest[2:4]}/{digest}"]

    async def test_a_blob_is_synchronised_before_it_has_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A power failure leaves no empty file under the name of a blob."""
        synchronised: list[Path] = []
        fsync = os.fsync

        def record(descriptor: int) -> None:
            synchronised.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", record)
        uri = await ObstoreBlobStore(tmp_path).put(b"text")

        digest = uri.removeprefix("blob:")
        assert synchronised[0].parent == tmp_path / "incoming"
        assert synchronised[1:] == [tmp_path / digest[:2] / digest[2:4], tmp_path / digest[:2], tmp_path]

    @pytest.mark.parametrize("damage", [b"", b"txet", b"text and more"])
    async def test_damage_is_noticed(self, tmp_path: Path, damage: bytes) -> None:
        """Content that is not what its name says is never given back; one cut short is healed by storing again."""
        blobs = ObstoreBlobStore(tmp_path)
        uri = await blobs.put(b"text")
        (path,) = (path for path in tmp_path.rglob(uri.removeprefix("blob:")))
        path.write_bytes(damage)

        with pytest.raises(Poison, match="delete") as caught:
            await blobs.get(uri, limit_bytes=LIMIT_BYTES)
        assert caught.value.reason == "blob_damaged"
        if len(damage) == len(b"text"):
            path.unlink()
        await blobs.put(b"text")
        assert await blobs.get(uri, limit_bytes=LIMIT_BYTES) == b"text"

    async def test_a_directory_that_cannot_be_made_is_fatal(self, tmp_path: Path) -> None:
        """A file in place of the directory is named."""
        (tmp_path / "file").touch()

        with pytest.raises(Fatal, match="file/blobs"):
            await ObstoreBlobStore(tmp_path / "file" / "blobs").put(b"text")


class TestS3BlobStore(BlobStoreContract):
    """The contract behind an s3:// URL with a prefix."""

    @pytest.fixture
    def open_blobs(self, bucket: Bucket) -> OpenBlobs:
        async def open_it() -> ObstoreBlobStore:
            return ObstoreBlobStore("s3://bucket/prefix")

        return open_it

    async def test_objects_stand_under_the_prefix(self, bucket: Bucket) -> None:
        """A bucket may be shared with others."""
        uri = await ObstoreBlobStore("s3://bucket/prefix").put(b"text")

        digest = uri.removeprefix("blob:")
        assert bucket.objects == {f"prefix/{digest[:2]}/{digest[2:4]}/{digest}": b"text"}

    @pytest.mark.parametrize(("status", "expected"), [(403, Fatal), (401, Fatal), (503, Retryable), (500, Retryable)])
    async def test_refusals(self, bucket: Bucket, status: int, expected: type[InverError]) -> None:
        """Missing rights stop the work; a store that is busy is tried again, by the caller."""
        bucket.refusal = web.Response(status=status)
        blobs = ObstoreBlobStore("s3://bucket/prefix")

        with pytest.raises(expected, match="blob store s3://bucket/prefix"):
            await blobs.put(b"text")
        with pytest.raises(expected):
            await blobs.get(uri_of(b"text"), limit_bytes=LIMIT_BYTES)

        assert bucket.requests <= 6

    async def test_an_absent_bucket_is_fatal(self, bucket: Bucket) -> None:
        """A bucket that is not there must not make every blob look lost."""
        bucket.refusal = web.Response(status=404, text="<Error><Code>NoSuchBucket</Code></Error>")
        blobs = ObstoreBlobStore("s3://bucket/prefix")

        with pytest.raises(Fatal, match="bucket is there"):
            await blobs.put(b"text")
        with pytest.raises(Fatal, match="bucket is there"):
            await blobs.get(uri_of(b"text"), limit_bytes=LIMIT_BYTES)

    async def test_an_absent_server_is_retryable(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        """A store that does not answer may answer later."""
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{unused_tcp_port}")

        with pytest.raises(Retryable):
            await ObstoreBlobStore("s3://bucket/prefix").put(b"text")


@pytest.mark.parametrize("url", ["ftp://host/blobs", "s3://", "://"])
def test_a_url_of_no_store_is_fatal(url: str) -> None:
    """A location that can never work is refused at the start."""
    with pytest.raises(Fatal, match="name a directory or a URL"):
        ObstoreBlobStore(url)
