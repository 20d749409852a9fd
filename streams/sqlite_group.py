"""The consumer groups inside one process: who is a member, who owns which partition, and how ownership moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from streams.log import TopicPartition
from streams.ownership import Ownership
from streams.range_assignment import range_assignment


class Member(Protocol):
    """What a group needs of a subscription."""

    @property
    def topics(self) -> Collection[str]:
        """Return what it subscribes to."""

    @property
    def ownership(self) -> Ownership:
        """Return what it owns."""

    def gain(self, partition: TopicPartition) -> None:
        """Own a partition and wake a waiting poll."""

    def lose(self, partitions: Collection[TopicPartition]) -> None:
        """Own these no longer."""

    def wake(self) -> None:
        """Let a waiting poll look again."""

    async def close(self) -> None:
        """Leave the group."""


class ConsumerGroup:
    """One group's members in the order they joined.

    Each partition has at most one owner. A partition leaves its owner at once, or, with a batch in flight, when that
    is settled or the deadline passes; only then its next owner gets it. Partitions that stay are not interrupted.
    """

    def __init__(self, *, partition_count: Callable[[str], int], deadline_seconds: float) -> None:
        self._partition_count = partition_count
        self._deadline_seconds = deadline_seconds
        self._members: list[Member] = []
        self._owners: dict[TopicPartition, Member] = {}
        self._deadlines: dict[Member, asyncio.TimerHandle] = {}

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the members now."""
        return tuple(self._members)

    def join(self, member: Member) -> None:
        """Add a member and share the partitions anew."""
        self._members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        """Remove a member; the others get its partitions now."""
        if member not in self._members:
            return
        self._members.remove(member)
        self._take(member, member.ownership.owned)
        self._cancel_deadline(member)
        self.rebalance()

    def rebalance(self) -> None:
        """Move every partition that should and can move; call again whenever a batch is settled."""
        target = self._target()
        for member in self._members:
            # Nobody waits for what was deleted with its topic.
            self._take(member, {partition for partition in member.ownership.owned if not self._exists(partition)})
            leaving = {partition for partition in member.ownership.owned if target.get(partition) is not member}
            if not leaving or not member.ownership.in_flight:
                self._take(member, leaving)
                self._cancel_deadline(member)
            elif member not in self._deadlines:
                loop = asyncio.get_running_loop()
                self._deadlines[member] = loop.call_later(self._deadline_seconds, self._expire, member)
        for partition, member in target.items():
            if partition not in self._owners:
                self._owners[partition] = member
                member.gain(partition)

    def wake(self, partitions: Iterable[TopicPartition]) -> None:
        """Let the owners of these look again."""
        for partition in partitions:
            owner = self._owners.get(partition)
            if owner is not None:
                owner.wake()

    def _exists(self, partition: TopicPartition) -> bool:
        return partition.partition < self._partition_count(partition.topic)

    def _target(self) -> dict[TopicPartition, Member]:
        topics = sorted({topic for member in self._members for topic in member.topics})
        counts = {topic: self._partition_count(topic) for topic in topics}
        assignment = range_assignment([member.topics for member in self._members], counts)
        return {partition: self._members[index] for partition, index in assignment.items()}

    def _expire(self, member: Member) -> None:
        del self._deadlines[member]
        target = self._target()
        self._take(member, {partition for partition in member.ownership.owned if target.get(partition) is not member})
        self.rebalance()

    def _take(self, member: Member, partitions: Collection[TopicPartition]) -> None:
        member.lose(partitions)
        for partition in partitions:
            del self._owners[partition]

    def _cancel_deadline(self, member: Member) -> None:
        timer = self._deadlines.pop(member, None)
        if timer is not None:
            timer.cancel()
