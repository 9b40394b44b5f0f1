"""A body at hand whole: one look may be enough, and means what the usual way means."""

import gzip
import time
from random import Random

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from support.documents import Writer, plans
from support.hostile import HOSTILE, KIB
from support.length import examples

from gateway.rollout.decision import Decision, Result
from gateway.rollout.endpoints import Endpoint, FundSource, Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.reasons import Reason
from gateway.stages.vocabulary import Vocabulary

EACH = Location(Shape.EACH, ("d",), field="s", weight="w")
PLAN = Plan.of([EACH], fund=("f",))
QUERY = Plan.of([EACH, Location(Shape.QUERY, name="stage")])
GOOD = b'{"f":7,"d":[{"s":"seed","w":1}]}'
LIMIT = 300 * KIB
MOST_SECONDS = 0.05
POLICY = Policy(Vocabulary(), max_body_bytes=LIMIT, enforcement_key="fundId")
NAMED = {b"content-type": [b"application/json"]}
ENDPOINTS = [
    Endpoint("/e", mode, CompiledPlan(plan, POLICY.vocabulary), fund=fund, percent=50)
    for plan in plans()
    for mode in (Mode.WARN, Mode.ENFORCE)
    for fund in (FundSource(query="f"), FundSource(body=plan.fund))
]


class _Broken(Vocabulary):
    """Has no answer to anything."""

    def objection(self, value: str) -> Reason | None:
        raise LookupError(value)


def endpoint(plan: Plan = PLAN, mode: Mode = Mode.ENFORCE) -> Endpoint:
    return Endpoint("/e", mode, CompiledPlan(plan, POLICY.vocabulary), fund=FundSource(body=plan.fund))


def inspection(
    body: bytes,
    to: Endpoint,
    *,
    named: dict[bytes, list[bytes]] = NAMED,
    query: str = "",
    method: str = "POST",
    sized: bool = True,
) -> Inspection:
    head = Head(method, "/e", query, named, "id", has_body=True, content_length=len(body) if sized else None)
    return Inspection(head, Match(to, {}), POLICY)


def usual(body: bytes, inspected: Inspection) -> Decision | None:
    """Go the usual way, a body that came in one piece."""
    inspected.feed(body)
    return inspected.finish()


@settings(max_examples=examples(600, 60_000), deadline=None, database=None)
@given(seed=st.integers(0, 2**63), number=st.integers(0, len(ENDPOINTS) - 1), sized=st.booleans())
def test_one_look_decides_as_the_usual_way(seed: int, number: int, sized: bool) -> None:
    """What a look takes has the decision of the usual way; of what it does not take nothing is left behind."""
    random, to = Random(seed), ENDPOINTS[number]
    body = Writer(random).document(to.compiled.plan)
    method = random.choice(["POST", "GET", "PATCH"])
    note(f"{body!r}\n{to.compiled.plan.locations}, {to.fund}, {method}")
    wanted = usual(body, inspection(body, to, method=method, query="f=q", sized=sized))
    inspected = inspection(body, to, method=method, query="f=q", sized=sized)
    taken = inspected.judge_whole(body)
    event(f"taken: {taken}")
    if not taken:
        assert usual(body, inspected) == wanted
        return
    assert inspected.finish() == wanted
    assert wanted is not None
    assert wanted.verdict.valid


@pytest.mark.parametrize("sized", [True, False])
def test_a_good_body_is_taken(sized: bool) -> None:
    """A short good body is taken with its fund id and its values, however it was framed."""
    inspected = inspection(GOOD, endpoint(), sized=sized)
    assert inspected.judge_whole(GOOD)
    decision = inspected.finish()
    assert decision is not None
    assert (decision.result, decision.verdict.values, decision.fund) == (Result.PASS, 1, "7")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", NAMED),
        (GOOD.replace(b"seed", b"Seed"), NAMED),
        (GOOD + b"x", NAMED),
        (GOOD, {}),
        (GOOD, {b"content-type": [b"text/plain"]}),
        (GOOD, NAMED | {b"content-encoding": [b"br"]}),
        (GOOD, NAMED | {b"x-http_method-override": [b"PUT"]}),
        (gzip.compress(GOOD, mtime=0), NAMED | {b"content-encoding": [b"gzip"]}),
        (GOOD.ljust(LIMIT), NAMED),
        (GOOD.ljust(LIMIT + 1), NAMED),
    ],
)
@pytest.mark.parametrize("sized", [True, False])
def test_what_is_not_taken_goes_the_usual_way(body: bytes, named: dict[bytes, list[bytes]], sized: bool) -> None:
    """Coded, long, wrong, undeclared and absent bodies are not taken, and fed they are judged as if never looked at."""
    inspected = inspection(body, endpoint(), named=named, sized=sized)
    assert not inspected.judge_whole(body)
    assert usual(body, inspected) == usual(body, inspection(body, endpoint(), named=named, sized=sized))


def test_a_body_of_which_some_was_fed_is_not_taken() -> None:
    """A look is for a body at hand whole; one that is being fed goes on that way."""
    inspected = inspection(GOOD, endpoint())
    inspected.feed(GOOD[:5])
    assert not inspected.judge_whole(GOOD)
    inspected.feed(GOOD[5:])
    assert inspected.finish() == usual(GOOD, inspection(GOOD, endpoint()))


def test_a_good_body_does_not_excuse_the_query() -> None:
    """A stage in the query that is wrong is found and gets its suggestion, the body being good or not."""
    inspected = inspection(GOOD, endpoint(QUERY), query="stage=Seed")
    assert inspected.judge_whole(GOOD)
    decision = inspected.finish()
    assert decision == usual(GOOD, inspection(GOOD, endpoint(QUERY), query="stage=Seed"))
    assert decision is not None
    assert (decision.verdict.reason, decision.verdict.count, decision.verdict.values) == (Reason.ALIAS, 1, 2)
    assert decision.verdict.violations[0].suggestion == "seed"


def test_a_judge_that_fails_takes_nothing() -> None:
    """A fault while a good body is looked at is no pass: the usual way tells of it."""
    to = Endpoint("/e", Mode.ENFORCE, CompiledPlan(PLAN, _Broken()))
    body = GOOD.replace(b"seed", b"x")
    inspected = inspection(body, to)
    assert not inspected.judge_whole(body)
    assert inspected.fault is None
    decision = usual(body, inspected)
    assert decision is not None
    assert decision.verdict.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize("name", HOSTILE)
def test_no_look_holds_on_for_long(name: str) -> None:
    """One look at the largest body that is looked at takes no longer than a stretch of the usual way."""
    hostile = HOSTILE[name]
    body = hostile.body(255 * KIB)

    def seconds() -> float:
        inspected = inspection(body, endpoint(hostile.plan), query=hostile.query)
        begin = time.thread_time()
        inspected.judge_whole(body)
        return time.thread_time() - begin

    assert min(seconds() for _ in range(3)) <= MOST_SECONDS
