"""What becomes of good requests with the same head is what an inspection of each of them says."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from support.documents import Writer, plans
from support.length import examples

from gateway.rollout.decision import Enforcement
from gateway.rollout.endpoints import Endpoint, FundSource, Match
from gateway.rollout.good import GoodRequests
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Exemption, Mode, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.vocabulary import Vocabulary

POLICY = Policy(Vocabulary(), max_body_bytes=100_000)
PLAN = Plan.of([Location(Shape.EACH, ("d",), field="s", weight="w"), Location(Shape.QUERY, name="stage")], fund=("f",))
GOOD = b'{"f":7,"d":[{"s":"seed","w":1}]}'
JSON = {b"content-type": [b"application/json"]}
ENDPOINTS = [
    Endpoint("/e", mode, CompiledPlan(plan, POLICY.vocabulary), fund=fund, percent=percent)
    for plan in plans()
    for mode in (Mode.WARN, Mode.ENFORCE)
    for fund in (FundSource(query="f"), FundSource(body=plan.fund), FundSource(path="id"))
    for percent in (0.0, 100.0)
]


def inspection(
    body: bytes,
    to: Endpoint,
    *,
    named: dict[bytes, list[bytes]] = JSON,
    query: str = "",
    method: str = "POST",
    identity: str = "id",
    policy: Policy = POLICY,
) -> Inspection:
    head = Head(method, "/e", query, named, identity, has_body=bool(body), content_length=len(body))
    return Inspection(head, Match(to, {"id": "fund-of-path"}), policy)


def endpoint(mode: Mode = Mode.ENFORCE, percent: float = 100.0) -> Endpoint:
    return Endpoint("/e", mode, CompiledPlan(PLAN, POLICY.vocabulary), percent=percent)


@settings(max_examples=examples(600, 60_000), deadline=None, database=None)
@given(seed=st.integers(0, 2**63), number=st.integers(0, len(ENDPOINTS) - 1))
def test_decision_is_that_of_an_inspection(seed: int, number: int) -> None:
    """Learned from one head, the decision on another body behind the same head is what its own inspection says."""
    random, to = Random(seed), ENDPOINTS[number]
    body = Writer(random).document(to.compiled.plan)
    method = random.choice(["POST", "GET", "PATCH"])
    query = random.choice(["", "f=q", "stage=seed", "stage=Seed&f=q"])
    note(f"{body!r}\n{to.compiled.plan.locations}, {to.fund}, {method}, {query}")
    expected = inspection(GOOD, to, method=method, query=query).good_requests()
    decision = None if expected is None else expected.decision(body)
    event(f"decided: {decision is not None}")
    if decision is None:
        return
    inspected = inspection(body, to, method=method, query=query, identity="another")
    inspected.feed(body)
    wanted = inspected.finish()
    assert wanted is not None
    kept = wanted.enforcement._replace(key=None, bucket=None)  # which nothing asks for of a good request
    assert decision == wanted._replace(enforcement=kept)


@pytest.mark.parametrize(
    "given",
    [
        inspection(GOOD, endpoint(percent=50)),
        inspection(GOOD, endpoint(), named={b"content-type": [b"text/plain"]}),
        inspection(GOOD, endpoint(), named={**JSON, b"content-encoding": [b"gzip"]}),
        inspection(GOOD, endpoint(), named={**JSON, b"x-http-method": [b"GET"]}),
        inspection(GOOD, endpoint(), query="stage=Seed"),
        inspection(GOOD, endpoint(), policy=replace(POLICY, max_body_bytes=len(GOOD) - 1)),
        inspection(b"", endpoint()),
    ],
    ids=["percentage", "media type", "coding", "method override", "bad query", "too large", "no body"],
)
def test_what_depends_on_more_is_not_learned(given: Inspection) -> None:
    """A head with an objection, or one that does not tell whether the request is enforced, tells nothing of others."""
    assert given.good_requests() is None


@pytest.mark.parametrize(
    ("given", "enforcement"),
    [
        (inspection(GOOD, endpoint()), Enforcement(Mode.ENFORCE, Mode.ENFORCE)),
        (
            inspection(GOOD, endpoint(percent=0)),
            Enforcement(Mode.ENFORCE, Mode.WARN, Exemption.OUTSIDE_PERCENTAGE),
        ),
        (inspection(GOOD, endpoint(Mode.WARN)), Enforcement(Mode.WARN, Mode.WARN)),
        (
            inspection(GOOD, endpoint(), method="GET"),
            Enforcement(Mode.ENFORCE, Mode.WARN, Exemption.READ_METHOD),
        ),
    ],
    ids=["enforce", "0 %", "warn", "read"],
)
def test_how_they_stand(given: Inspection, enforcement: Enforcement) -> None:
    """Where the key of the percentage cannot matter every request with the head stands alike."""
    expected = given.good_requests()
    assert isinstance(expected, GoodRequests)
    decision = expected.decision(GOOD)
    assert decision is not None
    assert decision.enforcement == enforcement


@pytest.mark.parametrize("body", [b"", b"x", GOOD.replace(b"seed", b"Seed"), GOOD + b" " * 100_000])
def test_only_what_is_certainly_good(body: bytes) -> None:
    """An empty, a broken, a bad and a too large body get no decision here."""
    expected = inspection(GOOD, endpoint()).good_requests()
    assert expected is not None
    assert expected.decision(body) is None
