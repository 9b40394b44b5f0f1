"""One request at one endpoint: every situation that has a reason, and those that have none."""

import gzip
import itertools
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fields import by_name
from support.length import examples

from gateway.rollout.decision import Decision, Result
from gateway.rollout.endpoints import Endpoint, FundSource, Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Check, Location, Node, Plan, Role, Shape
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.stages.vocabulary import Vocabulary

EACH = Location(Shape.EACH, ("d",), field="s", weight="w")
PLAN = Plan.of([EACH], fund=("fund",))
REQUIRED = Plan.of([Location(Shape.KEYS, ("a", "b"), required=True)])
WEIGHTS = Plan.of([EACH], tolerance=0.001)
QUERY = Plan.of([Location(Shape.QUERY, name="stage", required=True)])


class _FailsLate(Vocabulary):
    """Fails where a suggestion is looked for, when all else is judged."""

    def nearest(self, value: str) -> str | None:
        raise LookupError(value)


FAILS_LATE = _FailsLate()
BROKEN = Plan(locations=(), root=Node(checks=(Check(Role.EACH, 5),)), queries=(), tolerance=0.1)  # there is no fifth
JSON = (b"Content-Type", b"application/json")
GZIP = (b"Content-Encoding", b"gzip")
GOOD = b'{"d":[{"s":"seed","w":1}]}'
BAD = b'{"d":[{"s":"Seed","w":1}]}'
LIMIT = 9 * 1024 * 1024
POLICY = Policy(Vocabulary(), max_body_bytes=LIMIT)


@dataclass(frozen=True)
class Request:
    """A request as the table's rows vary it; a body is chunked unless `sized`."""

    body: bytes = b""
    method: str = "POST"
    query: str = ""
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)
    plan: Plan = PLAN
    fund: FundSource = field(default_factory=FundSource)
    ambiguous: bool = False
    sized: bool = False
    percent: float = 100.0
    mode: Mode = Mode.ENFORCE
    policy: Policy = POLICY
    parameters: dict[str, str] = field(default_factory=dict)

    def inspection(self) -> Inspection:
        length = len(self.body) if self.sized else None
        head = Head(self.method, "/e", self.query, by_name(self.headers), "request-7", bool(self.body), length)
        endpoint = Endpoint(
            "/e", self.mode, CompiledPlan(self.plan, self.policy.vocabulary), fund=self.fund, percent=self.percent
        )
        return Inspection(head, Match(endpoint, self.parameters, self.ambiguous), self.policy)

    def decision(self, chunks: Sequence[bytes] | None = None) -> Decision | None:
        inspection = self.inspection()
        for chunk in chunks if chunks is not None else [self.body]:
            inspection.feed(chunk)
        return inspection.finish()

    def decided(self) -> Decision:
        decision = self.decision()
        assert decision is not None
        return decision


def typed(content_type: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-TYPE", content_type)]


def coded(coding: bytes) -> list[tuple[bytes, bytes]]:
    return [JSON, (b"content-encoding", coding)]


TABLE: list[tuple[str, Request, int, int]] = [
    ("disallowed_value", Request(b'{"d":[{"s":"x"},{"s":"y"},{"s":"seed"}]}'), 2, 422),
    ("disallowed_value", Request(b'{"d":[{"s":""}]}'), 1, 422),
    ("disallowed_value", Request(query="stage=x", plan=QUERY), 1, 422),
    ("alias", Request(BAD), 1, 422),
    ("alias", Request(query="stage=Seed&stage[]=x", plan=QUERY), 2, 422),
    ("wrong_type", Request(b'{"d":[{"s":1},null]}'), 2, 422),
    ("missing", Request(b'{"d":[{}]}'), 1, 422),
    ("missing", Request(b"{}", plan=REQUIRED), 1, 422),
    ("missing", Request(b"{}", plan=REQUIRED, method="PUT"), 1, 422),
    ("missing", Request(plan=REQUIRED), 1, 422),
    ("missing", Request(plan=QUERY), 1, 422),
    ("weight_sum", Request(b'{"d":[{"s":"seed","w":0.9}]}', plan=WEIGHTS), 1, 422),
    ("unparseable", Request(BAD + b"x"), 1, 422),
    ("unparseable", Request(b"\xef\xbb\xbf" + GOOD), 1, 422),
    ("unparseable", Request(b'{"x":"\xff"}'), 1, 422),
    ("unparseable", Request(b"[" * 1025 + b"]" * 1025), 1, 422),
    ("ambiguous_json", Request(b'{"d":[{"s":"x"},{"s":"y"}],"d":[]}'), 1, 422),
    ("ambiguous_json", Request(b'{"d":[],"fund":1,"fund":2}'), 1, 422),
    ("ambiguous_json", Request(b'{"d":[{"s":"seed","__proto__":1}]}'), 1, 422),
    ("content_type", Request(GOOD, headers=[]), 1, 415),
    ("content_type", Request(GOOD, headers=typed(b"text/plain")), 1, 415),
    ("content_type", Request(GOOD, headers=[JSON, JSON]), 1, 415),
    ("content_type", Request(GOOD, headers=typed(b"text/plain"), method="DELETE"), 1, 415),
    ("charset", Request(GOOD, headers=typed(b"application/json; charset=utf-16")), 1, 415),
    ("encoding", Request(GOOD, headers=coded(b"br")), 1, 415),
    ("encoding", Request(GOOD, headers=[JSON, GZIP, GZIP]), 1, 415),
    ("encoding_bad", Request(GOOD, headers=coded(b"gzip")), 1, 422),
    ("encoding_bad", Request(gzip.compress(GOOD)[:-1], headers=coded(b"gzip")), 1, 422),
    ("encoding_bad", Request(gzip.compress(BAD) + b"\n", headers=coded(b"gzip")), 1, 422),
    ("encoding_bad", Request(zlib.compress(GOOD, wbits=-15), headers=coded(b"deflate")), 1, 422),
    ("too_large", Request(BAD.ljust(LIMIT + 1)), 1, 413),
    ("too_large", Request(gzip.compress(b"x".ljust(LIMIT + 1), 0)[:-9], headers=coded(b"gzip")), 1, 413),
    ("too_large", Request(gzip.compress(bytes(LIMIT)), headers=coded(b"gzip")), 1, 413),  # 100 × past 8 MiB
    ("ambiguous_path", Request(BAD, ambiguous=True), 1, 400),
    ("method_override", Request(GOOD, headers=[JSON, (b"X-HTTP-Method-Override", b"GET")]), 1, 400),
    ("method_override", Request(GOOD, headers=[JSON, (b"x-http-method", b"PUT")]), 1, 400),
    ("method_override", Request(headers=[(b"X-Method-Override", b"")], method="GET"), 1, 400),
    ("internal_error", Request(b"[]", plan=BROKEN), 1, 500),
    ("internal_error", Request(query="stage=x", plan=QUERY, policy=Policy(FAILS_LATE)), 1, 500),
]


@pytest.mark.parametrize(("reason", "request_", "count", "status"), TABLE)
@pytest.mark.parametrize("sized", [False, True])
def test_every_row_of_the_table(reason: str, request_: Request, count: int, status: int, sized: bool) -> None:
    """Each situation has its reason, count and status in enforce, and in warn lets the request through."""
    for mode in (Mode.ENFORCE, Mode.WARN):
        decision = replace(request_, mode=mode, sized=sized).decided()
        assert (decision.verdict.reason, decision.verdict.count) == (reason, count)
        assert decision.status == (status if mode is Mode.ENFORCE else None)
        assert decision.result is (Result.REJECT if mode is Mode.ENFORCE else Result.WARN)


@pytest.mark.parametrize(("reason", "request_"), [row[:2] for row in TABLE if row[1].method == "POST"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_are_warned_of_at_most(reason: str, request_: Request, method: str) -> None:
    """Reads are inspected alike but never refused, and nothing is missing from them."""
    decision = replace(request_, method=method).decision()
    if reason == "missing" and request_.plan is not PLAN:
        assert decision is None or decision.verdict.valid
    elif reason != "method_override":
        assert decision is not None
        assert (decision.verdict.reason, decision.result) == (reason, Result.WARN)


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(headers=[]),
        Request(method="PATCH", plan=REQUIRED),
        Request(method="GET", plan=QUERY, query="other=1"),
        Request(GOOD, method="PATCH", plan=QUERY, headers=[]),
    ],
)
def test_a_request_with_nothing_to_inspect_is_not_counted(request_: Request) -> None:
    """No body where the locations are, no parameter and nothing required: there is no decision."""
    assert request_.decision() is None


def test_a_chunked_body_may_turn_out_empty() -> None:
    """A body announced without a length that brings no bytes is no body, whatever its headers say."""
    head = Head("POST", "/e", "", {}, "id", has_body=True)
    inspection = Inspection(
        head, Match(Endpoint("/e", Mode.ENFORCE, CompiledPlan(PLAN, Vocabulary())), {}), Policy(Vocabulary())
    )
    inspection.feed(b"")
    assert inspection.wants_body
    assert inspection.finish() is None


@pytest.mark.parametrize(
    "request_",
    [
        *[Request(body) for body in (GOOD, b"{}", b'{"d":[]}', b"null")],
        *[Request(b"{}", plan=REQUIRED, method=method) for method in ("GET", "PATCH", "DELETE")],
        Request(b"{", plan=QUERY, query="stage=seed", headers=[]),
    ],
)
def test_a_request_without_violations_passes(request_: Request) -> None:
    """A request that was looked into and holds nothing wrong passes and is counted; only POST and PUT require."""
    decision = request_.decided()
    assert (decision.result, decision.verdict.count, decision.refused) == (Result.PASS, 0, False)


def test_the_query_comes_before_the_body() -> None:
    """Violations in the query come first, as they arrive first."""
    plan = Plan.of([EACH, Location(Shape.QUERY, name="stage")])
    verdict = Request(b'{"d":[{"s":1}]}', query="stage=Seed", plan=plan).decided().verdict
    assert (verdict.reason, verdict.count) == (Reason.ALIAS, 2)
    assert verdict.violations[0] == Violation(None, "stage", "Seed", Reason.ALIAS, "seed", 1)


@pytest.mark.parametrize("body", [b"{", b'{"d":[],"d":[]}'])
def test_a_reason_about_the_body_replaces_what_was_found_before(body: bytes) -> None:
    """A reason about the whole request stands alone, even when the query held a violation."""
    plan = Plan.of([EACH, Location(Shape.QUERY, name="stage")])
    verdict = Request(body, query="stage=x", plan=plan).decided().verdict
    assert verdict.reason in (Reason.UNPARSEABLE, Reason.AMBIGUOUS_JSON)
    assert (verdict.count, verdict.violations, verdict.truncated) == (1, (), False)


def test_a_whole_reason_is_known_as_soon_as_it_can_be() -> None:
    """What the head shows ends the inspection at once; what the first bytes show ends it there."""
    assert Request(GOOD, headers=[], sized=True).inspection().ended
    assert Request(b"x" * (LIMIT + 1), sized=True).inspection().ended
    chunked = Request(GOOD, headers=[]).inspection()
    assert not chunked.ended
    chunked.feed(GOOD[:1])
    assert chunked.ended


@pytest.mark.parametrize(
    ("chunks", "coding", "reason"),
    [
        ([b'"' + b"x" * 49, b"x" * 49 + b'"'], b"identity", None),
        ([b'"' + b"x" * 49, b"x" * 49 + b'" '], b"identity", Reason.TOO_LARGE),
        ([gzip.compress(b"")] * 5 + [b"rest"], b"gzip", Reason.TOO_LARGE),
        ([gzip.compress(b"1".ljust(100))], b"gzip", None),
        ([gzip.compress(b"1".ljust(101))], b"gzip", Reason.TOO_LARGE),
    ],
)
def test_a_body_is_measured_as_sent_and_as_inflated(chunks: list[bytes], coding: bytes, reason: Reason | None) -> None:
    """A body may have maxBodyBytes in all its chunks, and as many when it is open."""
    request = Request(b"".join(chunks), headers=coded(coding), policy=Policy(Vocabulary(), max_body_bytes=100))
    decision = request.decision(chunks)
    assert decision is not None
    assert decision.verdict.reason is reason


def test_the_fault_of_the_judge_is_kept_for_the_log() -> None:
    """When the validator itself fails, its exception can be told."""
    inspection = Request(b"[]", plan=BROKEN).inspection()
    inspection.feed(b"[]")
    inspection.finish()
    assert isinstance(inspection.fault, IndexError)


FUNDS: list[tuple[Request, str, str | None, str]] = [
    (Request(GOOD), "requestId", None, "request-7"),
    (Request(b'{"fund":42}'), "requestId", "42", "request-7"),
    (Request(b'{"fund":42}'), "fundId", "42", "42"),
    (Request(b'{"fund":"f-1"}'), "fundId", "f-1", "f-1"),
    (Request(b'{"fund":null}'), "fundId", None, "request-7"),
    (Request(b"{"), "fundId", None, "request-7"),
    (Request(GOOD, query="fund=a%20b&fund=c", fund=FundSource(query="fund")), "fundId", "a b", "a b"),
    (Request(GOOD, parameters={"f": "7"}, fund=FundSource(path="f")), "fundId", "7", "7"),
    (Request(GOOD, headers=[JSON, (b"X-Tenant", b"t1")]), "header:x-tenant", None, "t1"),
    (Request(GOOD, headers=[JSON, (b"X-TENANT", b"t1")]), "header:X-Tenant", None, "t1"),
    (Request(GOOD), "header:X-Tenant", None, "request-7"),
]


@pytest.mark.parametrize(("request_", "key", "fund", "expected"), FUNDS)
def test_the_key_of_the_gate(request_: Request, key: str, fund: str | None, expected: str) -> None:
    """The percentage goes by the configured key, and by the request id where that is absent."""
    decision = replace(request_, policy=Policy(Vocabulary(), enforcement_key=key)).decided()
    assert decision.fund == fund
    assert decision.enforcement.key == expected
    assert decision.enforcement.bucket == xxhash.xxh3_64_intdigest(expected.encode()) % 10_000


def test_a_key_in_the_body_holds_the_request_until_it_is_known() -> None:
    """While the fund id in the body may still put the request inside, it is held; at 0 % it never can."""
    policy = Policy(Vocabulary(), enforcement_key="fundId")
    source = FundSource(body=("fund",))
    held = Request(BAD, policy=policy, fund=source, percent=0.01)
    assert held.inspection().may_refuse
    assert held.decided().result is Result.WARN
    assert not replace(held, percent=0).inspection().may_refuse
    assert not replace(held, body=b"").inspection().may_refuse


CHUNKED = [
    *[row[1] for row in TABLE if len(row[1].body) < 10_000],
    *[Request(body) for body in (GOOD, BAD, b"{}", GOOD.replace(b"seed", b"s\\u0065ed"))],
    *[Request(gzip.compress(body) * 2, headers=coded(b"gzip")) for body in (GOOD, b"1")],
    *[Request(gzip.compress(body), headers=coded(b"gzip")) for body in (GOOD, BAD)],
    *[Request(zlib.compress(body), headers=coded(b"deflate")) for body in (GOOD, BAD)],
    Request(b"{}".ljust(102), headers=coded(b"deflate"), policy=Policy(Vocabulary(), max_body_bytes=90)),
    Request(json.dumps({"d": [{"s": random.Random(i).choice(["seed", "x", "Seed"])} for i in range(200)]}).encode()),
]


@settings(max_examples=examples(300, 20_000), deadline=None, database=None)
@given(st.sampled_from(CHUNKED), st.lists(st.integers(0, 6000), max_size=12))
def test_chunk_borders_make_no_difference(request_: Request, borders: list[int]) -> None:
    """A body fed in any chunks gives the decision of the body fed whole."""
    cuts = [0, *sorted(min(border % (len(request_.body) + 1), len(request_.body)) for border in borders), None]
    chunks = [request_.body[start:end] for start, end in itertools.pairwise(cuts)]
    assert b"".join(chunks) == request_.body
    assert request_.decision(chunks) == request_.decision()
