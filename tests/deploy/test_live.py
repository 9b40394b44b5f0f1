"""Rules, alerts and dashboard on a real Prometheus and Alertmanager, with a real gateway under a little traffic."""

import json
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from support.clock import eventually
from support.deployed import dashboard, migration_gauges, panels
from support.process import Gateway, configuration
from support.prometheus import Server, alertmanager, prometheus
from support.upstream import RecordingUpstream
from support.wire import exchange, request

STRATEGIES = "/api/portfolio/strategies"
SIMULATE = "/api/monte-carlo/simulate"
QUICK = {
    "rate_window": "5s",
    "baseline_window": "30s",
    "baseline_offset": "3s",
    "minimum_requests": 5,
    "for": "1s",
    "keep_firing_for": "5s",
    "would_reject_for": "2s",
    "reload_memory": "60s",
}


@dataclass
class Inbox:
    """Takes what Alertmanager posts in a gateway's place."""

    got: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Stack:
    """Everything that runs."""

    prometheus: Server
    alertmanager: Server
    inbox: Inbox
    begun: float


def traffic(port: int, ended: threading.Event) -> None:
    """Send some forty requests a second; one in four to strategies is refused."""
    number = 0
    while not ended.wait(0.05):
        number += 1
        stage = "Series A" if number % 4 == 0 else "seed"
        body = json.dumps({"stageAllocation": {stage: 1}}).encode()
        exchange(port, request("POST", f"{STRATEGIES}?fundId=7", body=body))
        body = json.dumps({"fundId": 7, "stageDistribution": [{"stage": stage, "weight": 1}]}).encode()
        exchange(port, request("POST", SIMULATE, body=body))


@pytest.fixture(scope="module")
def stack(recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("live")
    (folder / "token").write_text("the token\n")
    config = configuration(recorder.port, endpointMode={STRATEGIES: "enforce"}, dryRun=True)
    registry = CollectorRegistry()
    for name, labels in migration_gauges().items():
        gauge = Gauge(name, "As in a migration.", labels, registry=registry)
        for child in [gauge.labels("done"), gauge.labels("pending")] if labels else [gauge]:
            child.set(time.time() if name.endswith("_seconds") else 3)
    with ExitStack() as running:
        gateway = running.enter_context(Gateway(folder, config))
        server, thread = start_http_server(0, "127.0.0.1", registry)
        running.callback(thread.join, 5)
        running.callback(server.server_close)
        running.callback(server.shutdown)
        inbox = Inbox()
        running.callback(inbox.close)
        address = f"http://127.0.0.1:{inbox.server.server_port}"
        manager = running.enter_context(alertmanager(folder, address, folder / "token"))
        targets = {"stage-gateway": [gateway.admin], "stage-migration": [server.server_port]}
        begun = time.time()
        watching = running.enter_context(prometheus(folder, targets, manager.port, **QUICK))
        ended = threading.Event()
        sending = threading.Thread(target=traffic, args=(gateway.port, ended))
        sending.start()
        running.callback(sending.join, 10)
        running.callback(ended.set)
        _change_everything(gateway, config, watching)
        yield Stack(watching, manager, inbox, begun)


def _change_everything(gateway: Gateway, config: dict[str, Any], watching: Server) -> None:
    """Change mode, percentage and override, each seen by Prometheus before and after."""
    mode = f'stage_gateway_endpoint_mode{{endpoint="{SIMULATE}", mode="warn"}} == 1'
    eventually(lambda: watching.query(mode), timeout=20)
    gateway.write(
        {
            **config,
            "endpointMode": {STRATEGIES: "enforce", "/api/funds/:fundId/companies": "off"},
            "enforcementPercent": 99.5,
        }
    )
    assert gateway.hold(SIMULATE, "warn")[0] == 200
    gateway.reload()
    eventually(lambda: watching.query("stage_gateway_enforcement_percent == 99.5"), timeout=20)
    eventually(lambda: watching.query("stage_gateway_override == 1"), timeout=20)
    assert gateway.hold(SIMULATE, None)[0] == 200


def shown(expression: str) -> str:
    """Return a dashboard's expression as Grafana would send it, with the quick window for its own."""
    values = {"$__rate_interval": "5s", "$__range": "60s", "$endpoint": ".+", " offset 2m": " offset 2s"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def expressions() -> list[Any]:
    return [
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in panels()
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_panel_shows_something(stack: Stack, expression: str) -> None:
    """Each query of each panel returns series with finite values."""

    def finite() -> bool:
        return any(math.isfinite(float(series["value"][1])) for series in stack.prometheus.query(shown(expression)))

    eventually(finite, timeout=30)


@pytest.mark.parametrize("annotation", dashboard()["annotations"]["list"], ids=lambda annotation: annotation["name"])
def test_every_change_was_an_annotation(stack: Stack, annotation: dict[str, Any]) -> None:
    """Each annotation marks the change that was made, and its title names labels that are there."""
    expression = shown(annotation["expr"])
    eventually(lambda: stack.prometheus.history(expression, time.time() - stack.begun), timeout=30)
    for series in stack.prometheus.history(expression, time.time() - stack.begun):
        assert set(re.findall(r"{{(\w+)}}", annotation["titleFormat"])) <= set(series["metric"])


def test_a_demotion_reaches_the_gateway_with_the_token(stack: Stack) -> None:
    """StageInvalidRateCeiling fires for both endpoints; Alertmanager posts each to /-/alerts with the bearer token."""

    def asked() -> set[str]:
        return {alert["labels"]["endpoint"] for _, _, body in stack.inbox.got for alert in body["alerts"]}

    eventually(lambda: asked() == {STRATEGIES, SIMULATE}, timeout=30)
    for path, authorization, body in stack.inbox.got:
        assert (path, authorization) == ("/-/alerts", "Bearer the token")
        assert body["status"] == "firing"
        assert body["commonLabels"]["action"] == "demote"
        assert body["commonLabels"]["alertname"] == "StageInvalidRateCeiling"


def test_no_other_alert_fires(stack: Stack) -> None:
    """What fires is what was provoked, with `endpoint` and `severity` on every alert."""
    firing = 'count by (alertname, endpoint) (ALERTS{alertstate="firing", alertname!="StageOverrideActive"})'
    provoked = {
        ("StageInvalidRateCeiling", STRATEGIES),
        ("StageInvalidRateHigh", STRATEGIES),
        ("StageInvalidRateCeiling", SIMULATE),
        ("StageInvalidRateHigh", SIMULATE),
        ("StageWouldRejectTooHigh", STRATEGIES),
        ("StageWouldRejectTooHigh", SIMULATE),
    }

    def found() -> set[tuple[str, str]]:
        return {(one["metric"]["alertname"], one["metric"]["endpoint"]) for one in stack.prometheus.query(firing)}

    # The stand-in for a migration makes no progress; and before its first scrape Prometheus missed everything.
    eventually(lambda: found() - {("StageMigrationStalled", "all")} == provoked, timeout=30)


def test_every_rule_is_well(stack: Stack) -> None:
    """Prometheus has evaluated every rule without an error."""

    def rules() -> list[dict[str, Any]]:
        groups = stack.prometheus.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: all(rule["health"] != "unknown" for rule in rules()), timeout=20)
    assert [(rule["name"], rule.get("lastError")) for rule in rules() if rule["health"] != "ok"] == []


def test_the_inhibited_alert_is_not_sent_on(stack: Stack) -> None:
    """Above the ceiling, StageInvalidRateHigh of the same endpoint is inhibited."""

    def inhibited() -> set[str]:
        return {
            alert["labels"]["endpoint"]
            for alert in stack.alertmanager.get("/api/v2/alerts")
            if alert["labels"]["alertname"] == "StageInvalidRateHigh" and alert["status"]["inhibitedBy"]
        }

    eventually(lambda: inhibited() == {STRATEGIES, SIMULATE}, timeout=20)
