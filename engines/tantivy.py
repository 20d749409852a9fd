"""TextIndex without a server: a Tantivy index in a folder, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from engines.analysis import check_analyzer
from engines.tantivy_store import TantivyStore
from schemas.errors import Fatal, Retryable
from schemas.filters import Filter
from schemas.row import Candidate, Row

Result = TypeVar("Result")

#: The BM25 parameters Tantivy is built with; they cannot be set.
BM25_K1: Final = 1.2
BM25_B: Final = 0.75
_SEARCH_THREADS: Final = 2


class TantivyTextIndex:
    """One generation in one folder. The first call opens it; one process at a time may write to it.

    All work is done in threads, off the loop: a search of 100,000 rows takes milliseconds, a commit tens of them.
    """

    def __init__(
        self, path: Path, *, analyzer: str = "english", bm25_k1: float = BM25_K1, bm25_b: float = BM25_B
    ) -> None:
        if (bm25_k1, bm25_b) != (BM25_K1, BM25_B):
            raise Fatal(
                f"BM25 with k1={bm25_k1} and b={bm25_b} was asked for; the embedded text index only has k1={BM25_K1} "
                f"and b={BM25_B}: use these, or OpenSearch"
            )
        self._path = path
        self._store = TantivyStore(path, check_analyzer(analyzer))
        # A single thread, because writes must not overlap.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tantivy-write")
        self._readers = ThreadPoolExecutor(_SEARCH_THREADS, thread_name_prefix="tantivy-search")

    async def ensure(self) -> None:
        """Open or create the folder. Raises Fatal where it was built with another analyzer."""
        await self._read(self._store.open)

    async def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows in one commit."""
        await self._write(lambda: self._store.upsert(rows))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete rows in one commit."""
        await self._write(lambda: self._store.delete(keys))

    async def make_searchable(self, keys: Sequence[str]) -> None:  # noqa: ARG002  # a reload shows every key
        """Let searches see the last commit."""
        await self._read(self._store.refresh)

    async def search(self, query: str, *, tenant: str, window: int, condition: Filter | None = None) -> list[Candidate]:
        """Return the rows that score best."""
        return await self._read(lambda: self._store.search(query, tenant, window, condition))

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Look the keys up in the last commit."""
        return await self._read(lambda: self._store.missing(keys))

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Read rows from the last commit."""
        return await self._read(lambda: self._store.fetch(keys))

    async def scan(self) -> AsyncIterator[str]:
        """Yield the keys of the commit that was the last one when the scan began."""
        pages = self._store.pages_of_keys()
        while page := await self._read(lambda: next(pages, None)):
            for key in page:
                yield key

    async def count(self) -> int:
        """Count the rows of the last commit."""
        return await self._read(self._store.count)

    async def drop(self) -> None:
        """Delete the folder; a later call begins a new, empty index."""
        await self._write(self._store.drop)

    async def ping(self) -> None:
        """Return when the folder can be opened."""
        await self._read(self._store.open)

    async def close(self) -> None:
        """Finish merges and release the folder and the threads; a closed index stays closed."""
        await self._write(self._store.close)
        self._writer.shutdown(wait=False)
        self._readers.shutdown(wait=False)

    async def _read(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        except (ValueError, OSError) as error:
            raise Retryable(f"the text index in {self._path} cannot be read: {error}") from error

    async def _write(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)
