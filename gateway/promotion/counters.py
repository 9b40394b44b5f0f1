"""What the gateways' counters counted in a time up to now, of all replicas together, as Prometheus knows it.

`increase()` adds what it did not see to what it saw. Here a counter is its last value less its first in the time, which
is exact, and no more than was counted. Internal errors, of which none may be, are the last value less the one before
the time, or all there is: also what came before the first scrape. A counter that fell, or was not there for part of the
time, is a doubt.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.promotion.prometheus import Prometheus
from gateway.promotion.quantile import quantile
from gateway.promotion.replicas import INFO, Replica, called, replica_of
from gateway.rollout.decision import Result
from gateway.stages.reasons import Reason
from gateway.telemetry.metrics import JUDGED_MODES, JUDGING_BUCKETS

VALIDATIONS = "stage_validation_validations_total"
ERRORS = f'stage_validation_errors_total{{reason=~"{Reason.INTERNAL_ERROR}|{Reason.DISALLOWED_VALUE}"}}'
UNKNOWN = f'stage_validation_errors_total{{reason="{Reason.DISALLOWED_VALUE}"}}'
BUCKETS = "stage_validation_duration_seconds_bucket"
_REFUSED = (Result.REJECT, Result.WOULD_REJECT)
_LABELS = MappingProxyType({VALIDATIONS: ("mode", "result"), ERRORS: ("reason",), BUCKETS: ("le",)})
_INFINITE = "inf"


class Counts(NamedTuple):
    """What was counted at one endpoint; None what could not be found out.

    `let_through` is how many invalid requests passed with a warning.
    """

    validations: float | None
    refused: float | None
    internal_errors: float | None
    unknown: float | None
    p99_seconds: float | None
    let_through: float | None


class _Counter(NamedTuple):
    """One series: how often it was scraped, its first and last value of the time, and the value before it."""

    samples: float
    first: float
    last: float
    before: float
    resets: float

    @property
    def counted(self) -> float:
        return self.last - self.first

    @property
    def at_most(self) -> float:
        """What was counted, also what nobody saw before the first scrape."""
        return self.last - (self.before if self.before <= self.first else 0.0)


_Key = tuple[str, Replica, tuple[str, ...]]  # endpoint, replica, the values of the metric's own labels


class Counters:
    """The counters of all endpoints in the last milliseconds `span`."""

    def __init__(self, found: Mapping[str, Mapping[_Key, _Counter]], scrapes: Mapping[Replica, float]) -> None:
        self._found = found
        self._scrapes = scrapes

    def counts(self, endpoint: str) -> Counts:
        """Return what was counted at an endpoint."""
        results = self._of(VALIDATIONS, endpoint)
        errors = self._of(ERRORS, endpoint)
        buckets: dict[str, float] = defaultdict(float)
        for (bound,), counter in self._of(BUCKETS, endpoint):
            buckets[bound] += counter.counted
        internal = [counter.at_most for (reason,), counter in errors if reason == Reason.INTERNAL_ERROR]
        unknown = [counter.counted for (reason,), counter in errors if reason == Reason.DISALLOWED_VALUE]
        refused = [counter.counted for (_, result), counter in results if result in _REFUSED]
        return Counts(
            validations=_sum([counter.counted for _, counter in results]),
            refused=_sum(refused),
            internal_errors=_sum(internal),
            unknown=_sum(unknown),
            p99_seconds=quantile(0.99, buckets),
            let_through=_sum([counter.counted for (_, result), counter in results if result == Result.WARN]),
        )

    def doubts(self, endpoints: Sequence[str]) -> Iterator[str]:
        """Yield why the counters of these endpoints cannot be relied on."""
        for replica, scrapes in self._scrapes.items():
            if not scrapes >= 2:
                yield f"{called(replica)}: fewer than two scrapes since then; wait for more"
        for endpoint in endpoints:
            for metric in _LABELS:
                yield from self._doubts(metric, endpoint)
            judged = _sum([c.counted for (bound,), c in self._of(BUCKETS, endpoint) if bound == _INFINITE])
            counted = _sum([counter.counted for _, counter in self._of(VALIDATIONS, endpoint)])
            if judged != counted:
                yield f"{endpoint}: {judged} requests were judged and {counted} counted, expected as many"

    def _doubts(self, metric: str, endpoint: str) -> Iterator[str]:
        name = metric.partition("{")[0]
        for replica, scrapes in self._scrapes.items():
            found = {own: c for (e, r, own), c in self._found[metric].items() if e == endpoint and r == replica}
            place = f"{called(replica)}: {name} of {endpoint}"
            lacking = _expected(metric) - set(found)
            if lacking:
                yield f"{place}: {len(lacking)} of its series are not there, such as {' '.join(min(lacking))}"
            if any(counter.resets != 0 for counter in found.values()):
                yield f"{place}: fell within that time, as by a restart; measure what came after, with --since"
            if any(not math.isfinite(number) or number < 0 for counter in found.values() for number in counter):
                yield f"{place}: has values that are no counts"
            elif any(abs(counter.samples - scrapes) > 1 for counter in found.values()):
                yield f"{place}: was not there for part of the time; measure what came after, with --since"

    def _of(self, metric: str, endpoint: str) -> list[tuple[tuple[str, ...], _Counter]]:
        return [
            (own, counter)
            for (name, replica, own), counter in self._found[metric].items()
            if name == endpoint and replica in self._scrapes
        ]


async def read(prometheus: Prometheus, replicas: Sequence[Replica], span: int) -> Counters:
    """Return the counters of the last milliseconds `span`. Raises UnreachableError, AnswerError."""
    scraped: dict[Replica, float] = dict.fromkeys(replicas, 0.0)
    for one in await prometheus.query(f"count_over_time({INFO}[{span}ms])"):
        replica = replica_of(one.labels, frozenset({"config", "vocabulary", "version"}))
        if replica in scraped:
            scraped[replica] += one.value
    found = {}
    for metric, labels in _LABELS.items():
        parts = {}
        for name, expression in (
            ("samples", f"count_over_time({metric}[{span}ms])"),
            ("first", f"min_over_time({metric}[{span}ms])"),
            ("last", f"max_over_time({metric}[{span}ms])"),
            ("before", f"{metric} offset {span}ms"),
            ("resets", f"resets({metric}[{span}ms])"),
        ):
            parts[name] = {_key(one.labels, labels): one.value for one in await prometheus.query(expression)}
        found[metric] = {
            key: _Counter(
                samples,
                parts["first"].get(key, math.nan),
                parts["last"].get(key, math.nan),
                parts["before"].get(key, 0.0),
                parts["resets"].get(key, math.nan),
            )
            for key, samples in parts["samples"].items()
        }
    return Counters(found, scraped)


async def unknown_before(prometheus: Prometheus, span: int, enough: float) -> dict[str, float]:
    """Return the share of unknown values at each endpoint in as long a time before, where enough came then."""
    whole = await _increase(prometheus, VALIDATIONS, span)
    unknown = await _increase(prometheus, UNKNOWN, span)
    return {name: unknown[name] / count for name, count in whole.items() if count >= enough and name in unknown}


async def _increase(prometheus: Prometheus, metric: str, span: int) -> dict[str, float]:
    expression = f"sum by (endpoint) (increase({metric}[{span}ms] offset {span}ms))"
    return {
        one.labels.get("endpoint", ""): one.value
        for one in await prometheus.query(expression)
        if math.isfinite(one.value) and one.value >= 0
    }


def _key(labels: Mapping[str, str], own: tuple[str, ...]) -> _Key:
    replica = replica_of(labels, frozenset({"endpoint", *own}))
    values = (labels.get(name, "") for name in own)
    return labels.get("endpoint", ""), replica, tuple(map(_bound, values) if own == ("le",) else values)


def _expected(metric: str) -> set[tuple[str, ...]]:
    if metric == VALIDATIONS:
        return {(str(mode), str(result)) for mode in JUDGED_MODES for result in Result}
    if metric == ERRORS:
        return {(str(Reason.INTERNAL_ERROR),), (str(Reason.DISALLOWED_VALUE),)}
    return {*((_bound(str(bound)),) for bound in JUDGING_BUCKETS), (_INFINITE,)}


def _bound(told: str) -> str:
    """Return the bound of a bucket in one spelling: `1`, `1.0` and `1e0` are one."""
    try:
        return str(float(told))
    except ValueError:
        return told


def _sum(counts: Sequence[float]) -> float | None:
    return sum(counts) if counts else None
