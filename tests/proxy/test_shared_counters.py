"""Numbers that several processes count together."""

import os

from gateway.proxy.shared_counters import SharedCounter, SharedCounters, shared_file


def test_share_of_one_process() -> None:
    """Alone, the total is what was counted."""
    share = SharedCounter()
    share.add(5)
    share.add(-2)
    assert share.total == 3


def test_each_sees_the_sum() -> None:
    """Every process sees the sum of all; what one gives up is gone, and nothing else."""
    file = shared_file(3)
    try:
        first, second, third = (SharedCounters.among(3, own, file) for own in range(3))
        first.held.add(10)
        second.held.add(20)
        third.connections.add(1)
        assert [shares.held.total for shares in (first, second, third)] == [30, 30, 30]
        assert [shares.connections.total for shares in (first, second, third)] == [1, 1, 1]
        first.give_up()
        assert third.held.total == 20
        assert third.connections.total == 1
    finally:
        os.close(file)
