"""Metrics of the gateway, in a registry of their own.

Rules of the room:

- Children are resolved once per configuration (`EndpointMetrics`, `UpstreamMetrics`): `labels()` on every request
  costs more than all the counting.
- Every child of `stage_validation_validations_total` and `stage_validation_errors_total` is there from the start
  at 0, so that `rate()` sees the first event.
- A gauge that describes the configuration has the series of the present one and no others; a counter keeps what
  it counted.
"""

import re
from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from gateway import __version__
from gateway.rollout.decision import Decision, Result
from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.stages.reasons import Reason
from gateway.telemetry.counts import Count, Counter, Histogram
from gateway.telemetry.unknown import UnknownValues

JUDGED_MODES = (Mode.WARN, Mode.ENFORCE)
_FUND = re.compile(r"-?\d{1,20}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
JUDGING_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_UPSTREAM_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FUNDS_IN_A_REPORT = 10_000


def fund_name(fund: str | None) -> str:
    """Return the label of a fund: its id when it is an integer or a UUID, else `none`."""
    if fund is None:
        return "none"
    name = fund.lower()
    return name if _FUND.fullmatch(name) else "none"


class Metrics:
    """The registry and everything in it.

    `reported`: what is counted here is exposed by another process, which hears of it in reports.
    """

    def __init__(self, *, reported: bool = False) -> None:
        self.reported = reported
        self.registry = CollectorRegistry()
        self.funds: set[str] = set()
        self.unknown_values = UnknownValues()
        self._count_requests()
        self._describe_process()
        self._describe_configuration()

    def _count_requests(self) -> None:
        counter, histogram = partial(Counter, registry=self.registry), partial(Histogram, registry=self.registry)
        self.validations = counter(
            "stage_validation_validations",
            "Requests inspected, by effective mode and result.",
            ["endpoint", "mode", "result"],
        )
        self.errors = counter("stage_validation_errors", "Invalid requests, by first reason.", ["endpoint", "reason"])
        self.fund_validations = counter(
            "stage_validation_fund_validations",
            "Requests inspected, by fund and result.",
            ["endpoint", "fund_id", "result"],
        )
        self.duration = histogram(
            "stage_validation_duration_seconds", "Time spent judging one request.", "endpoint", JUDGING_BUCKETS
        )
        self.values = counter("stage_validation_values", "Stage values looked at.", ["endpoint"])
        self.requests = counter(
            "stage_gateway_requests", "Responses sent, by upstream and status.", ["upstream", "code"]
        )
        self.upstream_duration = histogram(
            "stage_gateway_upstream_duration_seconds",
            "Time from the request's start to the upstream's response head.",
            "upstream",
            _UPSTREAM_BUCKETS,
        )

    def _describe_process(self) -> None:
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        self.in_flight = gauge("stage_gateway_requests_in_flight", "Requests being carried right now.")
        self.held_bytes = gauge("stage_gateway_held_bytes", "Bytes of bodies held for judging.")
        self.worker_restarts = counter(
            "stage_gateway_worker_restarts", "Workers started again after they had ended.", []
        )
        self.worker_restarts.labels()

        self.records = counter("stage_gateway_records", "Requests recorded for replay, or lost.", ["result"])

    def _describe_configuration(self) -> None:
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        self.config_info = gauge(
            "stage_gateway_config_info",
            "The configuration in force, always 1.",
            ["config", "vocabulary", "version"],
        )
        self.in_force_since = gauge(
            "stage_gateway_config_in_force_since_seconds", "Unix time at which the configuration came into force."
        )
        self.reloads = counter("stage_gateway_config_reloads", "Reloads of the configuration file.", ["result"])
        for result in ("success", "error"):
            self.reloads.labels(result)
        self.endpoint_mode = gauge("stage_gateway_endpoint_mode", "1 for the mode in force.", ["endpoint", "mode"])
        self.override = gauge("stage_gateway_override", "1 while something holds the endpoint.", ["endpoint", "source"])
        self.enforcement_percent = gauge(
            "stage_gateway_enforcement_percent", "Share of requests enforced, in force.", ["endpoint"]
        )
        self.rollout_step = gauge(
            "stage_gateway_rollout_step", "Number of the step of the plan that is in force.", ["phase"]
        )
        self.dry_run = gauge("stage_gateway_dry_run", "1 while dry run is on.")

    def expose(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(
        self,
        rules: Rules,
        modes: Mapping[str, Mode],
        holders: Mapping[str, Mapping[str, bool]],
        step: tuple[str, int] | None = None,
    ) -> None:
        """Make the gauges that describe what is in force say so.

        `modes` are those in force by endpoint, `holders` say by which source each endpoint is held. `step` is the one
        of the plan, as its phase and number, None where it is none.
        """
        self.rollout_step.clear()
        if step is not None:
            phase, number = step
            self.rollout_step.labels(phase).set(number)
        self.config_info.clear()
        self.config_info.labels(rules.fingerprint, rules.policy.vocabulary.fingerprint, __version__).set(1)
        self.dry_run.set(rules.policy.dry_run)
        self.enforcement_percent.clear()
        self.endpoint_mode.clear()
        self.override.clear()
        for pattern, in_force in modes.items():
            percent = rules.endpoints.endpoints[pattern].percent_at(in_force)
            self.enforcement_percent.labels(pattern).set(percent)
            for mode in Mode:
                self.endpoint_mode.labels(pattern, mode).set(mode is in_force)
        for pattern, sources in holders.items():
            for source, holds in sources.items():
                self.override.labels(pattern, source).set(holds)

    def totals(self, pattern: str) -> dict[str, int]:
        """Return how many requests of an endpoint had each result, over both effective modes."""
        return {
            str(result): sum(self.validations.value(pattern, mode, result) for mode in JUDGED_MODES)
            for result in Result
        }

    def fund_label(self, name: str, max_funds: int) -> str:
        """Return the label of a fund's name: that name for the first `max_funds` different ones, else `other`."""
        if name in self.funds or name in {"none", "other"}:
            return name
        if len(self.funds) >= max_funds:
            return "other"
        self.funds.add(name)
        return name


class EndpointMetrics:
    """The children of one endpoint."""

    def __init__(self, metrics: Metrics, endpoint: Endpoint, max_funds: int) -> None:
        pattern = endpoint.pattern
        self._metrics = metrics
        self._pattern = pattern
        self._max_funds = FUNDS_IN_A_REPORT if metrics.reported else max_funds
        self._validations = {
            (mode, result): metrics.validations.labels(pattern, mode, result)
            for mode in JUDGED_MODES
            for result in Result
        }
        self._errors = {reason: metrics.errors.labels(pattern, reason) for reason in Reason}
        self._duration = metrics.duration.labels(pattern)
        self._values = metrics.values.labels(pattern)

    def observe(self, decision: Decision, seconds: float) -> None:
        """Count one inspected request, whose judging took `seconds`."""
        verdict = decision.verdict
        self._validations[decision.enforcement.effective, decision.result].inc()
        self._duration.observe(seconds)
        if verdict.values:
            self._values.inc(verdict.values)
        name = fund_name(decision.fund)
        fund = self._metrics.fund_label(name, self._max_funds)
        self._metrics.fund_validations.labels(self._pattern, fund, decision.result).inc()
        if verdict.reason is not None:
            self._errors[verdict.reason].inc()
            self._metrics.unknown_values.note(self._pattern, verdict.violations, name)


class UpstreamMetrics:
    """The children of one upstream, or of requests that reach none."""

    def __init__(self, metrics: Metrics, upstream: str) -> None:
        self._requests = metrics.requests
        self._upstream = upstream
        self._codes: dict[int, Count] = {}
        self.duration = metrics.upstream_duration.labels(upstream) if upstream != "none" else None

    def answered(self, code: int) -> None:
        """Count one response of this status."""
        child = self._codes.get(code)
        if child is None:
            child = self._codes[code] = self._requests.labels(self._upstream, str(code))
        child.inc()


def children_of(rules: Rules, metrics: Metrics) -> tuple[dict[str, UpstreamMetrics], dict[str, EndpointMetrics]]:
    """Return the children of every upstream and of every endpoint of a configuration; from now on they are there."""
    upstreams = {name: UpstreamMetrics(metrics, name) for name in (*rules.upstreams, "none")}
    endpoints = {
        pattern: EndpointMetrics(metrics, endpoint, rules.max_funds)
        for pattern, endpoint in rules.endpoints.endpoints.items()
    }
    return upstreams, endpoints
