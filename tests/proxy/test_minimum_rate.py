"""How fast a body has to come, by arithmetic alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.minimum_rate import MinimumRate

RATE = MinimumRate(10, 1024)
MIB = 1024 * 1024


def lasts(sizes_and_gaps: list[tuple[float, float]]) -> tuple[float, float]:
    """Return for how long a held body that comes so lasts, and how much of it has come behind the first then."""
    allowance, held, elapsed = RATE.grace, 0.0, 0.0
    first = sizes_and_gaps[0][0]
    for size, gap in sizes_and_gaps:
        held += size
        allowance = RATE.allowance(allowance, int(size), int(held)) - gap
        elapsed += gap
        if allowance < 0:
            return elapsed + allowance, held - first
    return elapsed, held - first


@pytest.mark.parametrize(
    ("left", "size", "held", "expected"),
    [
        (10, 1024, 0, 11),
        (10, 1024, 1, 10),
        (5, 1024, 60_000, 6),
        (5, 1_000_000, 60_000_000, 6),
        (0, 600, 6_000_000, 0.006),
    ],
)
def test_allowance_of_a_body(left: float, size: int, held: int, expected: float) -> None:
    """What is sent buys time at the least rate or a sixtieth of what is held, with that never more than the grace."""
    assert RATE.allowance(left, size, held) == pytest.approx(expected)


@given(
    first=st.integers(1, 90 * MIB),
    steps=st.lists(st.tuples(st.integers(1, MIB), st.floats(0, 15)), min_size=1, max_size=200),
)
def test_to_hold_costs_a_sixtieth_a_second(first: int, steps: list[tuple[int, float]]) -> None:
    """However a client sends, from then on it has to send a sixtieth of what it holds each second."""
    seconds, sent = lasts([(first, 0), *steps])
    assert sent >= (seconds - RATE.grace) * first / 60 - MIB / 60


@pytest.mark.parametrize("rate", [1024, 10_000, 240_000, 1_050_000])
def test_a_steady_uplink_is_not_cut_off_before_a_hundred_seconds(rate: int) -> None:
    """A client whose rate never changes has a hundred seconds for its body, whatever the rate above the least."""
    seconds, _ = lasts([(rate / 10, 0.1)] * 1000)
    assert seconds == pytest.approx(100)


def test_who_just_keeps_the_pace_doubles_in_42_seconds() -> None:
    """A body grows with its pace, so that it is whole, or too large, within minutes."""
    held, seconds = float(MIB), 0.0
    while held < 100 * MIB:
        held += held / 60 * 0.1
        seconds += 0.1
    assert seconds == pytest.approx(60 * math.log(100), rel=0.01)
