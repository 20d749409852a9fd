"""Kafka's standard partition of a key: murmur2, as the Java client and every ``murmur2`` option compute it."""

from __future__ import annotations

import struct
from typing import Final

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash, unsigned."""
    length = len(data)
    words = length // 4
    mixed = _SEED ^ length
    for word in struct.unpack_from(f"<{words}I", data):
        scrambled = (word * _MULTIPLIER) & _MASK
        scrambled ^= scrambled >> 24
        mixed = ((mixed * _MULTIPLIER) & _MASK) ^ ((scrambled * _MULTIPLIER) & _MASK)
    tail = data[words * 4 :]
    if tail:
        mixed = ((mixed ^ int.from_bytes(tail, "little")) * _MULTIPLIER) & _MASK
    mixed = ((mixed ^ (mixed >> 13)) * _MULTIPLIER) & _MASK
    return mixed ^ (mixed >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition Kafka's Java client puts the key into; librdkafka's default is another one."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
