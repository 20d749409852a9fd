"""What one member of a group may commit: the partitions it owns, and which of them it lost with a batch in hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streams.log import PartitionsLost, TopicPartition


class Ownership:
    """The partitions of one subscription; pure, no loop and no clock.

    Invariants:
    - ``in_flight`` is true only between a poll that returned records and the next commit or poll;
    - a partition lost while a batch was in flight can't be committed before the next poll, not even when it came
      back meanwhile: another member may have read and committed past the batch.
    """

    def __init__(self) -> None:
        self._owned: set[TopicPartition] = set()
        self._lost_in_flight: set[TopicPartition] = set()
        self.in_flight = False

    @property
    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions owned now."""
        return frozenset(self._owned)

    def gain(self, partitions: Iterable[TopicPartition]) -> None:
        """Own these too."""
        self._owned.update(partitions)

    def lose(self, partitions: Iterable[TopicPartition]) -> None:
        """Own these no longer."""
        lost = set(partitions)
        self._owned -= lost
        if self.in_flight:
            self._lost_in_flight |= lost

    def poll_started(self) -> None:
        """Forget the previous batch: whoever polls has done with it."""
        self.in_flight = False
        self._lost_in_flight.clear()

    def batch_delivered(self) -> None:
        """Note that records are in the caller's hands."""
        self.in_flight = True

    def batch_settled(self) -> None:
        """Note that the batch's fate is known: committed, or given up."""
        self.in_flight = False

    def committable(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return those that may be committed."""
        return {
            partition: offset
            for partition, offset in offsets.items()
            if partition in self._owned and partition not in self._lost_in_flight
        }


def lost_partitions(lost: Iterable[TopicPartition]) -> PartitionsLost:
    """Name what was lost and what to do."""
    names = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(lost))
    return PartitionsLost(f"no longer owned: {names}; their new owner reads the records again: drop them and poll")
