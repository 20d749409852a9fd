"""How long is waited for what does not answer."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from streams.waiting import backoff_seconds, wait_or_stop


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_and_are_capped(attempt: int, jitter: float):
    """Each wait lies in the upper half of a bound that doubles from a tenth of a second up to ten seconds."""
    bound = min(10.0, 0.1 * 2 ** min(attempt, 10))

    assert bound / 2 <= backoff_seconds(attempt, jitter) <= bound


@given(st.integers(0, 20), st.floats(0, 60))
def test_the_wait_that_was_asked_for_is_given(attempt: int, asked_for: float):
    """A server that says when to come back is not asked before."""
    assert backoff_seconds(attempt, 0.5, asked_for) == max(asked_for, backoff_seconds(attempt, 0.5))


async def test_waiting_ends_with_the_stop():
    """Nobody waits for a back-off to end when told to stop."""
    stopping = asyncio.Event()
    started = time.monotonic()
    waiting = asyncio.create_task(wait_or_stop(60.0, stopping=stopping))
    stopping.set()
    await waiting

    assert time.monotonic() - started < 5
