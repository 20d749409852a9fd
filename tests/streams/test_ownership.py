"""A batch is committed by whoever owned its partitions all along, and by nobody else."""

from __future__ import annotations

from streams.log import TopicPartition
from streams.ownership import Ownership, lost_partitions

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def test_owned_partitions_are_committable() -> None:
    """Others are not."""
    ownership = Ownership()
    ownership.gain([A])

    assert ownership.committable({A: 1, B: 2}) == {A: 1}
    assert ownership.owned == {A}


def test_a_partition_lost_with_a_batch_in_flight_needs_a_poll() -> None:
    """Coming back does not make the old batch's offsets good again, nor does a commit of others."""
    ownership = Ownership()
    ownership.gain([A, B])
    ownership.poll_started()
    ownership.batch_delivered()

    ownership.lose([A])
    ownership.gain([A])
    assert ownership.committable({A: 1, B: 2}) == {B: 2}
    ownership.batch_settled()
    assert ownership.committable({A: 1}) == {}

    ownership.poll_started()
    assert ownership.committable({A: 1}) == {A: 1}


def test_a_partition_that_moves_between_batches_is_committable_again() -> None:
    """Nothing was in anybody's hands."""
    ownership = Ownership()
    ownership.gain([A])
    ownership.lose([A])
    ownership.gain([A])

    assert ownership.committable({A: 1}) == {A: 1}


def test_the_error_names_what_was_lost() -> None:
    """And what to do."""
    assert "t/0, t/1" in str(lost_partitions([B, A]))
