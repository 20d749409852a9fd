"""Watching folders: the collection follows what is on the disk, also what happened while nobody watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inver.client import Client, LocalClient
from inver.watching import FolderWatch
from schemas.errors import Fatal, Retryable
from schemas.status import DocumentState
from tests.inver.harness import Harness, open_harness, until

COLLECTION = "watched"


@dataclass
class Outage:
    """A client whose first requests get no answer."""

    client: Client
    failures: int
    asked: list[str] = field(default_factory=list)

    async def request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = ""
    ) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if self.failures:
            self.failures -= 1
            raise Retryable("the log does not answer")
        return await self.client.request(method, path, body, content_type)


@dataclass(frozen=True)
class Watched:
    """A running Inver, and folders to watch."""

    inver: Harness
    client: LocalClient
    said: list[str] = field(default_factory=list)

    def watch(self, *paths: Path, client: Client | None = None) -> FolderWatch:
        """Make a watch."""
        settings = self.inver.runtime.settings
        return FolderWatch(client or self.client, settings, paths, COLLECTION, self.said.append)

    @asynccontextmanager
    async def watching(self, *paths: Path, client: Client | None = None) -> AsyncIterator[None]:
        """Watch for as long as this lasts."""
        task = asyncio.create_task(self.watch(*paths, client=client).run())
        try:
            yield
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def shows(self, identifier: str, text: str | None) -> None:
        """Wait until a document shows a text, or is gone."""

        async def right() -> bool:
            status = await self.inver.status(identifier)
            if text is None:
                return status is not None and status.state is DocumentState.DELETED
            if status is None or status.state is not DocumentState.SEARCHABLE:
                return False
            hits = (await self.inver.search(text, size=50)).hits
            return text in [hit.text for hit in hits if hit.id == identifier]

        await until(right, f"{identifier} to show {text!r}; {self.said}", 30)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with open_harness(tmp_path / "data", COLLECTION) as inver:
        client = LocalClient(inver.runtime.app)
        yield Watched(inver, client)
        await client.close()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with two files."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "heron.md").write_text("the heron stands still")
    (folder / "otter.txt").write_text("the otter swims far")
    return folder


async def test_new_changed_and_deleted_files_are_followed(watched: Watched, notes: Path):
    """What is there at the start, what comes, what changes and what goes."""
    async with watched.watching(notes):
        await watched.shows("notes/heron.md", "the heron stands still")
        await watched.shows("notes/otter.txt", "the otter swims far")

        (notes / "deep").mkdir()
        (notes / "deep" / "trout.md").write_text("the trout leaps high")
        (notes / "heron.md").write_text("the heron flew away")
        (notes / "otter.txt").unlink()

        await watched.shows("notes/deep/trout.md", "the trout leaps high")
        await watched.shows("notes/heron.md", "the heron flew away")
        await watched.shows("notes/otter.txt", None)


async def test_what_happened_while_nobody_watched_is_made_good(watched: Watched, notes: Path):
    """After a restart a changed file is changed, a deleted one deleted, and an unchanged one not sent again."""
    async with watched.watching(notes):
        await watched.shows("notes/heron.md", "the heron stands still")
        await watched.shows("notes/otter.txt", "the otter swims far")
        await until(_said(watched, "2 searchable, 0 deleted, 0 failed"), "the first look to be remembered")
    (notes / "otter.txt").unlink()
    (notes / "trout.md").write_text("the trout leaps high")
    before = await watched.inver.status("notes/heron.md")

    async with watched.watching(notes):
        await watched.shows("notes/otter.txt", None)
        await watched.shows("notes/trout.md", "the trout leaps high")

    assert await watched.inver.status("notes/heron.md") == before


async def test_each_path_has_a_memory_of_its_own(watched: Watched, notes: Path, tmp_path: Path):
    """A file deleted meanwhile is noticed although another folder is watched too this time."""
    more = tmp_path / "more"
    more.mkdir()
    async with watched.watching(notes):
        await until(_said(watched, "2 searchable"), "the first look to be remembered")
    (notes / "otter.txt").unlink()

    async with watched.watching(more, notes):
        await watched.shows("notes/otter.txt", None)


async def test_a_folder_that_is_gone_as_a_whole_deletes_nothing(watched: Watched, notes: Path, tmp_path: Path):
    """A disk that is not mounted is told about; when it is back, what changed in it is followed."""
    async with watched.watching(notes):
        await until(_said(watched, "2 searchable"), "the first look to be remembered")
    watch = watched.watch(notes)
    seen = watch._recall()
    notes.rename(tmp_path / "elsewhere")

    assert await watch._synchronise(seen) == seen
    assert any("is gone as a whole: its documents stay" in line for line in watched.said)
    assert len(await watched_hits(watched)) == 2
    (tmp_path / "elsewhere").rename(notes)
    (notes / "otter.txt").unlink()
    await watch._synchronise(seen)
    await watched.shows("notes/otter.txt", None)


async def watched_hits(watched: Watched) -> list[str]:
    """The ids that are found."""
    return sorted(hit.id for hit in (await watched.inver.search("the heron otter")).hits)


async def test_a_single_file_is_watched_too(watched: Watched, notes: Path):
    """Its document is named after it, and goes with it."""
    async with watched.watching(notes / "heron.md"):
        await watched.shows("heron.md", "the heron stands still")
        await until(_said(watched, "1 searchable"), "the first look to be remembered")
    (notes / "heron.md").unlink()
    watch = watched.watch(notes / "heron.md")
    await watch._synchronise(watch._recall())

    await watched.shows("heron.md", None)


async def test_two_paths_of_one_name_are_refused(watched: Watched, notes: Path, tmp_path: Path):
    """Their documents would take each other's place without a word."""
    other = tmp_path / "other" / "notes"
    other.mkdir(parents=True)

    with pytest.raises(Fatal, match="have the same name"):
        watched.watch(notes, other)
    watched.watch(notes, notes)


async def test_an_outage_ends_nothing(watched: Watched, notes: Path):
    """What could not be sent is sent when the log answers again."""
    outage = Outage(watched.client, failures=1)
    async with watched.watching(notes, client=outage):
        await watched.shows("notes/heron.md", "the heron stands still")

    assert "watching: the log does not answer" in watched.said


async def test_files_that_are_no_documents_are_told_and_not_sent_again_and_again(watched: Watched, notes: Path):
    """Each says why, once, until it changes."""
    (notes / "tool.exe").write_bytes(b"\x00")
    async with watched.watching(notes):
        await until(_said(watched, "2 searchable, 0 deleted, 1 failed"), "the first look to be told")
    assert any("notes/tool.exe: 'tool.exe' is of an unknown kind" in line for line in watched.said)
    outage = Outage(watched.client, failures=0)
    watch = watched.watch(notes, client=outage)
    seen = watch._recall()

    assert await watch._synchronise(seen) == seen
    assert outage.asked == []


async def test_a_memory_that_cannot_be_read_sends_everything_again(watched: Watched, notes: Path):
    """Unchanged content costs nothing; the watch goes on."""
    watch = watched.watch(notes)
    memory = watched.inver.runtime.settings.data_directory / "watched"
    await watch._synchronise({})
    for content in (b"", b"[]", b'{"a": 1}', b"\xff", b'{"a": {}}'):
        for file in memory.glob("*.json"):
            file.write_bytes(content)
        assert watch._recall() == {}


def _said(watched: Watched, words: str) -> Any:
    async def said() -> bool:
        return any(words in line for line in watched.said)

    return said
