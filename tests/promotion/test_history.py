"""`stage-gateway readiness` by a real Prometheus that remembers hours and days, and by what is wrong with them."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import eventually
from support.history import History, Labels, Lie
from support.process import configuration
from support.prometheus import Server, remembering

from gateway.cli import main
from gateway.promotion.loading import load_plan

STRATEGIES = "/api/portfolio/strategies"
VALIDATIONS = "stage_validation_validations_total"
COMING = -1e9  # an age after all samples


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    config = configuration(9, endpointMode={STRATEGIES: "enforce"}, dryRun=True)
    (tmp_path / "a.json").write_text(json.dumps(config))
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"phases": [{"file": "a.json", "percent": [10, 100]}]}))
    return file


@pytest.fixture
def history(plan: Path) -> History:
    rules = load_plan(plan).steps[0].rules
    return History(STRATEGIES, rules.fingerprint, rules.policy.vocabulary.fingerprint)


Ask = Callable[..., tuple[int, dict[str, Any], str]]


def are_evaluated(server: Server) -> bool:
    groups = server.get("/api/v1/rules")["data"]["groups"]
    return all(rule["health"] == "ok" for group in groups for rule in group["rules"])


@pytest.fixture
def ask(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return what asks a Prometheus with some history: the exit code, the answer, and what stands on standard error."""
    monkeypatch.chdir(tmp_path)

    def asked(history: History, *words: str) -> tuple[int, dict[str, Any], str]:
        with remembering(tmp_path, history.samples()) as server:
            eventually(lambda: are_evaluated(server))
            monkeypatch.setenv("STAGE_GATEWAY_PROMETHEUS_URL", f"http://127.0.0.1:{server.port}/")
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = main(["readiness", "--plan", str(plan), "--json", *words])
        return code, json.loads(out.getvalue() or "{}"), err.getvalue()

    return asked


def test_an_hour_of_two_gateways(ask: Ask, history: History) -> None:
    """A whole hour of two gateways is READY; what they counted is their sum since the step, and nothing from before."""
    code, told, err = ask(history)
    assert (code, told.get("answer"), told.get("doubts"), err) == (0, "READY", [], "")
    found = {one["figure"]: one for one in told["findings"]}
    counted = float(found["validations"]["value"].replace(",", ""))
    assert 2 * (3600 - 61) <= counted <= 2 * 3600
    assert found["unknown values"]["threshold"] == "at most 0.1 %"
    assert told["about"] == "from step 1 of 2, a at 10 %, to step 2, a at 100 %"


def test_days(ask: Ask, history: History) -> None:
    """A step that has been in force for days is measured whole, in pieces that Prometheus answers."""
    long = replace(history, step_age=4 * 86_400, age=4 * 86_400 + 600, interval=60)
    code, told, _ = ask(long)
    assert (code, told["answer"], told["doubts"]) == (0, "READY", [])


def lie(metric: str, change: Callable[[float, float], float | None], **only: str) -> Lie:
    """Return the lie that changes one metric of the first gateway, by age and value, where labels are these."""

    def told(name: str, labels: Labels, age: float, value: float) -> float | None:
        if name != metric or labels["instance"] != "10.0.0.1:8081" or not only.items() <= labels.items():
            return value
        return change(age, value)

    return told


def gap(begin: float, end: float) -> Lie:
    """Return the lie that nothing was scraped of the first gateway from one age to another."""

    def told(_: str, labels: Labels, age: float, value: float) -> float | None:
        return None if labels["instance"] == "10.0.0.1:8081" and end < age < begin else value

    return told


LIES: dict[str, tuple[Lie, str]] = {
    "NaN": (lie(VALIDATIONS, lambda _, __: float("nan"), result="pass"), "has values that are no counts"),
    "negative": (lie(VALIDATIONS, lambda _, value: -value - 1, result="pass"), "has values that are no counts"),
    "infinite": (lie(VALIDATIONS, lambda _, __: float("inf"), result="pass"), "has values that are no counts"),
    "no series": (lie(VALIDATIONS, lambda _, __: None), "series are not there"),
    "one result missing": (lie(VALIDATIONS, lambda _, __: None, result="reject"), "2 of its series are not there"),
    "a bucket missing": (
        lie("stage_validation_duration_seconds_bucket", lambda _, __: None, le="+Inf"),
        "1 of its series are not there",
    ),
    "vanished for part": (
        lie(VALIDATIONS, lambda age, value: None if 1000 < age < 1200 else value, result="would_reject"),
        "was not there for part of the time",
    ),
    "vanished at last": (
        lie(VALIDATIONS, lambda age, value: value if age > 100 else None, result="reject"),
        "was not there for part of the time",
    ),
    "stale": (gap(190, COMING), "its last sample is "),
    "gone long ago": (gap(3000, COMING), "was there since the step, and has gone"),
    "gap": (gap(2000, 1690), "without samples, until"),
    "gap at the begin": (gap(9000, 3200), "without samples, until"),
    "reset": (
        lie(VALIDATIONS, lambda age, value: value if age > 1800 else value - 7200, result="pass", mode="warn"),
        "fell within that time",
    ),
    "counted otherwise than judged": (
        lie(VALIDATIONS, lambda _, value: 2 * value, result="pass"),
        "expected as many",
    ),
    "down": (lie("up", lambda _, __: 0), "is down, or its scrapes fail"),
    "no up": (lie("up", lambda _, __: None), "there is no `up` of it"),
    "since later": (
        lie("stage_gateway_config_in_force_since_seconds", lambda _, value: value + 7200),
        "later than it is now",
    ),
    "since NaN": (
        lie("stage_gateway_config_in_force_since_seconds", lambda _, __: float("nan")),
        "later than it is now",
    ),
    "no since": (
        lie("stage_gateway_config_in_force_since_seconds", lambda _, __: None),
        "does not tell stage_gateway_config_in_force_since_seconds",
    ),
    "since the beginning of time": (
        lambda metric, _, __, value: 1.0 if metric == "stage_gateway_config_in_force_since_seconds" else value,
        "over 90 days",
    ),
    "dry run differs": (lie("stage_gateway_dry_run", lambda _, __: 0), "differ in their dry run"),
    "modes differ": (
        lie("stage_gateway_endpoint_mode", lambda _, value: 1 - value, mode="enforce"),
        "differ in their modes",
    ),
    "no mode": (lie("stage_gateway_endpoint_mode", lambda _, __: 0), "does not tell the mode of"),
    "no sample of any gateway": (lambda metric, _, __, value: value if metric == "up" else None, "has no samples of"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_wrong_is_never_ready(ask: Ask, history: History, name: str) -> None:
    """Whatever is missing, stale, or contradicts itself in what Prometheus has is a doubt that names it."""
    told_lie, expected = LIES[name]
    code, told, _ = ask(replace(history, lie=told_lie))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert any(expected in doubt for doubt in told["doubts"]), told["doubts"]


def test_two_fingerprints(ask: Ask, history: History) -> None:
    """Two configurations, or two vocabularies, in force are a doubt."""
    other = replace(history, config="another", vocabulary="other", lie=gap(9001, COMING)).samples()

    class Both(History):
        def samples(self) -> str:
            first = replace(history, lie=lambda _, labels, __, v: v if "1:" in labels["instance"] else None).samples()
            return first.removesuffix("# EOF\n") + other

    code, told, _ = ask(Both(history.endpoint, history.config, history.vocabulary))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    for what in ("configuration", "vocabulary"):
        assert any(f"differ in their {what}" in doubt for doubt in told["doubts"]), told["doubts"]


@pytest.mark.parametrize("seconds", [2100, 1690], ids=["before the gap", "after the gap"])
def test_only_after_the_gap(ask: Ask, history: History, seconds: float) -> None:
    """`--since` measures what came after a gap; from a time before it the gap is still one."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds - 60)
    lying = replace(history, lie=gap(2000, 1690))
    code, told, _ = ask(lying, "--since", moment.isoformat())
    after = seconds == 1690
    assert (code, told["answer"]) == ((0, "READY") if after else (1, "INSUFFICIENT_DATA"))


@pytest.mark.parametrize("age", [3700, -600], ids=["before the step", "in the future"])
def test_since_within_the_step(ask: Ask, history: History, age: float) -> None:
    """`--since` never reaches back past the step in force, nor beyond now."""
    code, _, err = ask(history, "--since", (datetime.now(UTC) - timedelta(seconds=age)).isoformat())
    assert code == 2
    assert err.startswith("--since: got ")


@pytest.mark.parametrize(("errors", "answer"), [(0, "READY"), (1, "NOT_READY")])
def test_one_internal_error(ask: Ask, history: History, errors: int, answer: str) -> None:
    """One fault of the validator since the step is one too many, though it came before the first scrape."""
    at_once = lie("stage_validation_errors_total", lambda age, _: errors if age < 3600 else 0, reason="internal_error")
    assert ask(replace(history, lie=at_once))[1]["answer"] == answer


@pytest.mark.parametrize(("refused", "answer"), [(17, "READY"), (19, "NOT_READY")])
def test_refused_by_all_together(ask: Ask, history: History, refused: int, answer: str) -> None:
    """The share of refusals is that of all gateways together: half a percent of both is one percent of one."""

    def some(_: str, labels: Labels, age: float, value: float) -> float | None:
        if labels["instance"] != "10.0.0.1:8081" or age > 1800:
            return value
        is_counted = labels.get("result") == "would_reject" and labels["mode"] == "warn"
        return value + 2 * refused if is_counted or "le" in labels else value

    assert ask(replace(history, lie=some))[1]["answer"] == answer
