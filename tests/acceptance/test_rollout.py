"""A whole rollout on the real servers, by its figures: forward step by step, and back at once."""

import json
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import eventually, within
from support.length import LONG
from support.rollout_traffic import (
    COMPANIES,
    SIMULATE,
    STRATEGIES,
    STRATEGY,
    Kind,
    Outcome,
    made,
    outcome_of,
)
from support.stand import Stand, share, standing
from support.wire import exchange

from gateway.rollout.cohort import is_inside

CLIMB = (10, 25, 50, 100)
NAME = "stage-gateway"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path, demotes=True, long=LONG) as stand:
        yield stand


def test_rollout_by_its_figures(stand: Stand) -> None:
    """Two gateways are led from baseline to B and back in two seconds, and no answer is one that the phase forbids."""
    assert share(stand) == enforced(0, 0)
    refused_to_go_on(stand)
    aliases_are_mended(stand)
    rows_are_corrected(stand)
    for percent in CLIMB:
        step_forward(stand, "2.5-migration", writes=percent, simulations=0)
    rows_are_migrated(stand)
    step_forward(stand, "a-portfolio", writes=100, simulations=0)
    for percent in CLIMB:
        step_forward(stand, "b-monte-carlo", writes=100, simulations=percent)
    bad_client_demotes(stand)
    everything_goes_back(stand)
    counts = stand.traffic.check()
    assert counts[Kind.GOOD, Outcome.PASSED] == sum(n for (kind, _), n in counts.items() if kind is Kind.GOOD) > 1000
    for kind, outcome in (Kind.WRONG, Outcome.REFUSED), (Kind.SPELT, Outcome.MARKED), (Kind.SPELT, Outcome.PASSED):
        assert counts[kind, outcome] > 0


def enforced(writes: float, simulations: float) -> dict[str, float]:
    return {STRATEGIES: writes, STRATEGY: writes, SIMULATE: simulations, COMPANIES: 0}


def asked(stand: Stand, *words: str) -> tuple[int, dict[str, Any]]:
    """Ask all gateways with a command; returns its exit code and what it told."""
    done = stand.run(NAME, *words, "--json", *stand.admins)
    assert done.returncode in {0, 1}, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def readiness(stand: Stand, answer: str, because: tuple[str, str] | None = None) -> None:
    """Wait for an answer of the next step's gate, and for the figure of an endpoint to be the cause of it."""

    def is_given() -> bool:
        code, told = asked(stand, "readiness")
        assert code == (0 if told["answer"] == "READY" else 1)
        assert told["source"].startswith(stand.environment["STAGE_GATEWAY_PROMETHEUS_URL"])
        found = {(one["figure"], one["endpoint"]): one["answer"] for one in told["findings"]}
        return bool(told["answer"] == answer == (found[because] if because else answer))

    stand.traffic.fill(stand.enough)
    eventually(is_given, timeout=60)


def refused_to_go_on(stand: Stand) -> None:
    """Ask the gate at baseline, while two requests of a hundred are bad: it says so, and no step is taken."""
    readiness(stand, "NOT_READY", ("refused", STRATEGIES))
    code, told = asked(stand, "rollout", "next", "--write")
    assert (code, told["result"]) == (1, "refused")
    assert share(stand) == enforced(0, 0)


def aliases_are_mended(stand: Stand) -> None:
    """Paste what `vocabulary` prints into every phase, let aliases pass, and take the baseline again."""
    printed = stand.run(NAME, "vocabulary", *stand.admins).stdout
    pasted, _ = json.JSONDecoder().raw_decode(printed, printed.index("{\n"))
    pasted["vocabulary"]["acceptAliases"] = True
    assert pasted["vocabulary"]["aliases"]["series.a"] == "series-a"
    for path in stand.phases():
        path.write_text(json.dumps({**json.loads(path.read_text()), **pasted}, indent=2))
    with stand.changing():
        code, told = asked(stand, "rollout", "next", "--write")
        assert (code, told["again"], told["changes"]) == (0, True, []), told
    [found] = stand.in_force()
    assert found.forgiving


def rows_are_corrected(stand: Stand) -> None:
    """Plan the migration: it names the rows that nobody can map, and has no objection once they are corrected."""
    planned = stand.run(NAME, "migrate", "plan")
    assert planned.returncode == 1
    assert "'Growth', disallowed_value" in planned.stdout
    stand.execute("UPDATE portfoliocompanies SET stage = 'series-b' WHERE stage = 'Growth'")
    assert stand.run(NAME, "migrate", "plan").returncode == 0


def step_forward(stand: Stand, phase: str, *, writes: float, simulations: float) -> None:
    """Wait until the gate is ready, take the step, and see that it is in force on both gateways."""
    readiness(stand, "READY")
    with stand.changing():
        code, told = asked(stand, "rollout", "next", "--write")
        assert (code, told["result"]) == (0, "taken"), told
    assert told["step"].startswith(phase)
    assert share(stand) == enforced(writes, simulations)
    for endpoint, percent in {STRATEGY: writes, SIMULATE: simulations}.items():
        if 0 < percent < 100:
            assert probed(stand, endpoint, percent, inside=False) is Outcome.MARKED
        elif percent == 100:
            assert probed(stand, endpoint, percent, inside=True) is Outcome.REFUSED
    if writes < 100:
        assert probed(stand, STRATEGIES, writes, inside=True) is Outcome.REFUSED


def probed(stand: Stand, endpoint: str, percent: float, *, inside: bool) -> Outcome:
    """Send what is wrong with an id inside or outside a percentage to the other gateway than the one asked first."""
    identity = next(one for one in iter(lambda: str(uuid.uuid4()), None) if is_inside(one, percent) is inside)
    return outcome_of(exchange(stand.gateways[1].port, made(endpoint, Kind.WRONG, identity)))


def rows_are_migrated(stand: Stand) -> None:
    """Migrate the rows while all writes are protected; the gate of A wants to see that verified."""
    ran = stand.run(NAME, "migrate", "run", "--snapshot", "snapshots")
    assert ran.returncode == 0, ran.stderr
    assert stand.run(NAME, "migrate", "guard", "refuse").returncode == 0
    code, told = asked(stand, "readiness")
    [report] = [one for one in told["findings"] if one["figure"] == "verify report"]
    assert (code, report["answer"]) == (1, "INSUFFICIENT_DATA")
    verified = stand.run(NAME, "verify", "--output", "report.json")
    assert verified.returncode == 0, verified.stdout
    assert shown(stand) == 0


def shown(stand: Stand) -> int:
    """Return how many companies readers of the view are shown in a spelling from before."""
    statement = "SELECT count(*) FROM portfoliocompanies_stages WHERE stage IN ('Series A', 'Series.A')"
    [(found,)] = stand.execute(statement)
    return int(found)


def bad_client_demotes(stand: Stand) -> None:
    """Let a client send nothing but rubbish: the alert fires, and both gateways only mark simulations."""
    stand.traffic.send_rubbish(SIMULATE)
    with stand.changing(back=True):
        eventually(lambda: all(mode(gateway.status()) == "warn" for gateway in stand.gateways), timeout=30)
    assert share(stand) == enforced(100, 0)
    stand.traffic.send_rubbish(None)
    query = 'ALERTS{alertname="StageInvalidRateCeiling", alertstate="firing"}'
    assert [one["metric"]["endpoint"] for one in stand.prometheus.query(query)] == [SIMULATE]


def mode(status: dict[str, Any]) -> str:
    found: str = status["endpoints"][SIMULATE]["mode"]
    return found


def everything_goes_back(stand: Stand) -> None:
    """Go all the way back in two seconds, modes and reads, and forward again by the commands that it prints."""
    with stand.changing(back=True), within(2):
        back = stand.run(NAME, "rollback", "--json", "--reason", "the walk ends here", *stand.admins)
    told = json.loads(back.stdout)
    assert (back.returncode, told["back"]) == (0, True), back.stderr
    assert share(stand) == enforced(0, 0)
    assert shown(stand) > 0
    firing = 'ALERTS{alertname="StageInvalidRateCeiling", alertstate="firing"}'
    eventually(lambda: not stand.prometheus.query(firing), timeout=20)
    with stand.changing(back=True):
        for line in [*told["forward"], *told["forwardOfHeldBefore"]]:
            again = stand.run(*shlex.split(line))
            assert again.returncode == 0, again.stderr
    assert share(stand) == enforced(100, 100)
    assert shown(stand) == 0
    assert probed(stand, SIMULATE, 100, inside=True) is Outcome.REFUSED
    steps = [gateway.metrics().get("stage_gateway_rollout_step", phase="b-monte-carlo") for gateway in stand.gateways]
    assert steps == [10, 10]
