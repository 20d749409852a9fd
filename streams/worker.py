"""The one loop that drives every stage: poll, process, append, commit.

A batch is finished whole before the next is polled, so the commit is simply the batch's end. A crash anywhere before
it means that the same records come again; stages are written so that repeating them changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import Fatal, InverError, Poison, Retryable
from streams.dead_letters import DeadLetterCount, DeadLetterLimit, dead_letter_of, dead_letter_record
from streams.log import EventLog, OutgoingRecord, PartitionsLost, Record, Subscription, TopicPartition
from streams.waiting import backoff_seconds, wait_or_stop, wait_paused


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a stage made of a batch: records to append, and records to set aside, each with its reason."""

    records: Sequence[OutgoingRecord] = ()
    set_aside: Sequence[tuple[Record, Poison]] = ()


class Stage(Protocol):
    """One step of the pipeline. Processing the same records again must have the same effect as processing them once."""

    name: str

    async def process(self, batch: Sequence[Record]) -> Outputs:
        """Turn a batch into outputs; every effect outside the log is durable when it returns.

        Raises Retryable to get the same batch again, Poison when the batch as a whole cannot be processed (it is then
        cut in two to find the record at fault), Fatal to stop.
        """

    def failure(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        """Return the fact that tells others about a record that was set aside; None when it names no document."""


class WorkerObserver(Protocol):
    """Told what a worker does, for metrics and logs; must not raise."""

    def batch_done(self, stage: str, *, records: int, outputs: int, seconds: float) -> None:
        """A batch was processed, appended and committed."""

    def set_aside(self, stage: str, record: Record, poison: Poison) -> None:
        """A record became a dead letter."""

    def retrying(self, stage: str, error: Retryable, *, attempt: int, wait_seconds: float) -> None:
        """A batch waits because something it needs does not answer."""

    def partitions_lost(self, stage: str) -> None:
        """A batch was given up because another member owns its partitions now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How one worker reads."""

    topics: tuple[str, ...]
    group: str
    dead_letters_topic: str
    max_records: int = 256
    poll_seconds: float = 0.5
    dead_letter_limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)


class Worker:
    """Drives one stage until told to stop.

    Invariants: offsets are committed only after everything the stage made of them was appended; a record is either
    in the outputs' past or in the dead letters, never in neither.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        stage: Stage,
        settings: WorkerSettings,
        observer: WorkerObserver,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._log = log
        self._stage = stage
        self._settings = settings
        self._observer = observer
        self._now_ms = now_ms
        self._dead_letters = DeadLetterCount(settings.dead_letter_limit)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask the loop to end after the batch in flight."""
        self._stopping.set()

    async def run(self) -> None:
        """Read until ``stop``. Raises Fatal when going on would be wrong; what is not finished is not committed."""
        subscription = await self._subscribe()
        if subscription is None:
            return
        attempt = 0
        try:
            while not self._stopping.is_set():
                try:
                    batch = await subscription.poll(
                        max_records=self._settings.max_records, timeout_seconds=self._settings.poll_seconds
                    )
                except Retryable as error:
                    await self._wait(subscription, error, attempt)
                    attempt += 1
                    continue
                attempt = 0
                if batch and not await self._finish(subscription, batch):
                    await self._give_up(subscription, batch)
        finally:
            await subscription.close()

    async def _subscribe(self) -> Subscription | None:
        attempt = 0
        while not self._stopping.is_set():
            try:
                return await self._log.subscribe(self._settings.topics, self._settings.group)
            except Retryable as error:
                await self._wait(None, error, attempt)
                attempt += 1
        return None

    async def _finish(self, subscription: Subscription, batch: Sequence[Record]) -> bool:
        """Carry a batch from process to commit; False when stopped or robbed of its partitions before that."""
        started = time.perf_counter()
        outputs = await self._process_and_append(subscription, batch)
        if outputs is None or not await self._commit(subscription, batch):
            return False
        self._observer.batch_done(
            self._stage.name,
            records=len(batch),
            outputs=len(outputs.records) + len(outputs.set_aside),
            seconds=time.perf_counter() - started,
        )
        self._dead_letters.note(good=len(batch) - len(outputs.set_aside), set_aside=len(outputs.set_aside))
        if self._dead_letters.exceeded():
            limit = self._settings.dead_letter_limit
            raise Fatal(
                f"stage '{self._stage.name}' set aside more than {limit.ratio:.0%} of its last {limit.window_records} "
                f"records: look at '{self._settings.dead_letters_topic}', mend the cause, then start again"
            )
        return True

    async def _process_and_append(self, subscription: Subscription, batch: Sequence[Record]) -> Outputs | None:
        """Do both until they succeed; None when stopped or robbed of the partitions before that.

        Where the log refuses what a record became, because it is too large, that record is found and set aside.
        """
        outputs = await self._process(subscription, batch)
        if outputs is None:
            return None
        try:
            return outputs if await self._append(subscription, outputs) else None
        except Poison as poison:
            refusal = poison
        if len(batch) == 1:
            return await self._set_aside(subscription, batch[0], refusal)
        left = await self._process_and_append(subscription, batch[: len(batch) // 2])
        right = None if left is None else await self._process_and_append(subscription, batch[len(batch) // 2 :])
        return None if left is None or right is None else _joined(left, right)

    async def _set_aside(self, subscription: Subscription, record: Record, poison: Poison) -> Outputs | None:
        outputs = Outputs(set_aside=[(record, poison)])
        try:
            return outputs if await self._append(subscription, outputs) else None
        except Poison as refusal:
            # Going on would lose the record's bytes: it is neither processed nor in the dead letters.
            raise Fatal(
                f"record {record.offset} of {record.topic}/{record.partition} can be neither processed ({poison}) nor "
                f"set aside ({refusal}): let '{self._settings.dead_letters_topic}' take larger records"
            ) from poison

    async def _give_up(self, subscription: Subscription, batch: Sequence[Record]) -> None:
        """Read again what is still owned: without this, the records would be skipped until the next restart."""
        first = {record.topic_partition: record.offset for record in reversed(batch)}
        attempt = 0
        while not self._stopping.is_set():
            owned = subscription.assignment()
            try:
                await subscription.seek({place: offset for place, offset in first.items() if place in owned})
            except Retryable as error:
                await self._wait(subscription, error, attempt)
                attempt += 1
            else:
                return

    async def _commit(self, subscription: Subscription, batch: Sequence[Record]) -> bool:
        attempt = 0
        while True:
            try:
                await subscription.commit(_next_offsets(batch))
            except PartitionsLost:
                self._observer.partitions_lost(self._stage.name)
                return False
            except Retryable as error:
                await self._wait(subscription, error, attempt)
                attempt += 1
                if self._stopping.is_set():
                    return False
            else:
                return True

    async def _process(self, subscription: Subscription, batch: Sequence[Record]) -> Outputs | None:
        """Process until it succeeds; None when stopped or robbed of the partitions before that."""
        attempt = 0
        while True:
            try:
                return await self._process_or_bisect(batch)
            except Retryable as error:
                await self._wait(subscription, error, attempt)
                attempt += 1
            if self._stopping.is_set() or not _owns(subscription, batch):
                return None

    async def _process_or_bisect(self, batch: Sequence[Record]) -> Outputs:
        try:
            return await self._stage.process(batch)
        except Poison as poison:
            failure = poison
        except (InverError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  a defect that one record triggers must not stop its neighbours for ever
            last_frames = "".join(traceback.format_exception(error)[-3:])
            failure = Poison("internal_error", f"{type(error).__name__}: {error}\n{last_frames}")
        if len(batch) == 1:
            return Outputs(set_aside=[(batch[0], failure)])
        # In order, never side by side: a document's versions must reach the stage oldest first.
        left = await self._process_or_bisect(batch[: len(batch) // 2])
        right = await self._process_or_bisect(batch[len(batch) // 2 :])
        return _joined(left, right)

    async def _append(self, subscription: Subscription, outputs: Outputs) -> bool:
        """Append until it succeeds; False when stopped before that. Raises Poison when a record is too large."""
        records = [*outputs.records, *self._letters_and_facts(outputs)]
        attempt = 0
        while records:
            try:
                await self._log.append(records)
            except Retryable as error:
                await self._wait(subscription, error, attempt)
                attempt += 1
                if self._stopping.is_set():
                    return False
            else:
                break
        for record, poison in outputs.set_aside:
            self._observer.set_aside(self._stage.name, record, poison)
        return True

    def _letters_and_facts(self, outputs: Outputs) -> list[OutgoingRecord]:
        made: list[OutgoingRecord] = []
        for record, poison in outputs.set_aside:
            letter = dead_letter_of(record, poison, stage=self._stage.name, attempts=1, now_ms=self._now_ms())
            made.append(dead_letter_record(letter, self._settings.dead_letters_topic))
            fact = self._failure_fact(record, poison, letter.id)
            if fact is not None:
                made.append(fact)
        return made

    def _failure_fact(self, record: Record, poison: Poison, dead_letter_id: str) -> OutgoingRecord | None:
        try:
            return self._stage.failure(record, poison, dead_letter_id)
        except Exception:  # noqa: BLE001  a defect in telling of a bad record must not keep the record from being set aside
            return None

    async def _wait(self, subscription: Subscription | None, error: Retryable, attempt: int) -> None:
        seconds = backoff_seconds(attempt, random.random(), error.retry_after_seconds)  # noqa: S311  spreads retries
        self._observer.retrying(self._stage.name, error, attempt=attempt, wait_seconds=seconds)
        if subscription is None:
            await wait_or_stop(seconds, stopping=self._stopping)
        else:
            step = self._settings.poll_seconds
            await wait_paused(subscription, seconds, stopping=self._stopping, poll_seconds=step)


def _joined(left: Outputs, right: Outputs) -> Outputs:
    return Outputs(records=[*left.records, *right.records], set_aside=[*left.set_aside, *right.set_aside])


def _owns(subscription: Subscription, batch: Sequence[Record]) -> bool:
    return {record.topic_partition for record in batch} <= subscription.assignment()


def _next_offsets(batch: Sequence[Record]) -> dict[TopicPartition, int]:
    offsets: dict[TopicPartition, int] = {}
    for record in batch:
        offsets[record.topic_partition] = max(record.offset + 1, offsets.get(record.topic_partition, 0))
    return offsets
