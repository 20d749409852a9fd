"""What benchmarks ingest: files, folders, JSON lines and tar archives, and what becomes of the documents."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from inver.client import Client, collection_path, post_json
from inver.ingest import Ingest, IngestReport
from inver.sources import SourceDocument, read_paths
from schemas.document import DEFAULT_TENANT

_STATUS_IDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of documents that are all finished."""

    chunks: int
    #: When the last of them was, in seconds since 1970, by the clock of the process that indexed it.
    last_at: float


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive and return the folder it holds."""
    with tarfile.open(archive) as opened:
        opened.extractall(into, filter="data")
    folders = [path for path in into.iterdir() if path.is_dir()]
    return folders[0] if len(folders) == 1 else into


def read_documents(paths: Sequence[Path], unpack_into: Path, *, limit: int | None = None) -> list[SourceDocument]:
    """Read documents as `inver ingest` does; archives are unpacked first."""
    found: list[Path] = []
    for number, path in enumerate(paths):
        is_archive = path.name.endswith((".tar.gz", ".tgz", ".tar"))
        found.append(unpack(path, unpack_into / f"archive-{number}") if is_archive else path)
    return list(islice(read_paths(found, tenant=DEFAULT_TENANT), limit))


def read_queries(directory: Path, *, limit: int | None = None) -> list[str]:
    """Read the texts of a judged collection's queries."""
    with (directory / "queries.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in islice(lines, limit)]


async def ingest(client: Client, collection: str, documents: Iterable[SourceDocument]) -> IngestReport:
    """Ingest as `inver ingest` does, and wait until every document is searchable or has failed."""
    run = Ingest(client, collection=collection, tenant=DEFAULT_TENANT, progress=lambda _: None)
    await run.submit(documents)
    await run.wait()
    return run.report


async def statuses(client: Client, collection: str, identifiers: Sequence[str]) -> list[dict[str, Any]]:
    """Ask for the status of each document."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(identifiers), _STATUS_IDS):
        body = {"ids": list(identifiers[start : start + _STATUS_IDS]), "tenant": DEFAULT_TENANT}
        found += (await post_json(client, collection_path(collection, "status"), body))["statuses"]
    return found


async def finished(client: Client, collection: str, identifiers: Sequence[str]) -> Finished:
    """Add up the chunks of documents that are finished, and tell when the last of them was."""
    found = await statuses(client, collection, identifiers)
    last = max(status["finished_at_ms"] or 0 for status in found)
    return Finished(chunks=sum(status["row_count"] for status in found), last_at=last / 1_000)


async def counts(client: Client, collection: str) -> dict[str, int]:
    """Return the number of documents by state."""
    answer = await client.request("GET", collection_path(collection))
    return dict(answer["documents"])


async def drained(client: Client, collection: str, *, poll_seconds: float = 0.2) -> None:
    """Return when no document is pending any more."""
    while (await counts(client, collection)).get("pending", 0):  # noqa: ASYNC110  an API has no event to wait for
        await asyncio.sleep(poll_seconds)
