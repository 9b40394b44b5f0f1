"""`stage-gateway readiness` by a real Prometheus that scrapes real gateways, and by one that lies."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.clock import eventually
from support.liar import Answer, Change, lying
from support.process import Gateway, configuration
from support.prometheus import Server, free_port, prometheus
from support.upstream import RecordingUpstream
from support.wire import exchange
from support.workers import BAD, GOOD, STRATEGIES

from gateway.cli import main

Document = dict[str, Any]


@dataclass
class Scraped:
    """Two gateways, the Prometheus that scrapes them, and a plan in whose first step they are."""

    gateways: list[Gateway]
    prometheus: Server
    plan: Path

    def ask(self, *words: str) -> tuple[int, Document, str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["readiness", "--plan", str(self.plan), "--json", *words])
        return code, json.loads(out.getvalue() or "{}"), err.getvalue()

    def counted(self) -> float:
        found = self.prometheus.query("sum(stage_validation_validations_total)")
        return float(found[0]["value"][1]) if found else 0


@pytest.fixture(scope="module")
def scraped(recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    config = configuration(recorder.port, endpointMode={STRATEGIES: "enforce"}, dryRun=True)
    (folder / "a.json").write_text(json.dumps(config))
    gates = {"minValidations": 100, "p99FloorSeconds": 2}
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"gates": gates, "phases": [{"file": "a.json", "percent": [10, 100]}]}))
    with ExitStack() as running:
        gateways = [
            running.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), {**config, "enforcementPercent": 10}))
            for _ in range(2)
        ]
        targets = {"stage-gateway": [one.admin for one in gateways], "stage-migration": [free_port()]}
        server = running.enter_context(prometheus(folder, targets, free_port()))
        found = Scraped(gateways, server, plan)
        eventually(lambda: len(server.query("count_over_time(stage_gateway_config_info[1m]) >= 2")) == 2)
        for gateway in gateways:
            for _ in range(60):
                exchange(gateway.port, GOOD)
        eventually(lambda: found.counted() == 120)
        eventually(
            lambda: all(
                rule["health"] == "ok" for g in server.get("/api/v1/rules")["data"]["groups"] for rule in g["rules"]
            )
        )
        yield found


@pytest.fixture(autouse=True)
def environment(scraped: Scraped, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://127.0.0.1:{scraped.prometheus.port}")


def test_ready(scraped: Scraped) -> None:
    """What Prometheus has of both gateways is summed, and is READY where nothing speaks against it."""
    code, told, err = scraped.ask()
    assert (code, told.get("answer"), told.get("doubts"), err) == (0, "READY", [], "")
    found = {one["figure"]: (one["value"], one["answer"]) for one in told["findings"]}
    assert found["validations"] == ("120", "READY")
    assert found["alerts"] == ("none", "READY")


def test_beside_the_gateways(scraped: Scraped) -> None:
    """Gateways that are named beside Prometheus have to say the same; one that it does not know is a doubt."""
    admins = [word for one in scraped.gateways for word in ("--admin", f"http://127.0.0.1:{one.admin}")]
    assert scraped.ask(*admins)[0] == 0
    code, told, _ = scraped.ask(*admins, "--admin", f"http://127.0.0.1:{free_port()}")
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")


def test_another_gateway_than_prometheus_knows(scraped: Scraped, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Gateways with another configuration than Prometheus has are a doubt that names both."""
    with Gateway(tmp_path, configuration(recorder.port)) as other:
        code, told, _ = scraped.ask("--admin", f"http://127.0.0.1:{other.admin}")
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert any("Prometheus has configuration" in doubt for doubt in told["doubts"])


def html(*_: object) -> Answer:
    return 200, b"<!doctype html><title>Sign in</title>"


def when(part: str, change: Callable[[Document], Answer | Document | None]) -> Change:
    """Return what changes the answers to whatever is asked with this part; a change in place may return nothing."""

    def told(asked: str, answer: Document) -> Answer | Document:
        return (change(answer) or answer) if part in asked else answer

    return told


def each_value(change: Callable[[list[Any]], None]) -> Callable[[Document], None]:
    def told(answer: Document) -> None:
        for one in answer["data"]["result"]:
            change(one["value"])

    return told


def put(place: int, value: object) -> Callable[[list[Any]], None]:
    return lambda sample: sample.__setitem__(place, value)


def fire(answer: Document) -> None:
    labels = {"alertname": "StageValidatorErrors", "endpoint": "/api/other"}
    answer["data"]["alerts"].append({"labels": labels, "state": "firing", "activeAt": "", "value": "1"})


def of_rules(change: Callable[[Document], object]) -> Callable[[Document], None]:
    def told(answer: Document) -> None:
        for group in answer["data"]["groups"]:
            for rule in group["rules"]:
                change(rule)

    return told


def skew(answer: Document) -> None:
    later = time.time() + 3600
    answer["data"]["result"] = [later, str(later)]


MAX = "max_over_time(stage_validation_validations_total"
LIES: dict[str, Change] = {
    "numbers for texts": when(MAX, each_value(put(1, 120))),
    "texts for numbers": when(MAX, each_value(put(0, "120"))),
    "an underline in a number": when(MAX, each_value(put(1, "1_000"))),
    "empty": when(MAX, each_value(put(1, ""))),
    "NaN": when(MAX, each_value(put(1, "NaN"))),
    "infinity": when(MAX, each_value(put(1, "+Inf"))),
    "of another time": when(MAX, each_value(put(0, 1.0))),
    "no result": when(MAX, lambda answer: answer["data"].update(result=[])),
    "one series twice": when(MAX, lambda answer: answer["data"]["result"].extend(answer["data"]["result"][:1])),
    "no data": when(MAX, lambda answer: answer.pop("data")),
    "another kind": when(MAX, lambda answer: answer["data"].update(resultType="matrix")),
    "an error": when(MAX, lambda _: (503, b'{"status":"error","errorType":"timeout","error":"query timed out"}')),
    "an error that is called 200": when(MAX, lambda answer: answer.update(status="error")),
    "HTML": when(MAX, html),
    "cut off": when(MAX, lambda answer: (200, json.dumps(answer).encode()[:-9])),
    "resets": when("resets(", each_value(put(1, "1"))),
    "a warning": when(MAX, lambda answer: answer.update(warnings=["some blocks were not read"])),
    "no alerts": when("/api/v1/alerts", html),
    "no rules": when("/api/v1/rules", lambda answer: answer["data"].update(groups=[])),
    "a rule that fails": when("/api/v1/rules", of_rules(lambda rule: rule.update(health="err"))),
    "a rule of long ago": when(
        "/api/v1/rules", of_rules(lambda rule: rule.update(lastEvaluation="2020-01-01T00:00:00.123456789Z"))
    ),
    "a rule of no time": when("/api/v1/rules", of_rules(lambda rule: rule.update(lastEvaluation="lately"))),
    "an override nobody counts": when("query=up", html),
}


@pytest.mark.parametrize("name", LIES)
def test_lie(scraped: Scraped, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is not just what Prometheus' interface promises is never READY."""
    with lying(scraped.prometheus.port, LIES[name]) as port:
        monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        code, told, err = scraped.ask()
    assert code in {1, 3}
    assert told.get("answer", "INSUFFICIENT_DATA") == "INSUFFICIENT_DATA"
    assert told.get("doubts") or err


@pytest.mark.parametrize("change", [html, when("time()", skew)], ids=["HTML everywhere", "another clock"])
def test_nothing_can_be_asked(scraped: Scraped, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """A Prometheus that answers nothing to rely on ends by 3; beside gateways it is a doubt."""
    with lying(scraped.prometheus.port, change) as port:
        monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        code, told, err = scraped.ask()
        assert (code, told) == (3, {})
        assert err.startswith(f"http://127.0.0.1:{port}")
        code, told, _ = scraped.ask("--admin", f"http://127.0.0.1:{scraped.gateways[0].admin}")
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")


def test_no_prometheus_there(scraped: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prometheus that cannot be reached ends by 3, and its password is not told."""
    monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://user:secret@127.0.0.1:{free_port()}")
    code, _, err = scraped.ask()
    assert code == 3
    assert "Connection refused" in err
    assert "secret" not in err


def test_alert_fires(scraped: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named alert that fires is NOT_READY, and told with its endpoint; for another endpoint alone it says nothing."""
    with lying(scraped.prometheus.port, when("/api/v1/alerts", fire)) as port:
        monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        code, told, _ = scraped.ask()
        assert (code, told["answer"]) == (1, "NOT_READY")
        [alerts] = [one for one in told["findings"] if one["figure"] == "alerts"]
        assert alerts["value"] == "StageValidatorErrors (/api/other)"
        assert scraped.ask(STRATEGIES)[0] == 0


def test_held(scraped: Scraped) -> None:
    """An endpoint that one gateway holds at warn is NOT_READY or a doubt, by what Prometheus scraped alone."""
    scraped.gateways[0].hold(STRATEGIES, "warn")
    held = "sum(stage_gateway_override)"
    eventually(lambda: float(scraped.prometheus.query(held)[0]["value"][1]) == 1)
    code, told, _ = scraped.ask()
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")  # their modes differ
    assert [one["answer"] for one in told["findings"] if one["figure"] == "override"] == ["NOT_READY"]
    scraped.gateways[1].hold(STRATEGIES, "warn")
    eventually(lambda: float(scraped.prometheus.query(held)[0]["value"][1]) == 2)
    assert scraped.ask()[1]["answer"] == "NOT_READY"
    for gateway in scraped.gateways:
        gateway.hold(STRATEGIES, None)
    eventually(lambda: float(scraped.prometheus.query(held)[0]["value"][1]) == 0)
    assert scraped.ask()[0] == 0


def test_begins_anew_with_another_configuration(scraped: Scraped) -> None:
    """A new configuration begins at nothing: what came before does not count."""
    changed = json.loads(scraped.gateways[0].file.read_text())
    for gateway in scraped.gateways:
        gateway.write({**changed, "enforcementPercent": 25})
        gateway.reload()
    told_by_all = 'count(count_over_time(stage_gateway_config_info{config="%s"}[1m]) >= 3) == 2'
    config = scraped.gateways[0].status()["config"]["fingerprint"]
    eventually(lambda: scraped.prometheus.query(told_by_all % config))
    exchange(scraped.gateways[0].port, BAD)
    eventually(lambda: scraped.counted() == 121)
    _, told, _ = scraped.ask()
    found = {one["figure"]: one["value"] for one in told["findings"] if one["endpoint"] == STRATEGIES}
    assert (found["validations"], found["refused"]) == ("1", "100 % (1)")
    assert (told["step"], told["answer"]) == (None, "INSUFFICIENT_DATA")
