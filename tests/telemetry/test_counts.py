"""Counters and histograms of our own: exposed as the library's would be."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry.counts import Counter, Histogram

_AMOUNTS = (0.0, 0.001, 0.0011, 0.5, 1, 2.5, 99)
_BOUNDS = (0.001, 0.5, 1, 2.5)


def _exposed(registry: CollectorRegistry) -> list[str]:
    """Return the lines of a registry, less the times at which the library's series began."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_counter_is_exposed_as_the_librarys() -> None:
    """Names, help, type, labels and values are those of the library's counter; a child is there from its naming on."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for counter in (
        Counter("a_b", 'Some "help".', ["x", "y"], registry=ours),
        prometheus_client.Counter("a_b", 'Some "help".', ["x", "y"], registry=theirs),
    ):
        counter.labels("1", 'q"\n')
        counter.labels("2", "z").inc()
        counter.labels("2", "z").inc(41)
    assert _exposed(ours) == _exposed(theirs)
    assert 'a_b_total{x="2",y="z"} 42.0' in _exposed(ours)


def test_histogram_is_exposed_as_the_librarys() -> None:
    """Buckets are cumulative, take what equals their bound, and come with a count and a sum, also before any amount."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for histogram in (
        Histogram("a_seconds", "Help.", "x", _BOUNDS, registry=ours),
        prometheus_client.Histogram("a_seconds", "Help.", ["x"], buckets=_BOUNDS, registry=theirs),
    ):
        histogram.labels("idle")
        for amount in _AMOUNTS:
            histogram.labels("busy").observe(amount)
    assert _exposed(ours) == _exposed(theirs)
    assert 'a_seconds_bucket{le="0.001",x="busy"} 2.0' in _exposed(ours)


@pytest.mark.parametrize("values", [(), ("1",), ("1", "2", "3")])
def test_a_wrong_number_of_labels_is_an_error(values: tuple[str, ...]) -> None:
    """A series has a value for every label, or is none."""
    registry = CollectorRegistry()
    counter = Counter("a_b", "Help.", ["x", "y"], registry=registry)
    with pytest.raises(ValueError, match="a_b has the labels"):
        counter.labels(*values)
    assert not [line for line in _exposed(registry) if not line.startswith("#")]


def test_reading_makes_no_series() -> None:
    """What is asked of a series that is not there is 0, and it is not there afterwards."""
    registry = CollectorRegistry()
    counter = Counter("a_b", "Help.", ["x"], registry=registry)
    counter.labels("there").inc(3)
    before = _exposed(registry)
    assert (counter.value("there"), counter.value("gone")) == (3, 0)
    assert _exposed(registry) == before
