"""What a worker counted, on its way to the process that exposes it: only what is new since the last report.

So a worker that ends takes nothing away from a counter, and one that begins adds to it. Which funds have a name of
their own is settled where all reports come together, so that the limit is one for all.
"""

from typing import Any

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.unknown import Unknown

_COUNTERS = ("validations", "errors", "values", "requests")
_HISTOGRAMS = ("duration", "upstream_duration")


def take(metrics: Metrics) -> dict[str, Any]:
    """Return everything that was counted since the last time, and count from 0 again."""
    report: dict[str, Any] = {name: getattr(metrics, name).take() for name in (*_COUNTERS, *_HISTOGRAMS)}
    report["funds"] = metrics.fund_validations.take()
    report["unknown"] = [unknown.packed() for unknown in metrics.unknown_values.take()]
    metrics.fund_validations.clear()
    metrics.funds.clear()
    return report


def add(metrics: Metrics, report: dict[str, Any], max_funds: int) -> None:
    """Count what a worker has counted."""
    for name in _COUNTERS:
        for labels, amount in report[name]:
            getattr(metrics, name).labels(*labels).inc(amount)
    for name in _HISTOGRAMS:
        for label, counts, total in report[name]:
            getattr(metrics, name).add(label, counts, total)
    for (pattern, fund, result), amount in report["funds"]:
        metrics.fund_validations.labels(pattern, metrics.fund_label(fund, max_funds), result).inc(amount)
    for value, reason, suggestion, count, first, last, funds in report["unknown"]:
        metrics.unknown_values.add(Unknown(value, reason, suggestion, count, first, last, tuple(funds)))
