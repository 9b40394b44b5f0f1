"""What a worker counted, on its way to the process that exposes it: only what is new since the last report.

So a worker that ends takes nothing away from a counter, and one that begins adds to it. Which funds have a name of
their own is settled where all reports come together, so that the limit is one for all.
"""

import msgspec

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.unknown import Unknown

_Counts = list[tuple[tuple[str, ...], int]]  # by labels
_Distributions = list[tuple[str, list[int], float]]  # by label: counts of the buckets, and the sum


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one worker counted since its last report."""

    validations: _Counts
    errors: _Counts
    values: _Counts
    requests: _Counts
    funds: _Counts
    duration: _Distributions
    upstream_duration: _Distributions
    unknown: list[Unknown]
    records: _Counts


def take(metrics: Metrics) -> Report:
    """Return everything that was counted since the last time, and count from 0 again."""
    report = Report(
        validations=metrics.validations.take(),
        errors=metrics.errors.take(),
        values=metrics.values.take(),
        requests=metrics.requests.take(),
        funds=metrics.fund_validations.take(),
        duration=metrics.duration.take(),
        upstream_duration=metrics.upstream_duration.take(),
        unknown=metrics.unknown_values.take(),
        records=metrics.records.take(),
    )
    metrics.fund_validations.clear()
    metrics.funds.clear()
    return report


def add(metrics: Metrics, report: Report, max_funds: int) -> None:
    """Count what a worker has counted."""
    for counter, counts in (
        (metrics.validations, report.validations),
        (metrics.errors, report.errors),
        (metrics.values, report.values),
        (metrics.requests, report.requests),
        (metrics.records, report.records),
    ):
        for labels, amount in counts:
            counter.labels(*labels).inc(amount)
    for histogram, distributions in (
        (metrics.duration, report.duration),
        (metrics.upstream_duration, report.upstream_duration),
    ):
        for label, buckets, total in distributions:
            histogram.add(label, buckets, total)
    for (pattern, fund, result), amount in report.funds:
        metrics.fund_validations.labels(pattern, metrics.fund_label(fund, max_funds), result).inc(amount)
    for unknown in report.unknown:
        metrics.unknown_values.add(unknown)
