"""Partitions are shared fairly, and topics of equal partition counts together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.log import TopicPartition
from streams.range_assignment import range_assignment

_TOPICS = ["a", "b", "c"]


@given(
    subscriptions=st.lists(st.sets(st.sampled_from(_TOPICS)), max_size=6),
    counts=st.dictionaries(st.sampled_from(_TOPICS), st.integers(0, 20)),
)
def test_every_subscribed_partition_has_one_subscriber(subscriptions: list[set[str]], counts: dict[str, int]) -> None:
    """And the subscribers of a topic differ by at most one partition of it."""
    owners = range_assignment(subscriptions, counts)

    wanted = {topic for topics in subscriptions for topic in topics}
    assert owners.keys() == {TopicPartition(t, n) for t, count in counts.items() if t in wanted for n in range(count)}
    assert all(partition.topic in subscriptions[member] for partition, member in owners.items())
    for topic in counts.keys() & wanted:
        shares = [
            sum(owner == member and place.topic == topic for place, owner in owners.items())
            for member, topics in enumerate(subscriptions)
            if topic in topics
        ]
        assert max(shares) - min(shares) <= 1


@given(members=st.integers(1, 8), partitions=st.integers(1, 20))
def test_equal_topics_are_owned_together(members: int, partitions: int) -> None:
    """Partition n of all of them has one owner."""
    owners = range_assignment([_TOPICS] * members, dict.fromkeys(_TOPICS, partitions))

    for number in range(partitions):
        assert len({owners[TopicPartition(topic, number)] for topic in _TOPICS}) == 1
