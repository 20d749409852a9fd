"""One thread, urgent work first, and nobody left waiting."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from engines.priority_thread import PriorityThread, Urgency
from schemas.errors import Fatal


async def test_queries_overtake_waiting_documents() -> None:
    """Only what runs already is waited for; among equals the first comes first."""
    thread = PriorityThread("test")
    may_go_on = threading.Event()
    ran: list[str] = []
    works = [
        (Urgency.DOCUMENT, "document 1"),
        (Urgency.DOCUMENT, "document 2"),
        (Urgency.QUERY, "query 1"),
        (Urgency.QUERY, "query 2"),
    ]

    blocker = thread.submit(Urgency.DOCUMENT, may_go_on.wait)
    waiting = [thread.submit(urgency, partial(ran.append, name)) for urgency, name in works]
    may_go_on.set()
    await asyncio.gather(*map(asyncio.wrap_future, [blocker, *waiting]))

    assert ran == ["query 1", "query 2", "document 1", "document 2"]
    await thread.close()


async def test_work_never_runs_beside_other_work() -> None:
    """All of it sees the same thread."""
    thread = PriorityThread("test")

    threads = await thread.run_all(Urgency.DOCUMENT, [threading.get_ident] * 20)

    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads
    await thread.close()


async def test_an_error_reaches_the_caller_and_ends_the_rest() -> None:
    """Work behind the one that failed is not run; the thread goes on."""
    thread = PriorityThread("test")
    ran: list[int] = []
    may_go_on = threading.Event()

    def fail() -> None:
        may_go_on.wait()
        raise ValueError("no")

    failing = asyncio.create_task(thread.run(Urgency.DOCUMENT, fail))
    await asyncio.sleep(0)
    rest = asyncio.create_task(thread.run_all(Urgency.DOCUMENT, [partial(ran.append, 1), fail, partial(ran.append, 2)]))
    await asyncio.sleep(0)
    rest.cancel()
    await asyncio.gather(rest, return_exceptions=True)
    may_go_on.set()

    with pytest.raises(ValueError, match="no"):
        await failing
    assert await thread.run(Urgency.DOCUMENT, lambda: 3) == 3
    assert ran == []
    await thread.close()


async def test_closing_refuses_what_waits_and_what_comes() -> None:
    """The work that runs ends first; nobody waits for ever."""
    thread = PriorityThread("test")
    started, may_go_on = threading.Event(), threading.Event()

    def work() -> str:
        started.set()
        may_go_on.wait()
        return "done"

    running = thread.submit(Urgency.DOCUMENT, work)
    waiting = thread.submit(Urgency.DOCUMENT, lambda: "never")
    await asyncio.to_thread(started.wait)
    closing = asyncio.create_task(thread.close())
    with pytest.raises(Fatal, match="closed while work waited"):
        await asyncio.wrap_future(waiting)
    may_go_on.set()
    await closing

    assert running.result(timeout=0) == "done"
    with pytest.raises(Fatal, match="was closed"):
        thread.submit(Urgency.QUERY, work)
