"""Request targets as Express, Fastify, nginx, Node's URL and Python's libraries read them, and chains of two of them.

Whatever endpoint one of them reads in a target that the gateway forwards, the gateway has judged the request as it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.length import examples
from support.process import BOTH, Serve, configuration
from support.readers import Readers, answers, running
from support.targets import INNOCENT, Targets
from support.upstream import RecordingUpstream
from support.wire import request

from gateway.proxy.request import origin_form
from gateway.rollout.endpoints import Endpoint, EndpointTable
from gateway.rollout.policy import Mode
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.vocabulary import Vocabulary

PROXY_WAYS = BOTH

PATTERNS = [
    "/api/portfolio/strategies",
    "/api/portfolio/strategies/:id",
    "/api/monte-carlo/simulate",
    "/api/funds/:fundId/companies",
]
WRONG = b'{"stage":"Series A"}'
CHAIN = 2
# Of escapes, parameters, dots and backslashes there are more readings than those of the servers that are here.
_MORE_READINGS = re.compile(r"[%;\\]|\.(?:[/?]|\Z)")


@dataclass(frozen=True)
class Sent:
    """One target, the gateway's answer to a wrong stage under it, and the target that reached the upstream."""

    target: str
    status: int
    reason: str | None
    forwarded: str | None


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    with running(tmp_path_factory.mktemp("nginx"), PATTERNS) as found:
        yield found


@pytest.fixture(scope="module")
def targets() -> list[str]:
    return [*INNOCENT, *Targets(PATTERNS, seed=11).take(examples(3_000, 20_000))]


@pytest.fixture(scope="module")
def sent(serve: Serve, recorder: RecordingUpstream, targets: list[str]) -> list[Sent]:
    endpoints = {pattern: {"stages": [{"value": "/stage"}]} for pattern in PATTERNS}
    gateway = serve(configuration(recorder.port, endpoints=endpoints, defaultMode="enforce"))
    recorder.reset()
    posts = [request("POST", t, ("X-Request-Id", f"n{n}"), body=WRONG) for n, t in enumerate(targets)]
    responses = answers(gateway.port, posts, at_once=1)
    forwarded = {one.value("x-request-id"): one.line.split(b" ")[1].decode() for one in recorder.requests}
    found = []
    for number, (target, response) in enumerate(zip(targets, responses, strict=True)):
        assert response is not None, target
        problem = response.value("content-type") == "application/problem+json"
        reason = json.loads(response.body)["type"].rpartition(":")[2] if problem else None
        found.append(Sent(target, response.status, reason, forwarded.get(f"n{number}")))
    return found


def test_no_target_that_somebody_reads_as_an_endpoint_goes_by_unjudged(sent: list[Sent], readers: Readers) -> None:
    """A wrong stage reaches the upstream only under a target that nobody takes for an endpoint."""
    read = readers.read({one.forwarded for one in sent if one.forwarded is not None}, CHAIN)
    gone_by = {target: found for target, found in read.items() if found}
    assert not gone_by, f"{len(gone_by)} of {len(sent)}: " + "\n".join(map(str, list(gone_by.items())[:20]))


def test_no_target_is_refused_that_nobody_reads_as_an_endpoint(sent: list[Sent], readers: Readers) -> None:
    """Slashes and authorities make a target ambiguous only when somebody takes it for an endpoint."""
    ambiguous = {origin_form(one.target)[0] for one in sent if one.reason == "ambiguous_path"}
    assert len(ambiguous) > len(sent) / 20
    read = readers.read({target for target in ambiguous if not _MORE_READINGS.search(target)}, CHAIN + 1)
    for_nothing = sorted(target for target, found in read.items() if not found)
    assert not for_nothing, f"{len(for_nothing)} of {len(ambiguous)}: " + "\n".join(for_nothing[:60])


@pytest.mark.parametrize("only", PATTERNS)
def test_an_endpoint_that_alone_enforces_is_not_hidden_by_another(
    only: str, targets: list[str], readers: Readers
) -> None:
    """A target that one reader takes for the endpoint that enforces is that endpoint, whatever others take it for."""
    compiled = CompiledPlan(Plan.of([Location(Shape.VALUE, ("stage",))]), Vocabulary())
    table = EndpointTable(Endpoint(p, Mode.ENFORCE if p == only else Mode.OFF, compiled) for p in PATTERNS)
    plain = {path for target in targets if (path := origin_form(target)[0]).startswith("/")}
    hidden = {}
    for target, found in readers.read(plain, 1).items():
        # To Fastify alone `/strategies/` is `/strategies/:id` with an id that is empty.
        if only in found and not (target.partition("?")[0].endswith("/") and found[only].startswith("Fastify")):
            match = table.match(target.partition("?")[0])
            if match is None or match.endpoint.pattern != only:
                hidden[target] = found
    assert not hidden, f"{len(hidden)}: " + "\n".join(map(str, list(hidden.items())[:20]))
