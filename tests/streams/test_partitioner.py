"""Keys land where Kafka's Java client puts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_the_java_client(key: bytes, signed: int) -> None:
    """The values of Apache Kafka's own unit test."""
    assert murmur2(key) == signed % 2**32


@given(key=st.binary(max_size=200), partitions=st.integers(1, 1000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    """Within the topic, the empty key too, and always the same one."""
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(bytes(bytearray(key)), partitions)


@given(key=st.binary(max_size=200))
def test_agrees_with_the_client_that_reads_the_topics(key: bytes) -> None:
    """The hash is the one aiokafka computes."""
    from aiokafka.partitioner import murmur2 as aiokafka_murmur2

    assert murmur2(key) == aiokafka_murmur2(key) % 2**32
