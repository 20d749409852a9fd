"""A real log whose calls are written down, and some of which fail when a test asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import Retryable
from streams.log import EventLog, OutgoingRecord, Position, Record, Subscription, TopicPartition


@dataclass
class Watch:
    """What was called, in order, and how often each call still fails: before or after it took effect."""

    calls: list[str] = field(default_factory=list)
    fail_before: Counter[str] = field(default_factory=Counter)
    fail_after: Counter[str] = field(default_factory=Counter)

    def begin(self, call: str) -> None:
        self.calls.append(call)
        self._fail(call, self.fail_before)

    def end(self, call: str) -> None:
        self._fail(call, self.fail_after)

    def _fail(self, call: str, left: Counter[str]) -> None:
        if left[call]:
            left[call] -= 1
            raise Retryable(f"{call} got no answer")


class WatchedLog:
    """Delegates to a real log."""

    def __init__(self, log: EventLog, watch: Watch) -> None:
        self._log = log
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, records: Sequence[OutgoingRecord]) -> list[Position]:
        self._watch.begin("append")
        positions = await self._log.append(records)
        self._watch.end("append")
        return positions

    async def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        self._watch.begin("subscribe")
        return WatchedSubscription(await self._log.subscribe(topics, group), self._watch)


class WatchedSubscription:
    """Delegates to a real subscription."""

    def __init__(self, subscription: Subscription, watch: Watch) -> None:
        self._subscription = subscription
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscription, name)

    async def poll(self, *, max_records: int, timeout_seconds: float) -> list[Record]:
        self._watch.begin("poll")
        return await self._subscription.poll(max_records=max_records, timeout_seconds=timeout_seconds)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._watch.begin("commit")
        await self._subscription.commit(offsets)
        self._watch.end("commit")

    async def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._watch.begin("seek")
        await self._subscription.seek(offsets)
