"""What was counted since a moment: since the configuration in force came into force, for gates and for people.

With workers, what they counted before the moment and told after it belongs to the time after: half a second's worth.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from gateway.rollout.decision import Result
from gateway.stages.reasons import Reason
from gateway.telemetry.metrics import JUDGING_BUCKETS, Metrics


class Since:
    """The counts of some endpoints, by their patterns, from now on."""

    def __init__(self, metrics: Metrics, patterns: Iterable[str]) -> None:
        self._metrics = metrics
        self.began = datetime.now(UTC)
        self._before = {pattern: self._counts(pattern) for pattern in patterns}

    def counts(self, pattern: str) -> dict[str, Any]:
        """Return totals by result, errors by reason, stage values, and how long judging took.

        `judging` has the number of requests that took up to so many seconds, by that bound, as Prometheus' `le`.
        """
        now = [new - old for new, old in zip(self._counts(pattern), self._before[pattern], strict=True)]
        results, reasons = list(Result), list(Reason)
        totals, errors = now[: len(results)], now[len(results) : len(results) + len(reasons)]
        values, *buckets = now[len(results) + len(reasons) :]
        bounds = [*(f"{bound:g}" for bound in JUDGING_BUCKETS), "+Inf"]
        return {
            "totals": dict(zip(map(str, results), totals, strict=True)),
            "errors": {str(reason): count for reason, count in zip(reasons, errors, strict=True) if count},
            "values": values,
            "judging": dict(zip(bounds, accumulate(buckets), strict=True)),
        }

    def before(self, pattern: str) -> dict[str, int]:
        """Return what this process had counted until then: validations, and of them those with unknown values."""
        counts = self._before[pattern]
        results = len(Result)
        return {
            "validations": sum(counts[:results]),
            "unknown": counts[results + list(Reason).index(Reason.DISALLOWED_VALUE)],
        }

    def _counts(self, pattern: str) -> list[int]:
        metrics = self._metrics
        return [
            *metrics.totals(pattern).values(),
            *(metrics.errors.labels(pattern, reason).value for reason in Reason),
            metrics.values.labels(pattern).value,
            *metrics.duration.labels(pattern).counts,
        ]
