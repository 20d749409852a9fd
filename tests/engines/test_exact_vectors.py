"""The vector index without a server."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engines.exact_vectors import ExactVectorIndex
from schemas.errors import Fatal
from schemas.filters import Equal, Range
from tests.contracts.vector_index import (
    DIMENSION,
    EAST,
    TENANT,
    OpenIndex,
    VectorIndexContract,
    angled,
    found,
    random_vectors,
    row,
    store,
)

WRITES_FOR_EVER = """
import asyncio, pathlib, sys
from engines.exact_vectors import ExactVectorIndex
from tests.contracts.vector_index import DIMENSION, random_vectors, row

async def write():
    index = ExactVectorIndex(pathlib.Path(sys.argv[1]), DIMENSION)
    for number in range(1_000_000):
        await index.upsert([row(f"d{number}-{part}") for part in range(10)], random_vectors(10))
        print(number, flush=True)

asyncio.run(write())
"""


class TestExactVectorIndex(VectorIndexContract):
    """The embedded engine keeps the VectorIndex contract."""

    @pytest.fixture
    async def open_index(self, tmp_path: Path) -> AsyncIterator[OpenIndex]:
        opened: list[ExactVectorIndex] = []

        def make(name: str, dimension: int) -> ExactVectorIndex:
            opened.append(ExactVectorIndex(tmp_path / name, dimension))
            return opened[-1]

        yield make
        for index in opened:
            await index.close()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[ExactVectorIndex]:
    index = ExactVectorIndex(tmp_path / "vectors", DIMENSION)
    yield index
    await index.close()


async def test_equal_rows_at_the_window_edge_are_chosen_by_key(index: ExactVectorIndex) -> None:
    """An exact engine leaves nothing about equal rows to chance, wherever they stand in the matrix."""
    names = [f"d{number:03}" for number in range(101)]
    vectors = np.repeat(random_vectors(1), len(names), axis=0)
    shuffled = np.random.default_rng(3).permutation(names).tolist()
    await store(index, [row(name) for name in shuffled], vectors)
    assert await found(index, window=25) == names[:25]


async def test_answers_stay_right_through_updates_and_sweeps(index: ExactVectorIndex, tmp_path: Path) -> None:
    """After thousands of random writes and deletes, every answer equals the one computed from what is left."""
    random = np.random.default_rng(11)
    expected: dict[str, tuple[int, np.ndarray]] = {}
    for step in range(60):
        chosen = random.choice(2_000, size=200, replace=False).tolist()
        vectors = random_vectors(len(chosen), seed=step)
        await index.upsert([row(f"d{n:04}", metadata={"step": step, "n": n}) for n in chosen], vectors)
        expected |= {f"d{n:04}": (step, vector) for n, vector in zip(chosen, vectors, strict=True)}
        gone = [f"d{n:04}" for n in random.choice(2_000, size=150, replace=False)]
        await index.delete([row(name).key for name in gone])
        for name in gone:
            expected.pop(name, None)
        oldest = step - 5
        for condition, kept in ((None, -1), (Range(field="step", gt=oldest), oldest)):
            left = {name: vector for name, (written, vector) in expected.items() if written > kept}
            best = sorted(left, key=lambda name: (-float(left[name].astype(np.float64) @ EAST), name))
            assert await found(index, window=50, condition=condition) == best[:50]

    again = ExactVectorIndex(tmp_path / "vectors", DIMENSION)
    assert await found(again, window=3_000) == await found(index, window=3_000)
    assert await index.count() == len(expected)
    await again.close()


async def test_a_search_sees_all_of_a_batch_or_nothing(index: ExactVectorIndex) -> None:
    """Searches that run while batches are written and deleted never see a part of one."""
    writing = True

    async def write() -> None:
        nonlocal writing
        for number in range(30):
            rows = [row(f"d{number}", ordinal=ordinal, metadata={"batch": number}) for ordinal in range(50)]
            await index.upsert(rows, random_vectors(50))
            await index.delete([stored.key for stored in rows])
        writing = False

    async def watch() -> set[int]:
        seen: set[int] = set()
        while writing:
            seen.add(len(await index.search(EAST, tenant=TENANT, window=1_000)))
        return seen

    seen, *_ = await asyncio.gather(watch(), write())
    assert seen <= {0, 50}


async def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After SIGKILL in the middle of writes, whole batches are there, and searches find them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path / "vectors"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(20)]
    process.kill()
    rest, _ = await process.communicate()
    batches = len(lines) + len(rest.splitlines())

    index = ExactVectorIndex(tmp_path / "vectors", DIMENSION)
    stored = await index.count()
    assert stored % 10 == 0
    assert stored >= batches * 10
    assert len(await found(index, window=stored + 1)) == stored
    await index.close()


async def test_a_cancelled_write_leaves_file_and_matrix_in_step(index: ExactVectorIndex) -> None:
    """A write whose caller gave up is either in both or in none."""
    await index.ensure()
    for number in range(20):
        writing = asyncio.create_task(index.upsert([row(f"d{number}")], angled(number)))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await store(index, [row("last")])
    assert len(await found(index)) == await index.count()


async def test_writes_into_a_removed_file_are_not_acknowledged(index: ExactVectorIndex, tmp_path: Path) -> None:
    """SQLite would go on and report success; the rows would be gone at the next start."""
    await store(index, [row("a")])
    (tmp_path / "vectors").rename(tmp_path / "moved")
    with pytest.raises(Fatal, match="removed or replaced"):
        await index.upsert([row("b")], angled(0))


async def test_another_file_is_refused(tmp_path: Path) -> None:
    """A database of something else is neither read nor changed."""
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE other (a)")
    connection.close()
    index = ExactVectorIndex(tmp_path / "other", DIMENSION)
    with pytest.raises(Fatal, match="something else"):
        await index.ensure()
    await index.close()


async def test_filters_follow_rows_that_are_swept_out(index: ExactVectorIndex) -> None:
    """Old versions leave no trace in what filters see, nor in memory."""
    for version in range(12):
        rows = [row(f"d{number}", version=version, metadata={"v": version}) for number in range(400)]
        await index.upsert(rows, random_vectors(400))
        if version:
            await index.delete([row(f"d{number}", version=version - 1).key for number in range(400)])
    assert len(await found(index, window=5_000)) == 400
    assert await found(index, condition=Equal("v", 10)) == []
    assert len(await found(index, window=5_000, condition=Equal("v", 11))) == 400
    assert len(index._matrix._tenants[TENANT].keys) < 2_400
