"""One thread that runs waiting work in order of urgency: a query goes ahead of documents that came before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from functools import partial
from itertools import count
from queue import Empty, PriorityQueue
from typing import Any, TypeVar

from schemas.errors import Fatal

Result = TypeVar("Result")


class Urgency(IntEnum):
    """What runs first; work of one urgency runs in the order it came."""

    QUERY = 0
    DOCUMENT = 1


class PriorityThread:
    """Work never runs beside other work: tokenizers and models break when two threads use them.

    Work that has begun runs to its end; work that waits can still be cancelled.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: PriorityQueue[tuple[Urgency, int, Future[Any], Callable[[], Any]]] = PriorityQueue()
        self._arrivals = count()
        self._closed = False

    async def run(self, urgency: Urgency, work: Callable[[], Result]) -> Result:
        """Run the work in the thread and return what it returns."""
        return (await self.run_all(urgency, [work]))[0]

    async def run_all(self, urgency: Urgency, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run each work on its own, so that more urgent work can come between; the first error ends the rest."""
        futures = [self.submit(urgency, work) for work in works]
        try:
            return [await asyncio.wrap_future(future) for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def submit(self, urgency: Urgency, work: Callable[[], Result]) -> Future[Result]:
        """Queue the work. Raises Fatal once the thread is closed."""
        if self._closed:
            raise Fatal(f"{self._name} was closed; make a new one")
        future: Future[Result] = Future()
        self._waiting.put((urgency, next(self._arrivals), future, work))
        # The executor holds one ticket for each work; which work a ticket runs is decided when its turn comes.
        self._executor.submit(self._run_most_urgent)
        return future

    async def close(self) -> None:
        """Let the running work end, refuse what waits, and end the thread."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        while True:
            try:
                future = self._waiting.get_nowait()[2]
            except Empty:
                break
            if future.set_running_or_notify_cancel():
                future.set_exception(Fatal(f"{self._name} was closed while work waited for it"))
        await asyncio.to_thread(partial(self._executor.shutdown, wait=True))

    def _run_most_urgent(self) -> None:
        try:
            _, _, future, work = self._waiting.get_nowait()
        except Empty:
            return  # ``close`` took it.
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- whatever it is belongs to whoever waits for the result
            future.set_exception(error)
