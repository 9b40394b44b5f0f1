"""The rules: made from the numbers, right by promtool, and each with a case that a naive form fails."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.prometheus import FILES, RULES, generate, run

from gateway.promotion.gates import ALERTS

CASES = sorted(path.name for path in RULES.glob("*.test.yml"))
NAMED = set(ALERTS)  # so a plan can name each alert that there is, and no other


@dataclass(frozen=True)
class Naive:
    """A form that looks right, in the place of ours, and the named promtool test that tells them apart."""

    what: str
    test: str
    ours: str
    theirs: str
    file: str = "recording.yml"


FLOOR = "or\n      stage_validation_requests:rate * 0 + 0.01"
CLAMP = "clamp(\n        {} * 2,\n        {}\n      )"
RATIO = "/ (stage_validation_requests:rate > 0)"
NO_TARGET = 'absent(up{job="stage-gateway"} == 1)'
PAST = "sum_over_time(stage_validation_{}:rate[24h] offset 1d)"
NAIVE = [
    Naive("a baseline that ends now takes the incident for normal", "incidents", " offset 1d", ""),
    Naive(
        "a mean of ratios weighs a quiet night like a busy day",
        "incidents",
        f"{PAST.format('invalid')}\n      /\n      ({PAST.format('requests')} > 0)",
        "avg_over_time(stage_validation_invalid_rate:ratio[24h] offset 1d)",
    ),
    Naive(
        "max with vector(0.01) loses the endpoint",
        "incidents",
        f"{CLAMP.format('stage_validation_invalid_rate:baseline', '0.01, 0.1')}\n      {FLOOR}",
        "max(vector(0.01) or stage_validation_invalid_rate:baseline * 2)",
    ),
    Naive("without a ceiling an incident excuses itself after a day", "incidents", "0.01, 0.1\n", "0.01, 1\n"),
    Naive("without a floor in its place a cold start is blind", "a renamed endpoint", f"\n      {FLOOR}", ""),
    Naive(
        "a ratio to at least one request a second reads 10 % of 100 %",
        "low traffic",
        RATIO,
        "/ clamp_min(stage_validation_requests:rate, 1)",
    ),
    Naive("a ratio of nothing is NaN", "low traffic", RATIO, "/ stage_validation_requests:rate"),
    Naive("a ratio of nothing is NaN at night", "zero traffic", RATIO, "/ stage_validation_requests:rate"),
    Naive(
        "a share of nothing is NaN at night",
        "zero traffic",
        "/\n      (stage_validation_requests:rate > 0)\n  - record: stage_gateway_config",
        "/\n      stage_validation_requests:rate\n  - record: stage_gateway_config",
    ),
    Naive(
        "no traffic is no missing counter",
        "zero traffic",
        "sum by (endpoint) (stage_validation_validations_total)",
        "sum by (endpoint) (rate(stage_validation_validations_total[5m])) > 0",
        "alerts.yml",
    ),
    Naive("a handful of requests alerts", "low traffic", "requests:count >= 30", "requests:count >= 0", "alerts.yml"),
    Naive(
        "no errors seen, no ratio",
        "errors that are missing",
        "\n      or\n      stage_validation_requests:rate * 0\n",
        "\n",
    ),
    Naive(
        "what would be refused goes quiet as more is refused",
        "would-reject as enforcement grows",
        'result=~"would_reject|reject"',
        'result="would_reject"',
    ),
    Naive("a scrape gap ends an alert", "a scrape gap", "    keep_firing_for: 15m\n", "", "alerts.yml"),
    Naive("a scrape gap is an alert", "a scrape gap", "    for: 10m\n", "", "alerts.yml"),
    Naive(
        "a page for one replica of three",
        "one replica of three gone",
        NO_TARGET,
        'up{job="stage-gateway"} == 0',
        "alerts.yml",
    ),
    Naive(
        "no page when there is nothing to scrape",
        "all replicas gone",
        NO_TARGET,
        'max by (job) (up{job="stage-gateway"}) == 0',
        "alerts.yml",
    ),
    Naive(
        "absent() of a counter is content with any other endpoint's",
        "counters missing",
        'max by (endpoint) (stage_gateway_endpoint_mode{mode!="off"} == 1)',
        "absent(stage_validation_validations_total)",
        "alerts.yml",
    ),
    Naive("the slope of a counter dips at a reset", "counter resets", "(rate(", "(deriv("),
    Naive(
        "twice a p99 near the last bucket is never reached",
        "latency",
        CLAMP.format("stage_validation_latency:p99_baseline", "0.005, 0.1"),
        "clamp_min(stage_validation_latency:p99_baseline * 2, 0.005)",
    ),
    Naive("the p99 of nothing is NaN", "latency", "latency:rate) >= 0", "latency:rate)"),
    Naive("a failed reload is forgotten after five minutes", "failed reloads", "[1d:5m]", "[5m:5m]"),
]


def named(test: str) -> dict[str, object]:
    """Return a file for promtool with only the test of this name."""
    for case in CASES:
        document: dict[str, object] = yaml.safe_load((RULES / case).read_text())
        tests = document["tests"]
        assert isinstance(tests, list)
        found = [one for one in tests if one["name"] == test]
        if found:
            return {**document, "tests": found}
    raise AssertionError(test)


def test_the_committed_rules_are_those_of_the_numbers(tmp_path: Path) -> None:
    """Generating again changes nothing."""
    generate(tmp_path)
    for name in FILES:
        assert (RULES / name).read_text() == (tmp_path / name).read_text(), "run `make rules`"


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ("", "'job' is missing"),
        ('rate_window = "5 minutes"', "'5 minutes' is no duration"),
        ("factor =", "Invalid value"),
    ],
)
def test_wrong_numbers_are_named(numbers: str, complaint: str, tmp_path: Path) -> None:
    """A missing or malformed number is named in one line, and no rules are written."""
    text = (RULES / "numbers.toml").read_text()
    name = numbers.partition(" ")[0] or "job"
    (tmp_path / "numbers.toml").write_text(re.sub(rf"^{name} =.*$", numbers, text, flags=re.MULTILINE))
    command = [sys.executable, str(RULES / "generate.py"), "--output", str(tmp_path)]
    made = subprocess.run(
        [*command, "--numbers", str(tmp_path / "numbers.toml")], capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr.count("\n")) == (2, 1)
    assert complaint in made.stderr
    assert not (tmp_path / "alerts.yml").exists()


def test_promtool_finds_nothing_to_say_about_the_rules() -> None:
    """`promtool check rules` passes without warnings."""
    code, said = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert code == 0, said
    assert [line for line in said.split("\n") if line and "SUCCESS" not in line and "Checking" not in line] == [], said


@pytest.mark.parametrize("case", CASES)
def test_promtool_cases_pass(case: str) -> None:
    """`promtool test rules` passes on every case."""
    code, said = run("promtool", "test", "rules", case)
    assert code == 0, said


@pytest.mark.parametrize("naive", NAIVE, ids=lambda naive: naive.what)
def test_a_naive_form_fails_the_same_case(naive: Naive, tmp_path: Path) -> None:
    """The case is there for a reason: with the naive form in place of ours it fails, and not for its syntax."""
    for name in FILES:
        shutil.copy(RULES / name, tmp_path)
    text = (tmp_path / naive.file).read_text()
    assert naive.ours in text
    (tmp_path / naive.file).write_text(text.replace(naive.ours, naive.theirs))
    (tmp_path / "case.yml").write_text(yaml.safe_dump(named(naive.test)))
    code, said = run("promtool", "check", "rules", naive.file, folder=tmp_path)
    assert code == 0, said
    code, said = run("promtool", "test", "rules", "case.yml", folder=tmp_path)
    assert code == 1, said
    assert "got:" in said, said


def test_a_child_that_appears_at_its_first_event_hides_the_burst(tmp_path: Path) -> None:
    """The case of a late endpoint passes only because its children are there at 0 before the first event."""
    for name in FILES:
        shutil.copy(RULES / name, tmp_path)
    text = yaml.safe_dump(named("a late endpoint"))
    for case, values, wanted in (("zero", "_x60 0x2 300x57", 0), ("none", "_x63 300x57", 1)):
        (tmp_path / f"{case}.yml").write_text(text.replace("_x60 0x2 300x57", values))
        code, said = run("promtool", "test", "rules", f"{case}.yml", folder=tmp_path)
        assert code == wanted, said


def test_every_alert_says_what_a_person_and_a_router_need() -> None:
    """Each named alert is there, with its labels and annotations; just two ask for a demotion."""
    [group] = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    assert {rule["alert"] for rule in group["rules"]} == NAMED
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert "endpoint" in rule["labels"] or "endpoint" in rule["expr"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    demoting = {rule["alert"] for rule in group["rules"] if rule["labels"].get("action") == "demote"}
    assert demoting == {"StageInvalidRateCeiling", "StageValidatorErrors"}
