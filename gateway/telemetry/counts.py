"""Counters and histograms that cost next to nothing to count in, and are put together when they are asked for.

The library's own take a lock and make several checks for every number, most of what counting a request costs. Here
a child is a plain number that only the event loop's thread touches; `collect` tells the registry all of them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count `amount` more."""
        self.value += amount


class Counter(Collector):
    """A counter and its series. `name` is without the `_total` that it is exposed with."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Tell the registry the name, so that no other metric gets it."""
        yield CounterMetricFamily(self._name, self._help, labels=self._labels)

    def labels(self, *values: str) -> Count:
        """Return the series of these label values, one for each label; from now on it is there."""
        child = self._children.get(values)
        if child is not None:
            return child
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}, not the values {values}")
        return self._children.setdefault(tuple(map(str, values)), Count())

    def value(self, *values: str) -> int:
        """Return what a series has counted, 0 when there is none, and make none."""
        child = self._children.get(tuple(map(str, values)))
        return 0 if child is None else child.value

    def collect(self) -> Iterator[Metric]:
        """Tell the registry every series."""
        (family,) = self.describe()
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        yield family

    def take(self) -> list[tuple[tuple[str, ...], int]]:
        """Return what was counted since the last time, by labels, and count from 0 again."""
        taken = [(values, child.value) for values, child in self._children.items() if child.value]
        for child in self._children.values():
            child.value = 0
        return taken

    def clear(self) -> None:
        """Forget every series. Whoever holds one counts in vain."""
        self._children.clear()


class Distribution:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, amount: float) -> None:
        """Count one amount, in the first bucket whose bound it does not exceed."""
        self.counts[bisect_left(self._bounds, amount)] += 1
        self.sum += amount


class Histogram(Collector):
    """A histogram and its series. `bounds` are the upper ones of its buckets, in order."""

    def __init__(
        self, name: str, help_text: str, label: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._help = help_text
        self._label = label
        self._bounds = tuple(map(float, bounds))
        self._children: dict[str, Distribution] = {}
        registry.register(self)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Tell the registry the name, so that no other metric gets it."""
        yield HistogramMetricFamily(self._name, self._help, labels=(self._label,))

    def labels(self, value: str) -> Distribution:
        """Return the series of this label value; from now on it is there."""
        return self._children.setdefault(value, Distribution(self._bounds))

    def collect(self) -> Iterator[Metric]:
        """Tell the registry every series."""
        (family,) = self.describe()
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for value, child in self._children.items():
            buckets = zip(names, accumulate(child.counts), strict=True)
            family.add_metric((value,), list(buckets), child.sum)
        yield family

    def take(self) -> list[tuple[str, list[int], float]]:
        """Return what was observed since the last time, by label, bucket counts and sum, and begin at 0 again."""
        taken = [(value, child.counts, child.sum) for value, child in self._children.items() if any(child.counts)]
        for child in self._children.values():
            child.counts, child.sum = [0] * len(child.counts), 0.0
        return taken

    def add(self, value: str, counts: Sequence[int], total: float) -> None:
        """Observe what was taken elsewhere, in buckets of the same bounds."""
        child = self.labels(value)
        child.counts = [ours + theirs for ours, theirs in zip(child.counts, counts, strict=True)]
        child.sum += total
