"""Waiting for something that does not answer: longer each time, and without losing the membership of the group."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from schemas.errors import Retryable
from streams.log import Subscription

_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 10.0


def backoff_seconds(attempt: int, jitter: float, asked_for: float | None = None) -> float:
    """Compute a capped exponential wait; ``jitter`` in [0, 1) spreads it over its upper half."""
    base = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * float(2 ** min(attempt, 16)))
    return max(asked_for or 0.0, base * (0.5 + jitter / 2))


async def wait_paused(
    subscription: Subscription, seconds: float, *, stopping: asyncio.Event, poll_seconds: float
) -> None:
    """Wait, or until ``stopping`` is set; go on polling, because that keeps the membership, but take no records."""
    deadline = time.monotonic() + seconds
    subscription.pause()
    try:
        while (left := deadline - time.monotonic()) > 0 and not stopping.is_set():
            step = min(left, poll_seconds)
            try:
                await subscription.poll(max_records=1, timeout_seconds=step)
            except Retryable:
                # The log is what does not answer: its own wait is already running.
                await wait_or_stop(step, stopping=stopping)
    finally:
        subscription.resume()


async def wait_or_stop(seconds: float, *, stopping: asyncio.Event) -> None:
    """Wait, or until ``stopping`` is set."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
