"""The phases of the rollout as they are shipped: what each does with a strategy, a simulation and a list."""

import json
import uuid
from pathlib import Path

import pytest
from support.process import Gateway, Serve
from support.upstream import RecordingUpstream
from support.wire import exchange, request

from gateway.rollout.cohort import is_inside

PHASES = Path(__file__).parents[2] / "config" / "phases"
STRATEGY = ("POST", "/api/portfolio/strategies?fundId=1", b'{"stageAllocation":{"Series A":1}}')
ONE_STRATEGY = ("PATCH", "/api/portfolio/strategies/5", b'{"stageAllocation":{"Series A":1}}')
SIMULATION = ("POST", "/api/monte-carlo/simulate", b'{"stageDistribution":[{"stage":"Series A","weight":1}]}')
COMPANIES = ("GET", "/api/funds/7/companies?stage=Series%20A", None)
MARKED, WARNED, REFUSED = (200, "true"), (200, None), (422, None)


def ids(percent: float) -> tuple[str, str]:
    """Return a request id inside this percentage and one outside; at 100 both are inside."""
    made = [str(uuid.uuid4()) for _ in range(500)]
    return (
        next(identity for identity in made if is_inside(identity, percent)),
        next((identity for identity in made if not is_inside(identity, percent)), made[0]),
    )


@pytest.mark.parametrize(
    ("name", "strategy", "simulation"),
    [
        ("1-baseline", (MARKED, MARKED), (MARKED, MARKED)),
        ("2.5-migration", (REFUSED, MARKED), (MARKED, MARKED)),
        ("a-portfolio", (REFUSED, REFUSED), (MARKED, MARKED)),
        ("b-monte-carlo", (REFUSED, REFUSED), (REFUSED, MARKED)),
    ],
)
def test_phase(
    name: str,
    strategy: tuple[tuple[int, str | None], ...],
    simulation: tuple[tuple[int, str | None], ...],
    serve: Serve,
    upstream: RecordingUpstream,
) -> None:
    """Each phase refuses, marks or only warns as documented, inside its percentage and outside."""
    config = json.loads((PHASES / f"{name}.json").read_text(encoding="utf-8"))
    config["upstreams"] = {key: {"url": f"http://127.0.0.1:{upstream.port}"} for key in config["upstreams"]}
    gateway = serve(config)
    for number, identity in enumerate(ids(10)):
        assert outcome(gateway, STRATEGY, identity) == strategy[number]
        assert outcome(gateway, ONE_STRATEGY, identity) == strategy[number]
        assert outcome(gateway, SIMULATION, identity) == simulation[number]
        assert outcome(gateway, COMPANIES, identity) == WARNED


def outcome(gateway: Gateway, what: tuple[str, str, bytes | None], identity: str) -> tuple[int, str | None]:
    method, target, body = what
    response = exchange(gateway.port, request(method, target, ("X-Request-Id", identity), body=body))
    assert response.status == 422 or response.values("x-stage-warning") == ["reason=alias; count=1"]
    return response.status, response.value("x-stage-would-reject")
