"""Watching folders: new and changed files become upserts, vanished ones deletes, also while nobody was watching."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from inver.client import Client, collection_path
from inver.ingest import Ingest, IngestReport
from inver.settings import Settings
from inver.sources import SourceDocument, files_of, identifier_of, read_file
from schemas.document import DEFAULT_TENANT
from schemas.errors import Fatal, Poison, Retryable

#: Folders are looked at this often even when no event arrives.
_LOOK_MILLISECONDS: Final = 5_000
_RETRY_SECONDS: Final = 1.0

#: What a file looked like when it was last sent: modification time in nanoseconds, and size.
Seen = dict[str, tuple[int, int]]


class FolderWatch:
    """Keeps a collection in step with folders.

    What was sent is remembered in the data directory, path for path, so that a file deleted while Inver was down is
    deleted from the collection at the next start. A crash before the memory is written sends files again: unchanged
    ones cost nothing. A folder that is gone as a whole, like a disk that is not mounted, deletes nothing.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        paths: tuple[Path, ...],
        collection: str,
        announce: Callable[[str], None],
    ) -> None:
        self._client = client
        self._paths = _by_name(paths)
        self._collection = collection
        self._announce = announce
        self._memory = settings.data_directory / "watched"
        #: Folders that were not there at the last look.
        self._gone: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Bring the collection in step, then follow changes until cancelled."""
        from watchfiles import awatch

        seen = await self._in_step(self._recall())
        # What changes while the first look is being ingested raises no event: the folders are looked at again.
        async for _ in awatch(*self._paths.values(), step=200, rust_timeout=_LOOK_MILLISECONDS, yield_on_timeout=True):
            seen = await self._in_step(seen)

    async def _in_step(self, seen: Seen) -> Seen:
        """Synchronise, for as long as it takes: a log or an engine that is away must not end the watch."""
        while True:
            try:
                return await self._synchronise(seen)
            except Retryable as error:
                self._announce(f"watching: {error}")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _synchronise(self, seen: Seen) -> Seen:
        found = await asyncio.to_thread(self._look)
        changed = {identifier: file for identifier, (file, look) in found.items() if seen.get(identifier) != look}
        kept = self._kept(seen)
        vanished = [identifier for identifier in seen if identifier not in found and identifier not in kept]
        if not changed and not vanished:
            return seen
        ingest = Ingest(self._client, collection=self._collection, tenant=DEFAULT_TENANT, progress=lambda _: None)
        await ingest.submit(_documents(changed))
        for identifier in vanished:
            await self._delete(identifier)
        await ingest.wait()
        now = kept | {identifier: look for identifier, (_, look) in found.items()}
        self._remember(now)
        self._announce(_summary(ingest.report, len(vanished)))
        return now

    async def _delete(self, identifier: str) -> None:
        try:
            await self._client.request("DELETE", collection_path(self._collection, "documents", identifier))
        except Poison as poison:
            # Nothing of that name can be there: a collection that was never made, an id that was refused.
            self._announce(f"watching: {identifier}: {poison}")

    def _look(self) -> dict[str, tuple[Path, tuple[int, int]]]:
        found: dict[str, tuple[Path, tuple[int, int]]] = {}
        for path in self._paths.values():
            files = (
                [(file, identifier_of(file, path)) for file in files_of(path)] if path.is_dir() else [(path, path.name)]
            )
            for file, identifier in files:
                try:
                    status = file.stat()
                except FileNotFoundError:
                    continue
                found[identifier] = (file, (status.st_mtime_ns, status.st_size))
        return found

    def _kept(self, seen: Seen) -> Seen:
        """Return what was seen in folders that are gone as a whole."""
        gone = frozenset(name for name, path in self._paths.items() if not path.exists())
        kept = {
            identifier: look for identifier, look in seen.items() if "/" in identifier and _root(identifier) in gone
        }
        for name in gone - self._gone & {_root(identifier) for identifier in kept}:
            self._announce(f"watching: {self._paths[name]} is gone as a whole: its documents stay until it is back")
        self._gone = gone
        return kept

    def _recall(self) -> Seen:
        seen: Seen = {}
        for path in self._paths.values():
            try:
                stored = json.loads(self._memory_of(path).read_text())
                seen |= {str(identifier): (int(look[0]), int(look[1])) for identifier, look in stored.items()}
            except (FileNotFoundError, ValueError, AttributeError, TypeError, IndexError, KeyError):
                # Without a memory every file is sent again, and files deleted meanwhile stay: `inver delete` removes
                # them.
                continue
        return seen

    def _remember(self, seen: Seen) -> None:
        self._memory.mkdir(parents=True, exist_ok=True)
        for name, path in self._paths.items():
            target = self._memory_of(path)
            draft = target.with_suffix(".draft")
            draft.write_text(json.dumps({i: look for i, look in seen.items() if _root(i) == name}))
            draft.replace(target)

    def _memory_of(self, path: Path) -> Path:
        name = hashlib.sha256(f"{self._collection}\n{path}".encode()).hexdigest()[:16]
        return self._memory / f"{name}.json"


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Resolve paths. Raises Fatal for two of one name, whose files would be one another's documents."""
    named: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        if path.name in named:
            raise Fatal(
                f"{named[path.name]} and {path} have the same name, and documents are named after it: watch the folder "
                "above both, or put them into two collections"
            )
        named[path.name] = path
    return named


def _root(identifier: str) -> str:
    return identifier.partition("/")[0]


def _documents(changed: dict[str, Path]) -> Iterable[SourceDocument]:
    for identifier, file in changed.items():
        yield from read_file(file, identifier, tenant=DEFAULT_TENANT)


def _summary(report: IngestReport, deleted: int) -> str:
    lines = [f"watching: {report.searchable} searchable, {deleted} deleted, {len(report.failed)} failed"]
    lines += [f"  {failure.id}: {failure.reason}" for failure in report.failed]
    return "\n".join(lines)
