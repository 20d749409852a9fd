"""Commands about documents: ingest, show, status, delete, collections."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from inver.commands.options import (
    DEFAULT_COLLECTION,
    DEFAULT_TENANT,
    CollectionOption,
    DataDir,
    JsonOption,
    ProfileOption,
    TenantOption,
    note,
    print_json,
    show_text,
)

if TYPE_CHECKING:
    from inver.ingest import IngestReport
    from inver.sources import SourceDocument

_SHOWN_FAILURES: Final = 20
_DELETE_SECONDS: Final = 60.0
#: Some documents failed; the others are in.
EXIT_FAILED_DOCUMENTS: Final = 1


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, JSON lines, or - for JSON lines on stdin.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    tenant: TenantOption = DEFAULT_TENANT,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when everything stands in the log.")] = False,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put documents in and wait until each is searchable, or has failed with its reason."""
    import asyncio

    report = asyncio.run(
        _ingest(paths, collection, tenant, wait=not no_wait, data_dir=data_dir, profile=profile, quiet=as_json)
    )
    if as_json:
        print_json(report.as_json())
    else:
        waited = "" if no_wait else f", {report.searchable} searchable"
        note(f"{report.accepted} accepted{waited}, {len(report.failed)} failed")
        for failure in report.failed[:_SHOWN_FAILURES]:
            note(f"  {failure.id}: {failure.reason}")
        if len(report.failed) > _SHOWN_FAILURES:
            note(f"  … and {len(report.failed) - _SHOWN_FAILURES} more; --json lists all")
    if report.failed:
        raise typer.Exit(EXIT_FAILED_DOCUMENTS)


async def _ingest(
    paths: list[str],
    collection: str,
    tenant: str,
    *,
    wait: bool,
    data_dir: Path | None,
    profile: str | None,
    quiet: bool,
) -> IngestReport:
    from inver.client import open_client
    from inver.ingest import Ingest
    from inver.progress import ingest_progress
    from schemas.generation import validate_collection_name

    validate_collection_name(collection)
    async with open_client(data_dir=data_dir, profile=profile, writes=True) as client:
        with ingest_progress(quiet=quiet) as progress:
            run = Ingest(client, collection=collection, tenant=tenant, progress=progress)
            await run.submit(_documents(paths, tenant))
            if wait:
                await run.wait()
            return run.report


def _documents(paths: list[str], tenant: str) -> Iterable[SourceDocument]:
    from inver.sources import read_json_lines, read_paths

    for path in paths:
        if path == "-":
            yield from read_json_lines(sys.stdin.buffer, name="stdin", tenant=tenant)
        else:
            yield from read_paths([Path(path)], tenant=tenant)


def show(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    tenant: TenantOption = DEFAULT_TENANT,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a document as it is visible now."""
    answer = _get(collection, tenant, document_id, data_dir=data_dir, profile=profile)
    if as_json:
        print_json(answer)
        return
    note(f"{answer['id']}  version {answer['version']}  {len(answer['chunks'])} chunks  {answer['title']}")
    show_text(f"{answer['text']}\n")


def status(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    tenant: TenantOption = DEFAULT_TENANT,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell where a document stands on its way to the index."""
    answer = _get(collection, tenant, document_id, "status", data_dir=data_dir, profile=profile)
    if as_json:
        print_json(answer)
        return
    version = "" if answer["version"] is None else f" (version {answer['version']})"
    show_text(f"{answer['id']}: {answer['state']}{version}\n")
    if answer["reason"]:
        show_text(f"  {answer['stage']}: {answer['reason']}: {answer['detail']}\n")
    for stage, seconds in answer["timings"].items():
        show_text(f"  {stage}: {seconds:.3f} s\n")


def delete(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    tenant: TenantOption = DEFAULT_TENANT,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a document and wait until no search finds it."""
    import asyncio

    answer = asyncio.run(_delete(collection, tenant, document_id, data_dir=data_dir, profile=profile))
    if as_json:
        print_json(answer)
    else:
        note(f"{answer['id']}: {answer['state']}")
    if answer["state"] == "failed":
        raise typer.Exit(EXIT_FAILED_DOCUMENTS)


async def _delete(
    collection: str, tenant: str, document_id: str, *, data_dir: Path | None, profile: str | None
) -> dict[str, Any]:
    import asyncio
    import time

    from inver.client import collection_path, open_client
    from schemas.errors import Retryable

    async with open_client(data_dir=data_dir, profile=profile, writes=True) as client:
        accepted = await client.request("DELETE", collection_path(collection, "documents", document_id, tenant=tenant))
        deadline = time.monotonic() + _DELETE_SECONDS
        while True:
            answer = await client.request(
                "GET", collection_path(collection, "documents", document_id, "status", tenant=tenant)
            )
            if (answer.get("version") or 0) >= accepted["version"] and answer["state"] != "pending":
                return answer
            if time.monotonic() > deadline:
                raise Retryable(
                    f"the delete of '{document_id}' stands in the log but is not done after {_DELETE_SECONDS:.0f} s: "
                    f"ask `inver status {document_id}` later"
                )
            await asyncio.sleep(0.05)


def collections(data_dir: DataDir = None, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """List the collections, with their documents by state."""
    import asyncio

    answer = asyncio.run(_request("/v1/collections", data_dir=data_dir, profile=profile))
    if as_json:
        print_json(answer)
        return
    for collection in answer["collections"]:
        states = ", ".join(f"{count} {state}" for state, count in collection.get("documents", {}).items() if count)
        show_text(f"{collection['name']}  {collection.get('generation', '')}  {states or 'empty'}\n")
    if not answer["collections"]:
        note("no collections yet: `inver ingest PATH` makes one")


def _get(
    collection: str, tenant: str, document_id: str, *rest: str, data_dir: Path | None, profile: str | None
) -> dict[str, Any]:
    import asyncio

    from inver.client import collection_path

    path = collection_path(collection, "documents", document_id, *rest, tenant=tenant)
    return asyncio.run(_request(path, data_dir=data_dir, profile=profile))


async def _request(path: str, *, data_dir: Path | None, profile: str | None) -> dict[str, Any]:
    from inver.client import open_client

    async with open_client(data_dir=data_dir, profile=profile, writes=False, statuses=True) as client:
        return await client.request("GET", path)
