"""`stage-gateway rollback`: the whole way back at once, and the way forward again."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from support.clock import within
from support.length import examples
from support.process import Gateway, Serve, configuration
from support.rollback import (
    BACK,
    COMPANIES,
    MODES,
    ONE,
    SECONDS,
    SIMULATE,
    STRATEGIES,
    Rollback,
    address,
    demote,
    hold,
    modes,
    reads,
)
from support.upstream import RecordingUpstream


class TestBack:
    def test_all_is_back(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """What was stricter is in warn on every gateway, readers see legacy values, in two seconds, and it is said."""
        with within(SECONDS):
            made = both("--reason", "bad aliases")
        assert (made.code, made.err) == (0, "")
        assert [modes(gateway) for gateway in gateways] == [BACK, BACK]
        assert reads(both.migration) == "legacy"
        for gateway in gateways:
            endpoints = gateway.status()["endpoints"]
            assert {endpoints[one]["override"]["reason"] for one in (STRATEGIES, ONE)} == {"bad aliases"}
            assert [endpoints[one]["override"] for one in (SIMULATE, COMPANIES)] == [None, None]
            assert f"{address(gateway)}: held at warn: {STRATEGIES}, {ONE}" in made.out
        assert "readers are shown legacy values\n" in made.out
        assert "modes and reads are back after" in made.out
        assert made.out.splitlines()[-1].endswith("all checks hold")

    def test_lines(self, both: Rollback) -> None:
        """Every step is one line that begins with the time it took."""
        lines = [line.split() for line in both().out.splitlines()]
        steps = [line[2] for line in lines if line[1:2] == ["ms"]]
        assert sorted(steps[:3]) == ["modes", "modes", "reads"]
        assert steps[3:] == ["verify"]

    def test_json(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """`--json` tells the same: each step with place, time and outcome, and the report of the verifier."""
        code, document = both.document()
        assert (code, document["rehearsed"], document["back"]) == (0, False, True)
        steps = document["steps"]
        assert {(step["step"], step["outcome"]) for step in steps} == {
            (s, "done") for s in ("modes", "reads", "verify")
        }
        held = {step["place"]: step["held"] for step in steps if step["step"] == "modes"}
        assert held == {address(gateway): [STRATEGIES, ONE] for gateway in gateways}
        assert all(step["seconds"] >= 0 for step in steps)
        assert steps[-1]["report"]["violations"] == []
        assert [step["reads"] for step in steps if step["step"] == "reads"] == ["legacy"]

    def test_forward_again(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """The commands that it prints lead forward again, to where everything was."""
        made = both()
        commands = [line.strip() for line in made.out.splitlines() if line.startswith("  stage-gateway ")]
        assert len(commands) == 3
        for command in commands:
            done = both.plainly(*shlex.split(command)[1:])
            assert done.code == 0, done
        assert [modes(gateway) for gateway in gateways] == [MODES, MODES]
        assert reads(both.migration) == "canonical"
        assert both.document()[1]["forward"] == commands

    def test_twice(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """A second rollback changes nothing, and tells apart what was held before it."""
        both()
        before = [gateway.status()["endpoints"] for gateway in gateways]
        code, document = both.document("--reason", "another")
        assert code == 0
        assert [gateway.status()["endpoints"] for gateway in gateways] == before
        assert [step["kept"].keys() for step in document["steps"] if "kept" in step] == [{STRATEGIES, ONE}] * 2
        assert [command.split()[1] for command in document["forward"]] == ["reads"]
        assert [command.split()[3] for command in document["forwardOfHeldBefore"]] == [STRATEGIES, ONE]
        assert "legacy values, as before" in both().out

    def test_what_is_held_stays(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """What a person holds stays as it is, off or warn, and the end of it is told."""
        hold(gateways[0], STRATEGIES, "off")
        hold(gateways[0], ONE, "warn", seconds=3600)
        before = gateways[0].status()["endpoints"]
        made = both()
        assert (made.code, gateways[0].status()["endpoints"]) == (0, before)
        until = before[ONE]["override"]["until"]
        assert f"held before at off by tester: {STRATEGIES}" in made.out
        assert f"held before at warn by tester until {until}, and in enforce then: {ONE}" in made.out

    def test_verifier_finds_something(self, both: Rollback) -> None:
        """What the verifier finds is shown, and changes nothing about the exit."""
        both.migration.execute("ALTER TABLE portfoliocompanies DISABLE TRIGGER ALL")
        both.migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = 10000000003")
        made = both()
        assert made.code == 0
        assert "violation: canonical: public.portfoliocompanies.stage, fund" in made.out
        assert both.document()[1]["steps"][-1]["outcome"] == "violations"


FEW = tuple(f"/api/{number}" for number in range(6))
CHOICES = {
    pattern: strategies.tuples(
        strategies.sampled_from(["off", "warn", "enforce"]),
        strategies.sampled_from([None, "off", "warn"]),
        strategies.booleans(),
    )
    for pattern in FEW
}
STRICTNESS = ["off", "warn", "enforce"]


@pytest.fixture(scope="module")
def any_gateway(serve: Serve, recorder: RecordingUpstream, token: Path) -> Gateway:
    return serve(with_modes(recorder.port, {}), {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)})


def with_modes(port: int, chosen: Mapping[str, str]) -> dict[str, Any]:
    endpoints = {pattern: {"stages": [{"value": "/stage"}], "autoDemote": True} for pattern in FEW}
    return configuration(port, endpoints=endpoints, endpointMode=chosen)


@given(strategies.fixed_dictionaries(CHOICES))
@settings(max_examples=examples(12, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_made_stricter(
    any_gateway: Gateway,
    recorder: RecordingUpstream,
    both: Rollback,
    chosen: dict[str, tuple[str, str | None, bool]],
) -> None:
    """Whatever is configured and held, none becomes stricter, none is left in enforce, and what was held stays."""
    for pattern in FEW:
        hold(any_gateway, pattern, None)
    any_gateway.write(with_modes(recorder.port, {pattern: mode for pattern, (mode, _, _) in chosen.items()}))
    any_gateway.reload()
    for pattern, (_, held, is_demoted) in chosen.items():
        if held is not None:
            hold(any_gateway, pattern, held)
        if is_demoted:
            demote(any_gateway, pattern)
    before = any_gateway.status()["endpoints"]
    made = replace(both, admins=(address(any_gateway),))("--modes-only")
    after = any_gateway.status()["endpoints"]
    assert made.code == 0, made
    for pattern, (configured, _, _) in chosen.items():
        was, now = before[pattern], after[pattern]
        assert STRICTNESS.index(now["mode"]) <= STRICTNESS.index(was["mode"])
        assert now["mode"] == min(was["mode"], "warn", key=STRICTNESS.index)
        if was["override"] is not None or configured != "enforce":
            assert now["override"] == was["override"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--reason", " "], "say why"),
        (["--reason", "x" * 501], "expected at most 500"),
        (["--reason", "a\nb"], "one line"),
        (["--nonsense"], "--nonsense"),
        (["now"], "now"),
    ],
)
def test_wrong_usage(both: Rollback, gateways: tuple[Gateway, Gateway], options: list[str], told: str) -> None:
    """What is wrongly asked ends with 2 and one line, and nothing is changed."""
    made = both(*options)
    assert (made.code, made.out, made.err.count("\n")) == (2, "", 1)
    assert told in made.err
    assert (modes(gateways[0]), reads(both.migration)) == (MODES, "canonical")
