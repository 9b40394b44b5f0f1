"""Whether one request is enforced, before and after all of it is known."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rollout.endpoints import Endpoint, FundSource
from gateway.rollout.gate import Gate
from gateway.rollout.head import Head
from gateway.rollout.policy import Exemption, Mode, Operation, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.vocabulary import Vocabulary

COMPILED = CompiledPlan(Plan.of([Location(Shape.VALUE, ("stage",))]), Vocabulary())
IN_BODY = FundSource(body=("fund",))


def gate(
    percent: float = 100.0,
    *,
    key: str = "requestId",
    method: str = "POST",
    fund: FundSource = IN_BODY,
    write_only: bool = False,
) -> Gate:
    policy = Policy(Vocabulary(), enforce_write_only=write_only, enforcement_key=key)
    endpoint = Endpoint("/e", Mode.ENFORCE, COMPILED, operation=Operation.READ, fund=fund, percent=percent)
    head = Head(method, "/e", "", {b"x-tenant": [b"t1"]}, "request-7")
    return Gate(head, endpoint, policy, method_override=False)


@pytest.mark.parametrize(
    ("one", "exempt"),
    [(gate(method="GET"), Exemption.READ_METHOD), (gate(write_only=True), Exemption.READ_OPERATION)],
)
def test_what_is_exempt_is_warned_of(one: Gate, exempt: Exemption) -> None:
    """Reads are exempt before the percentage is asked."""
    assert not one.may_enforce(None, body_is_known=True)
    assert one.enforcement(None) == (Mode.ENFORCE, Mode.WARN, exempt, None, None)


@pytest.mark.parametrize(
    ("key", "fund", "expected"),
    [
        ("requestId", "f", "request-7"),
        ("fundId", "f", "f"),
        ("fundId", None, "request-7"),
        ("header:X-Tenant", "f", "t1"),
        ("header:X-Other", "f", "request-7"),
    ],
)
def test_the_key_is_the_configured_one(key: str, fund: str | None, expected: str) -> None:
    """The key is what the policy names, and the request id where that is absent."""
    assert gate(key=key).enforcement(fund).key == expected


@pytest.mark.parametrize(
    ("percent", "may", "surely"), [(0.0, False, False), (0.01, True, False), (99.99, True, False), (100.0, True, True)]
)
def test_a_key_in_the_body_leaves_it_open(percent: float, may: bool, surely: bool) -> None:
    """Until the body is known, every percentage but none and all leaves it open."""
    one = gate(percent, key="fundId")
    assert one.may_enforce(None, body_is_known=False) is may
    assert one.surely_enforces(None, body_is_known=False) is surely


@given(st.text(max_size=5), st.integers(0, 10_000), st.sampled_from(["requestId", "fundId", "header:x-tenant"]))
def test_what_was_said_before_holds_in_the_end(fund: str, hundredths: int, key: str) -> None:
    """What could not be enforced is not, and what surely would be is."""
    for source, body_is_known in itertools.product((IN_BODY, FundSource(query="f")), (True, False)):
        one = gate(hundredths / 100, key=key, fund=source)
        known = fund if body_is_known or source is not IN_BODY else None
        enforced = one.enforcement(fund).effective is Mode.ENFORCE
        assert enforced or not one.surely_enforces(known, body_is_known=body_is_known)
        assert not enforced or one.may_enforce(known, body_is_known=body_is_known)
