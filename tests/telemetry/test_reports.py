"""What a worker counted arrives once, whole, and under limits that are one for all."""

import msgspec
from support.process import Samples

from gateway.rules.load import parse
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.telemetry.metrics import FUNDS_IN_A_REPORT, Metrics, children_of
from gateway.telemetry.reports import Report, add, take

RULES = parse('{"upstreams":{"api":{"url":"http://127.0.0.1:1"}}}')
SIMULATE = "/api/monte-carlo/simulate"


def told(worker: Metrics) -> Report:
    """Return a report as it arrives: as JSON."""
    return msgspec.json.decode(msgspec.json.encode(take(worker)), type=Report)


def counted(amount: int) -> Metrics:
    metrics = Metrics(reported=True)
    upstreams, _ = children_of(RULES, metrics)
    for _ in range(amount):
        upstreams["api"].answered(200)
        metrics.validations.labels(SIMULATE, "warn", "pass").inc()
        metrics.duration.labels(SIMULATE).observe(0.0002)
    return metrics


def test_report_is_counted_once() -> None:
    """Two workers' reports add up; what was taken is not told again; nothing that was told is exposed by a worker."""
    main, one, other = Metrics(), counted(2), counted(3)
    for worker in (one, other, one, other):
        add(main, told(worker), 100)
    samples = Samples(main.expose().decode())
    assert samples.total("stage_validation_validations_total", endpoint=SIMULATE, result="pass") == 5
    assert samples.total("stage_gateway_requests_total", upstream="api", code="200") == 5
    assert samples.get("stage_validation_duration_seconds_bucket", endpoint=SIMULATE, le="0.0001") == 0
    assert samples.get("stage_validation_duration_seconds_bucket", endpoint=SIMULATE, le="0.00025") == 5
    assert samples.get("stage_validation_duration_seconds_count", endpoint=SIMULATE) == 5


def test_children_that_were_resolved_go_on_counting() -> None:
    """A child resolved before a report counts into the next one."""
    worker = Metrics(reported=True)
    child = worker.validations.labels(SIMULATE, "warn", "pass")
    child.inc()
    assert told(worker).validations == [((SIMULATE, "warn", "pass"), 1)]
    child.inc(2)
    assert told(worker).validations == [((SIMULATE, "warn", "pass"), 2)]
    assert told(worker).validations == []


def test_funds_are_named_where_reports_come_together() -> None:
    """A worker names far more funds than the limit between reports, so that the same ones have a name from all."""
    main, workers = Metrics(), [Metrics(reported=True) for _ in range(2)]
    assert FUNDS_IN_A_REPORT >= 1000
    for worker, funds in zip(workers, (["1", "2", "3", "none"], ["3", "2", "1", "none"]), strict=True):
        for fund in funds:
            worker.fund_validations.labels(SIMULATE, worker.fund_label(fund, FUNDS_IN_A_REPORT), "pass").inc()
        add(main, told(worker), 2)
        assert take(worker).funds == []
    samples = Samples(main.expose().decode())

    def named(fund: str) -> float | None:
        return samples.get("stage_validation_fund_validations_total", endpoint=SIMULATE, fund_id=fund, result="pass")

    assert [named(fund) for fund in ("1", "2", "3", "other", "none")] == [2, 2, None, 2, 2]


def test_unknown_values_add_up() -> None:
    """Unknown values of several workers are one tally."""
    main, worker = Metrics(), Metrics(reported=True)
    for fund in ("7", "8"):
        for value in ("x", "y", "x"):
            worker.unknown_values.note(SIMULATE, [violation(value)], fund)
        add(main, told(worker), 100)
    assert [(one.value, one.count, one.funds) for one in main.unknown_values.top(5)] == [
        ("x", 4, ("7", "8")),
        ("y", 2, ("7", "8")),
    ]


def violation(value: str) -> Violation:
    return Violation("/s", None, value, Reason.DISALLOWED_VALUE, None, 1)
