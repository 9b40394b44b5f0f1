"""What one inspection knows before its body has ended: whether it may still refuse, surely will, and what it says."""

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import Writer
from support.fields import by_name
from support.length import examples

from gateway.rollout.cohort import is_inside
from gateway.rollout.decision import Decision, Result
from gateway.rollout.endpoints import Endpoint, FundSource, Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode, Policy
from gateway.stages.compiled import CompiledPlan, Sizes
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.reasons import Reason
from gateway.stages.vocabulary import Vocabulary

JSON = (b"Content-Type", b"application/json")
GZIP = (b"Content-Encoding", b"gzip")
EACH = Location(Shape.EACH, ("D",), field="stage")
PLAN = Plan.of([EACH], fund=("f",))
LOCATIONS = Plan.of([Location(Shape.VALUE, ("z",)), EACH, Location(Shape.QUERY, name="stage")], fund=("f",))
DEEPER = Plan.of([Location(Shape.EACH, ("a", "D"), field="stage")])
KEYS = Plan.of([Location(Shape.KEYS, ("k",))], fund=("f",))
SMALL = Sizes(window=64, largest=256, collected=512, whole=256)
IN_BODY = FundSource(body=("f",))
SEED = b'{"stage":"seed"},'
BAD = b'{"stage":"bad"},'
BY_FUND = Policy(Vocabulary(), enforcement_key="fundId")
BY_REQUEST = Policy(Vocabulary())
INSIDE = next(fund for fund in map(str, range(1000)) if is_inside(fund, 50))
OUTSIDE = next(fund for fund in map(str, range(1000)) if not is_inside(fund, 50))


@dataclass(frozen=True)
class Ask:
    """A request to one endpoint, whose judge has small windows."""

    plan: Plan = PLAN
    mode: Mode = Mode.ENFORCE
    percent: float = 100.0
    policy: Policy = BY_REQUEST
    fund: FundSource = IN_BODY
    method: str = "POST"
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    request_id: str = INSIDE
    length: int | None = None

    def opened(self, *chunks: bytes) -> Inspection:
        compiled = CompiledPlan(self.plan, self.policy.vocabulary, SMALL)
        endpoint = Endpoint("/e", self.mode, compiled, fund=self.fund, percent=self.percent)
        head = Head(self.method, "/e", self.query, by_name(self.headers), self.request_id, True, self.length)
        inspection = Inspection(head, Match(endpoint, {}), self.policy)
        for chunk in chunks:
            inspection.feed(chunk)
        return inspection


def finished(inspection: Inspection, *, whole: bool = True) -> Decision:
    decision = inspection.finish(whole=whole)
    assert decision is not None
    return decision


def array(*parts: bytes, head: bytes = b'{"D":[') -> bytes:
    return head + b"".join(parts)


ENOUGH = array(SEED * 20, BAD, SEED * 20)

CERTAIN: list[tuple[str, Ask, list[bytes], bool]] = [
    ("nothing yet", Ask(), [], False),
    ("all good so far", Ask(), [array(SEED * 50)], False),
    ("a bad stage", Ask(), [ENOUGH], True),
    ("a bad stage not yet looked at", Ask(), [array(BAD)], False),
    ("a name twice", Ask(), [array(b'{"stage":"seed","stage":"seed"},', SEED * 40)], True),
    ("the array twice", Ask(), [array(b'{"stage":"seed"}],"D":[', SEED * 40, b"1 " * 400)], False),
    ("no JSON", Ask(), [array(SEED * 20, b"x" * 1000)], False),
    ("no JSON, and a bad stage before", Ask(), [array(SEED * 20, BAD, SEED * 20, b"x" * 1000)], True),
    ("a bad stage that only looks so", Ask(), [b'{"\\u0044":[],"b":{"D":[' + BAD * 40], False),
    (
        "a bad stage beside an array that looks like it",
        Ask(plan=DEEPER),
        [b'{"a":{"\\u0044":[0]},"b":{"D":[' + BAD * 40],
        False,
    ),
    ("a bad stage beside an empty array", Ask(plan=DEEPER), [b'{"a":{"\\u0044":[]},"b":{"D":[' + BAD * 40], False),
    ("a bad query", Ask(plan=LOCATIONS, query="stage=x"), [], True),
    ("a bad stage where windows do not fit", Ask(plan=KEYS), [b'{"k":{"bad":1,"x":"' + b"y" * 20_000], True),
    ("the media type", Ask(headers=(), length=5), [], True),
    ("too large, as announced", Ask(length=10**9), [], True),
    ("encoding that cannot be right", Ask(headers=(JSON, GZIP)), [b"no gzip"], True),
    ("a bad stage in gzip", Ask(headers=(JSON, GZIP)), [gzip.compress(ENOUGH)], True),
    ("a bad stage in warn", Ask(mode=Mode.WARN), [ENOUGH], False),
    ("a bad stage in a read", Ask(method="GET"), [ENOUGH], False),
    ("a bad stage outside the percentage", Ask(percent=50, request_id=OUTSIDE), [ENOUGH], False),
    ("a bad stage inside the percentage", Ask(percent=50), [ENOUGH], True),
    ("the key in the body", Ask(percent=50, policy=BY_FUND), [ENOUGH], False),
    ("the key in the body, everyone inside", Ask(policy=BY_FUND), [ENOUGH], True),
    ("the key in the body, nearly everyone inside", Ask(percent=99.99, policy=BY_FUND), [ENOUGH], False),
    (
        "the key in the query",
        Ask(percent=50, policy=BY_FUND, fund=FundSource(query="f"), query=f"f={INSIDE}"),
        [ENOUGH],
        True,
    ),
    ("the key not in the body", Ask(percent=50, policy=BY_FUND, fund=FundSource()), [ENOUGH], True),
]


@pytest.mark.parametrize(("ask", "chunks", "certain"), [row[1:] for row in CERTAIN], ids=[row[0] for row in CERTAIN])
def test_refusal_is_certain_only_when_it_stands_whatever_follows(ask: Ask, chunks: list[bytes], certain: bool) -> None:
    """It is certain once something is found that can be reported and the request is known to be inside."""
    inspection = ask.opened(*chunks)
    assert inspection.certain is certain
    assert inspection.may_refuse or not certain
    if certain:
        decision = finished(inspection, whole=False)
        assert decision.refused
        assert decision.verdict.reason is not Reason.UNPARSEABLE


def test_an_early_verdict_is_a_lower_bound_with_true_places() -> None:
    """What was found so far is told with its count, its places and the word that there may be more."""
    body = array(SEED * 10, BAD * 3, SEED * 10, b"null,", SEED * 10, head=b'{"f":7,"z":"worse","D":[')
    verdict = finished(Ask(plan=LOCATIONS, query="stage=Seed").opened(body), whole=False).verdict
    assert [(v.pointer, v.parameter, v.value, v.occurrences) for v in verdict.violations] == [
        (None, "stage", "Seed", 1),
        ("/z", None, "worse", 1),
        ("/D/10/stage", None, "bad", 3),
        ("/D/23", None, None, 1),
    ]
    assert (verdict.reason, verdict.count, verdict.count_is_lower_bound) == (Reason.ALIAS, 6, True)
    assert verdict.fund == "7"


def test_a_verdict_of_a_whole_body_is_no_lower_bound() -> None:
    """Seen to its end, a body's count is its count."""
    verdict = finished(Ask().opened(array(BAD * 30)[:-1], b"]}")).verdict
    assert (verdict.count, verdict.count_is_lower_bound) == (30, False)


@pytest.mark.parametrize(
    "body",
    [
        array(b'{"stage":"seed","stage":"bad"},', SEED * 40),
        array(SEED * 40, b'{"stage":"bad","\\u0073tage":"seed"},', SEED * 40),
        b'{"D":[1],"D":[2],"x":"' + b"y" * 20_000,
        b'{"__proto__":1,"x":"' + b"y" * 20_000,
    ],
)
def test_an_ambiguous_body_is_so_before_its_end(body: bytes) -> None:
    """A name that stood twice refuses the body, in whichever way it was read."""
    inspection = Ask().opened(body)
    assert inspection.certain
    decision = finished(inspection, whole=False)
    assert (decision.verdict.reason, decision.verdict.count) == (Reason.AMBIGUOUS_JSON, 1)


def test_only_a_body_seen_to_its_end_is_unparseable() -> None:
    """Of a body broken off nothing is said about what it would have become."""
    for body in (array(SEED * 20, b"x" * 1000), b"x" * 5000, array(b"\xff" * 5000), b"{"):
        assert finished(Ask().opened(body), whole=False).verdict.valid
        assert finished(Ask().opened(body)).verdict.reason is Reason.UNPARSEABLE


def test_enough_is_when_the_report_is_full() -> None:
    """Twenty different findings fill a report; twenty equal ones do not."""
    same, different = array(BAD * 100), array(*(b'{"stage":"bad %d"},' % i for i in range(40)))
    assert not Ask().opened(same).enough
    assert not Ask().opened(different[:200]).enough
    assert Ask().opened(different).enough
    assert Ask(plan=KEYS).opened(b'{"k":{' + b"".join(b'"%d":1,' % i for i in range(4000))).enough


def test_steps_do_the_same_in_small_portions() -> None:
    """Between two steps no more is judged than a few windows, and all is judged when they are through."""
    inspection = Ask().opened(b'{"D":[')
    body = array(SEED * 400, head=b"") + b'{"stage":"bad"}]}'
    assert sum(1 for _ in inspection.steps(body)) > len(body) // SMALL.largest
    assert finished(inspection).verdict == finished(Ask().opened(b'{"D":[' + body)).verdict


@pytest.mark.parametrize("fund", [INSIDE, OUTSIDE])
@pytest.mark.parametrize("request_id", [INSIDE, OUTSIDE])
@pytest.mark.parametrize("end", ["too large", "encoding"])
def test_a_key_in_the_body_decides_as_announced_when_the_body_ends_early(fund: str, request_id: str, end: str) -> None:
    """Once an inspection has ended, what it says of refusing is what it then decides."""
    policy = replace(BY_FUND, max_body_bytes=30_000)
    body = b'{"f":%b,"x":"%b"}' % (fund.encode(), random.Random(3).randbytes(20_000).hex().encode())
    ask = Ask(plan=KEYS, percent=50, policy=policy, request_id=request_id)
    if end == "encoding":
        ask = replace(ask, headers=(JSON, GZIP))
        packed = gzip.compress(body[:25_000])
        inspection = ask.opened(packed, b"rest")
    else:
        inspection = ask.opened(body[:25_000], body[25_000:])
    assert inspection.ended
    may_refuse, certain = inspection.may_refuse, inspection.certain
    decision = finished(inspection)
    assert decision.fund == fund
    assert may_refuse is certain is decision.refused is (fund == INSIDE)


def test_a_key_that_the_whole_body_gives_decides_at_the_end() -> None:
    """While the fund id is to come the request is held; then the fund id alone decides."""
    for fund, result in ((INSIDE, Result.REJECT), (OUTSIDE, Result.WARN)):
        inspection = Ask(percent=50, policy=BY_FUND, request_id=OUTSIDE).opened(ENOUGH)
        assert inspection.may_refuse
        assert not inspection.certain
        inspection.feed(b'{"stage":"seed"}],"f":' + fund.encode() + b"}")
        assert finished(inspection).result is result


def cut(body: bytes, chance: random.Random) -> Iterator[bytes]:
    while body:
        size = chance.choice((1, 20, 300))
        yield body[:size]
        body = body[size:]


@settings(max_examples=examples(400, 20_000), deadline=None, database=None)
@given(st.integers(0, 2**63), st.sampled_from([PLAN, LOCATIONS, KEYS]), st.sampled_from([100.0, 50.0]))
def test_what_is_certain_of_a_part_is_decided_of_the_whole(seed: int, plan: Plan, percent: float) -> None:
    """A request that is certainly refused at some byte is refused in the end, and for no fewer findings."""
    chance = random.Random(seed)
    ask = Ask(
        plan=plan,
        percent=percent,
        request_id=chance.choice([INSIDE, OUTSIDE]),
        policy=chance.choice([BY_FUND, BY_REQUEST]),
    )
    body = Writer(chance).document(plan)
    inspection = ask.opened()
    for chunk in cut(body, chance):
        inspection.feed(chunk)
        if inspection.certain:
            early, whole = finished(inspection, whole=False), finished(ask.opened(body))
            assert early.refused
            assert whole.refused
            alone = {Reason.UNPARSEABLE, Reason.AMBIGUOUS_JSON}
            assert whole.verdict.reason in alone or whole.verdict.count >= early.verdict.count
            return
