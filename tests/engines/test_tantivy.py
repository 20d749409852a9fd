"""The text index without a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from engines.tantivy import TantivyTextIndex
from schemas.errors import Fatal, Retryable
from tests.contracts.text_index import NewIndex, TextIndexContract, found, row, store

WRITES_FOR_EVER = """
import asyncio, pathlib, sys
from engines.tantivy import TantivyTextIndex
from tests.contracts.text_index import row

async def write():
    index = TantivyTextIndex(pathlib.Path(sys.argv[1]))
    await index.ensure()
    for number in range(1_000_000):
        await index.upsert([row(f"d{number}-{part}", "alpha", version=1) for part in range(10)])
        print(number, flush=True)

asyncio.run(write())
"""


class TestTantivyTextIndex(TextIndexContract):
    """Tantivy keeps the TextIndex contract."""

    @pytest.fixture
    async def new_index(self, tmp_path: Path) -> AsyncIterator[NewIndex]:
        opened: list[TantivyTextIndex] = []
        numbers = count()

        async def make(analyzer: str) -> TantivyTextIndex:
            index = TantivyTextIndex(tmp_path / str(next(numbers)), analyzer=analyzer)
            opened.append(index)
            await index.ensure()
            return index

        yield make
        for index in opened:
            await index.close()


async def test_a_closed_index_opens_again_with_everything(tmp_path: Path) -> None:
    """What was acknowledged is on disk; closing twice is harmless."""
    first = TantivyTextIndex(tmp_path)
    await first.upsert([row("a", "alpha")])
    await first.close()

    second = TantivyTextIndex(tmp_path)
    assert await found(second, "alpha") == ["a"]
    await second.close()


async def test_a_killed_writer_loses_nothing_acknowledged_and_blocks_nobody(tmp_path: Path) -> None:
    """After SIGKILL in the middle of commits, whole batches are there, writing them again adds none."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(20)]
    process.kill()
    rest, _ = await process.communicate()
    batches = len(lines) + len(rest.splitlines())

    index = TantivyTextIndex(tmp_path)
    stored = await index.count()
    assert stored % 10 == 0
    assert stored >= batches * 10
    await store(index, [row(f"d{number}-{part}", "alpha") for number in range(batches) for part in range(10)])
    assert await index.count() == stored
    await index.close()


async def test_another_analyzer_is_refused(tmp_path: Path) -> None:
    """An index never mixes words cut by two analyzers; the error says what to do."""
    english = TantivyTextIndex(tmp_path, analyzer="english")
    await english.upsert([row("a", "alpha")])
    await english.close()

    german = TantivyTextIndex(tmp_path, analyzer="german")
    with pytest.raises(Fatal, match="rebuild the generation"):
        await german.ensure()
    await german.close()


async def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    """Tantivy locks the folder; searching beside the writer is possible."""
    first, second = TantivyTextIndex(tmp_path), TantivyTextIndex(tmp_path)
    await first.upsert([row("a", "alpha")])
    with pytest.raises(Retryable, match="another process writes"):
        await second.upsert([row("b", "beta")])
    assert await found(second, "alpha") == ["a"]

    await first.close()
    await store(second, [row("b", "alpha")])
    assert await found(second, "alpha") == ["a", "b"]
    await second.close()


async def test_a_refused_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """A commit that fails is not smuggled into the next one."""
    index = TantivyTextIndex(tmp_path)
    await index.upsert([row("a", "alpha")])
    meta = tmp_path / "meta.json"
    meta.rename(tmp_path / "meta.kept")
    meta.mkdir()
    with pytest.raises(Retryable, match="cannot be written"):
        await index.upsert([row("b", "alpha")])

    meta.rmdir()
    (tmp_path / "meta.kept").rename(meta)
    await store(index, [row("c", "alpha")])
    assert await found(index, "alpha") == ["a", "c"]
    await index.close()


async def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The error names the path."""
    (tmp_path / "file").write_text("")
    index = TantivyTextIndex(tmp_path / "file")
    with pytest.raises(Fatal, match="file"):
        await index.ensure()
    await index.close()


async def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    """Nonsense in the index's own file is Fatal, with the remedy."""
    (tmp_path / "meta.json").write_text("{")
    index = TantivyTextIndex(tmp_path)
    with pytest.raises(Fatal, match="rebuild the generation"):
        await index.ensure()
    await index.close()


def test_other_bm25_parameters_are_refused(tmp_path: Path) -> None:
    """Tantivy's are built in, and silence would make the two profiles answer differently."""
    with pytest.raises(Fatal, match="OpenSearch"):
        TantivyTextIndex(tmp_path, bm25_k1=0.9)


async def test_the_rarest_of_too_many_terms_are_kept(tmp_path: Path) -> None:
    """A rare word is asked for although it comes after all the limit allows."""
    index = TantivyTextIndex(tmp_path, analyzer="standard")
    common = " ".join(f"w{number}" for number in range(1_100))
    await store(index, [row("a", common), row("b", common), row("c", "needle")])
    assert sorted(await found(index, f"{common} needle")) == ["a", "b", "c"]
    await index.close()
