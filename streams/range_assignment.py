"""Which member of a group reads which partitions: Kafka's range rule, so that equal topics are owned together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streams.log import TopicPartition


def range_assignment(
    subscriptions: Sequence[Collection[str]], partition_counts: Mapping[str, int]
) -> dict[TopicPartition, int]:
    """Map each partition to the index of its member.

    Per topic, its subscribers in order get runs of equal length, the first ones one more where it does not divide.
    Members with the same topics therefore own the same partition numbers in all topics of equal partition counts.
    """
    owners: dict[TopicPartition, int] = {}
    for topic, partitions in partition_counts.items():
        members = [index for index, topics in enumerate(subscriptions) if topic in topics]
        if not members:
            continue
        share, extra = divmod(partitions, len(members))
        start = 0
        for place, member in enumerate(members):
            end = start + share + (1 if place < extra else 0)
            owners.update((TopicPartition(topic, partition), member) for partition in range(start, end))
            start = end
    return owners
