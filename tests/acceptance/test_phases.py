"""The phases of the rollout as they are shipped: what each does with a strategy, a simulation and a list."""

import json
import uuid
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("name", "strategy", "simulation"),
    [
        ("1-baseline", MARKED, MARKED),
        ("2.5-migration", REFUSED, MARKED),
        ("a-portfolio", REFUSED, MARKED),
        ("b-monte-carlo", REFUSED, REFUSED),
    ],
)
def test_phase(
    name: str,
    strategy: tuple[int, str | None],
    simulation: tuple[int, str | None],
    serve: Serve,
    upstream: RecordingUpstream,
) -> None:
    """Each phase refuses, marks or only warns as documented."""
    gateway = serve(phase(name, upstream))
    assert outcome(gateway, STRATEGY) == strategy
    assert outcome(gateway, ONE_STRATEGY) == strategy
    assert outcome(gateway, SIMULATION) == simulation
    assert outcome(gateway, COMPANIES) == WARNED


def test_step_towards_a_phase(serve: Serve, upstream: RecordingUpstream) -> None:
    """At 10 % of phase 2.5 a strategy inside the percentage is refused, one outside is marked."""
    gateway = serve({**phase("2.5-migration", upstream), "enforcementPercent": 10})
    made = [str(uuid.uuid4()) for _ in range(500)]
    inside = next(identity for identity in made if is_inside(identity, 10))
    outside = next(identity for identity in made if not is_inside(identity, 10))
    assert outcome(gateway, STRATEGY, inside) == REFUSED
    assert outcome(gateway, STRATEGY, outside) == MARKED


def phase(name: str, upstream: RecordingUpstream) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((PHASES / f"{name}.json").read_text(encoding="utf-8"))
    config["upstreams"] = {key: {"url": f"http://127.0.0.1:{upstream.port}"} for key in config["upstreams"]}
    return config


def outcome(gateway: Gateway, what: tuple[str, str, bytes | None], identity: str = "one") -> tuple[int, str | None]:
    method, target, body = what
    response = exchange(gateway.port, request(method, target, ("X-Request-Id", identity), body=body))
    assert response.status == 422 or response.values("x-stage-warning") == ["reason=alias; count=1"]
    return response.status, response.value("x-stage-would-reject")
