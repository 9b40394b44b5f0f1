"""Problem documents: the members of RFC 9457 and our own, in plain words."""

import json
from functools import partial
from typing import Any

import pytest

from gateway.proxy.problem import problem, refusal
from gateway.rollout.decision import Decision, Enforcement, Result
from gateway.rollout.policy import Mode
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Findings, Verdict, whole_request
from gateway.stages.vocabulary import DEFAULT_CANONICAL, Vocabulary, default_aliases

VOCABULARY = Vocabulary(DEFAULT_CANONICAL, default_aliases(DEFAULT_CANONICAL))


def refused(verdict: Verdict) -> dict[str, Any]:
    decision = Decision("/a/:id", Enforcement(Mode.ENFORCE, Mode.ENFORCE), verdict, Result.REJECT, None)
    document: dict[str, Any] = json.loads(refusal(decision, "/a/7", "mine", VOCABULARY).body)
    return document


def found(*reasons: Reason, values: int = 5, lower_bound: bool = False) -> Verdict:
    findings = Findings()
    findings.values = values
    for number, reason in enumerate(reasons):
        findings.add(0, reason, f"v{number}", partial("/{}".format, number))
    return findings.verdict(lower_bound=lower_bound)


def test_plain_problem() -> None:
    """A problem has type, title, status, detail and request id, and nothing of what was sent."""
    answer = problem(503, "no_room", "why", "mine", (b"Retry-After", b"1"))
    assert json.loads(answer.body) == {
        "type": "urn:stage-gateway:no_room",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "why",
        "requestId": "mine",
    }
    assert (answer.status, answer.headers) == (503, ((b"Retry-After", b"1"),))


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.is_whole])
def test_reason_about_the_whole_request(reason: Reason) -> None:
    """A reason about the whole request is its own type, counts one, and lists no violations."""
    document = refused(whole_request(reason))
    assert document["type"] == f"urn:stage-gateway:{reason}"
    assert document["status"] == reason.status
    assert (document["reason"], document["count"]) == (reason, 1)
    assert (document["title"], document["detail"]) == (reason.headline, reason.detail)
    assert "violations" not in document


@pytest.mark.parametrize(
    ("verdict", "detail"),
    [
        (found(Reason.ALIAS), "1 of 5 stage values are not canonical"),
        (found(Reason.ALIAS, Reason.MISSING, lower_bound=True), "at least 2 stage values are not canonical"),
        (found(Reason.WEIGHT_SUM), "the weights of the stages do not sum to 1"),
    ],
)
def test_detail(verdict: Verdict, detail: str) -> None:
    """The detail says how many values are wrong of how many, and `at least` when the body's end was not seen."""
    document = refused(verdict)
    assert document["detail"] == detail
    assert document["countIsLowerBound"] is verdict.count_is_lower_bound
    assert document["type"] == "urn:stage-gateway:invalid-stage"
    assert (document["instance"], document["endpoint"]) == ("/a/7", "/a/:id")


def test_only_a_refused_request_has_a_refusal() -> None:
    """Asking for the refusal of a valid request is a fault of ours."""
    with pytest.raises(ValueError, match="refused"):
        refused(Verdict())
