"""No request holds on for long: whatever is in its head or body, others have their turn within milliseconds.

The bound is 5 ms of CPU on a machine that is not busy. What is counted here is what such a time is made of; the times
have ten times the room.
"""

from collections.abc import Iterator

import pytest
from support.hostile import HOSTILE, HOSTILE_HEADS, KIB, Hostile
from support.stretches import lines, longest, most_calls

from gateway.rollout.endpoints import Endpoint, FundSource, Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.vocabulary import Vocabulary

MOST_CALLS = 6000  # some thousands are about a millisecond
MOST_LINES_OF_A_HEAD = 200_000  # it is judged at once, and may have eight thousand parameters
MOST_SECONDS = 0.05
ARRIVES = (64 * KIB, 256 * KIB)  # at once
POLICY = Policy(Vocabulary())


def inspected(hostile: Hostile, body: bytes, arrives: int = ARRIVES[0]) -> Iterator[None]:
    """Inspect a request as the proxy does; the first stretch is that of its head."""
    named = {b"content-type": [b"application/json"], b"content-encoding": [hostile.coding]}
    head = Head("POST", "/p", hostile.query, named, "id", has_body=bool(body), content_length=len(body) or None)
    endpoint = Endpoint(
        "/p", Mode.ENFORCE, CompiledPlan(hostile.plan, POLICY.vocabulary), fund=FundSource(query="fundId")
    )
    yield  # what is made once per configuration is not the request's
    inspection = Inspection(head, Match(endpoint, {}), POLICY)
    assert inspection.may_refuse
    yield
    for begin in range(0, len(body), arrives):
        yield from inspection.steps(body[begin : begin + arrives])
        yield
    yield from inspection.closing()
    yield
    assert inspection.finish() is not None
    assert inspection.fault is None


@pytest.mark.parametrize(
    ("size", "arrives"), [(size * KIB, ARRIVES[0]) for size in (8, 60, 120, 300)] + [(600 * KIB, ARRIVES[1])]
)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_body_holds_on_for_long(name: str, size: int, arrives: int) -> None:
    """Between two turns so few things are done, and in so little time, whatever a body is full of and however large."""
    hostile = HOSTILE[name]
    body = hostile.coded(size)
    assert most_calls(lambda: inspected(hostile, body, arrives)) <= MOST_CALLS
    assert min(longest(lambda: inspected(hostile, body, arrives)) for _ in range(3)) <= MOST_SECONDS


@pytest.mark.parametrize("name", HOSTILE_HEADS)
def test_no_head_holds_on_for_long(name: str) -> None:
    """A head is judged at once, and costs little for each of its parameters."""
    hostile = HOSTILE_HEADS[name]
    assert lines(lambda: list(inspected(hostile, b""))) <= MOST_LINES_OF_A_HEAD
    assert min(longest(lambda: inspected(hostile, b"")) for _ in range(3)) <= MOST_SECONDS
