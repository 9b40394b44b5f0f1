"""Metrics: there from the start, counted once, bounded in number."""

import json
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.process import Gateway, Samples, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import exchange, request

from gateway.rollout.decision import Decision, Enforcement, Result
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, parse
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Findings
from gateway.telemetry.metrics import EndpointMetrics, Metrics, fund_name

SIMULATE = "/api/monte-carlo/simulate"
COMPANIES = "/api/funds/:fundId/companies"
PATTERNS = {"/api/portfolio/strategies", "/api/portfolio/strategies/:id", SIMULATE, COMPANIES}
FUNDS = "stage_validation_fund_validations_total"


@pytest.fixture
def rules() -> Rules:
    return parse(json.dumps(configuration(1)))


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, metrics={"maxFunds": 3}))


def samples(metrics: Metrics) -> Samples:
    return Samples(metrics.expose().decode())


def decided(*unknown: str, fund: str | None = None) -> Decision:
    findings = Findings()
    findings.values = len(unknown) + 1
    for number, value in enumerate(unknown):
        findings.add(0, Reason.DISALLOWED_VALUE, value, partial("/{}".format, number))
    result = Result.WARN if unknown else Result.PASS
    return Decision(SIMULATE, Enforcement(Mode.WARN, Mode.WARN), findings.verdict(), result, fund)


def test_children_are_there_from_the_start(serve: Serve, recorder: RecordingUpstream) -> None:
    """Every child of the two counters that rules build on exists at 0 before the first request, and no other."""
    samples = serve(configuration(recorder.port)).metrics()
    validations = samples.series("stage_validation_validations_total")
    assert {tuple(sorted(dict(labels).items())) for labels in validations} == {
        (("endpoint", pattern), ("mode", mode), ("result", result))
        for pattern in PATTERNS
        for mode in ("warn", "enforce")
        for result in ("pass", "warn", "reject", "would_reject")
    }
    errors = samples.series("stage_validation_errors_total")
    assert {(dict(labels)["endpoint"], dict(labels)["reason"]) for labels in errors} == {
        (pattern, str(reason)) for pattern in PATTERNS for reason in Reason
    }
    assert set(validations.values()) == set(errors.values()) == {0}
    for result in ("success", "error"):
        assert samples.get("stage_gateway_config_reloads_total", result=result) == 0
    assert samples.get("stage_gateway_requests_in_flight") == 0
    assert samples.get("stage_gateway_held_bytes") == 0
    assert samples.get("stage_gateway_dry_run") == 0


def test_gauges_describe_the_configuration(rules: Rules) -> None:
    """Mode, holders and percentage of every endpoint are there, 1 for what is in force and 0 for the others."""
    metrics = Metrics()
    modes_in_force = dict.fromkeys(PATTERNS, Mode.WARN)
    metrics.describe(rules, modes_in_force, {pattern: {"person": True, "alert": False} for pattern in PATTERNS})
    assert samples(metrics).get("stage_gateway_override", endpoint=SIMULATE, source="person") == 1
    assert samples(metrics).get("stage_gateway_override", endpoint=SIMULATE, source="alert") == 0
    modes = samples(metrics).series("stage_gateway_endpoint_mode")
    assert {dict(labels)["endpoint"] for labels in modes} == PATTERNS
    assert {dict(labels)["mode"]: value for labels, value in modes.items()} == {"off": 0, "warn": 1, "enforce": 0}
    for mode, percent in ((Mode.WARN, 0), (Mode.OFF, 0), (Mode.ENFORCE, 100)):
        metrics.describe(rules, {**modes_in_force, SIMULATE: mode}, {})
        assert samples(metrics).get("stage_gateway_enforcement_percent", endpoint=SIMULATE) == percent


def test_one_request_is_counted_once(rules: Rules) -> None:
    """An invalid request counts one validation, one error by its first reason, its values, and the time it took."""
    metrics = Metrics()
    endpoint = EndpointMetrics(metrics, rules.endpoints.endpoints[SIMULATE], 10)
    endpoint.observe(decided("x", "y", "x"), 0.002)
    found = samples(metrics)
    assert found.total("stage_validation_validations_total") == 1
    assert found.total("stage_validation_errors_total") == 1
    assert found.get("stage_validation_errors_total", endpoint=SIMULATE, reason="disallowed_value") == 1
    assert found.get("stage_validation_values_total", endpoint=SIMULATE) == 4
    assert found.get("stage_validation_duration_seconds_count", endpoint=SIMULATE) == 1
    assert found.get("stage_validation_duration_seconds_sum", endpoint=SIMULATE) == pytest.approx(0.002)
    assert metrics.totals(SIMULATE) == {"pass": 0, "warn": 1, "reject": 0, "would_reject": 0}
    assert [(one.value, one.count) for one in metrics.unknown_values.top(5)] == [("x", 2), ("y", 1)]


@pytest.mark.parametrize(
    ("fund", "name"),
    [
        ("7", "7"),
        ("-7", "-7"),
        ("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        (None, "none"),
        ("", "none"),
        ("seven", "none"),
        ("7.5", "none"),
        ("٧", "none"),
        ("7\n", "none"),
        ("1" * 21, "none"),
        ("f81d4fae7dec11d0a76500a0c91e6bf6", "none"),
    ],
)
def test_fund_has_a_name(fund: str | None, name: str) -> None:
    """An integer or a UUID names a fund; anything else does not become a label."""
    assert fund_name(fund) == name


def test_funds_are_bounded_over_endpoints_and_reloads(rules: Rules) -> None:
    """After so many different funds the next is `other`, at every endpoint; those that have a name keep it."""
    metrics = Metrics()
    endpoints = rules.endpoints.endpoints
    EndpointMetrics(metrics, endpoints[SIMULATE], 2).observe(decided(fund="1"), 0)
    EndpointMetrics(metrics, endpoints[COMPANIES], 2).observe(decided(fund="2"), 0)
    again = EndpointMetrics(metrics, endpoints[SIMULATE], 2)
    for fund in ("3", "1", "4", None, "no-name"):
        again.observe(decided(fund=fund), 0)
    counted = {
        dict(labels)["fund_id"]: value
        for labels, value in samples(metrics).series(FUNDS).items()
        if dict(labels)["endpoint"] == SIMULATE
    }
    assert counted == {"1": 2, "other": 2, "none": 2}


def test_funds_from_path_query_and_body(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A fund is found in path, query or body, in figures or as a UUID; past `maxFunds` it is `other`."""
    identity = str(uuid.uuid4())
    stages = {"stageDistribution": [{"stage": "seed", "weight": 1}]}

    def simulate(fund: Any) -> bytes:
        return request("POST", SIMULATE, body=json.dumps({**stages, "fundId": fund}).encode())

    strategy = b'{"stageAllocation":{"nonsense":1}}'
    for raw in (
        request("GET", "/api/funds/7/companies?stage=seed"),
        request("POST", "/api/portfolio/strategies?fundId=7", body=strategy),
        request("PUT", "/api/portfolio/strategies/7", body=strategy),
        simulate(8),
        simulate(identity.upper()),
        simulate("a name"),
        simulate([1]),
        simulate(9),
    ):
        assert exchange(gateway.port, raw).status == 200
    counted = {
        (labels["endpoint"].rsplit("/", 1)[1], labels["fund_id"], labels["result"]): value
        for labels, value in ((dict(key), value) for key, value in gateway.metrics().series(FUNDS).items())
    }
    assert counted == {
        ("companies", "7", "pass"): 1,
        ("strategies", "7", "warn"): 1,
        (":id", "none", "warn"): 1,
        ("simulate", "8", "pass"): 1,
        ("simulate", identity, "pass"): 1,
        ("simulate", "none", "pass"): 2,
        ("simulate", "other", "pass"): 1,
    }


def test_paths_never_become_labels(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """However many paths and stages come in, the number of series stays."""
    for number in range(3):
        exchange(gateway.port, request("GET", f"/api/funds/x/companies?stage=w{number}"))
    before = len(gateway.metrics().series("stage_validation_errors_total"))
    text = gateway.call("/metrics")[1]
    for number in range(30):
        exchange(gateway.port, request("GET", f"/api/funds/x{number}/companies?stage=v{number}"))
        exchange(gateway.port, request("POST", f"/api/portfolio/strategies/{number}", body=b"{}"))
    assert len(gateway.metrics().series("stage_validation_errors_total")) == before
    assert len(gateway.call("/metrics")[1].splitlines()) - len(text.splitlines()) <= 2
    assert b"v17" not in gateway.call("/metrics")[1]


def test_exposition_is_prometheus_text(gateway: Gateway, tmp_path: Path) -> None:
    """Every documented name is exposed, with help and type."""
    text = gateway.call("/metrics")[1].decode()
    for name in (
        "stage_validation_validations_total",
        "stage_validation_errors_total",
        "stage_validation_fund_validations_total",
        "stage_validation_duration_seconds",
        "stage_validation_values_total",
        "stage_gateway_requests_total",
        "stage_gateway_upstream_duration_seconds",
        "stage_gateway_requests_in_flight",
        "stage_gateway_held_bytes",
        "stage_gateway_config_info",
        "stage_gateway_config_reloads_total",
        "stage_gateway_endpoint_mode",
        "stage_gateway_enforcement_percent",
        "stage_gateway_dry_run",
    ):
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} " in text


def test_totals_of_an_endpoint_that_is_not_there_make_no_series() -> None:
    """Asking for the totals of an endpoint changes nothing that is exposed."""
    metrics = Metrics()
    before = metrics.expose()
    assert set(metrics.totals("/gone").values()) == {0}
    assert metrics.expose() == before
