"""The fast path through a whole document says "all good" only of what the exact judge finds nothing in."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import Writer, plans
from support.judges import VOCABULARY, body_judge, exact, feed
from support.length import examples

from gateway.stages.fast import FastPath
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Verdict

KEYS = Plan.of([Location(Shape.KEYS, ("k",), required=True)], fund=("f",))
SUMMED = Plan.of([Location(Shape.KEYS, ("k",))], tolerance=0.01)
EACH = Plan.of([Location(Shape.EACH, ("a", "D"), field="stage", weight="w")])
WEIGHED = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.01)
ACCENT = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="é")])
VALUE = Plan.of([Location(Shape.VALUE, ("a", "z")), Location(Shape.VALUE, ("z",), required=True)])
ROOT = Plan.of([Location(Shape.EACH, (), field="stage")])
PLANS = [plan for plan in plans() if FastPath(plan, VOCABULARY).has_document]


def look(body: str | bytes, plan: Plan) -> tuple[int, str | None] | None:
    fast = FastPath(plan, VOCABULARY)
    assert fast.has_document
    seen = fast.document(body if isinstance(body, bytes) else body.encode(), required=True)
    return None if seen is None else (seen.values, seen.fund)


@pytest.mark.parametrize(
    ("plan", "body", "good"),
    [
        (KEYS, '{"k":{}}', (0, None)),
        (KEYS, '{"f":7,"k":{"seed":"x","series-a":[{}]},"x":{"y":[1e400]}}', (2, "7")),
        (KEYS, '{"k":{"seed":1},"f":"7"}', (1, "7")),
        (SUMMED, '{"k":{"seed":0.5,"series-a":0.5}}', (2, None)),
        (SUMMED, "{}", (0, None)),
        (EACH, '{"a":{"D":[{"stage":"seed","w":1},{"w":0,"stage":"series-a","é":"é"}]}}', (2, None)),
        (EACH, "{}", (0, None)),
        (EACH, '{"a":{}}', (0, None)),
        (EACH, '{"a":{"D":[{"stage":"seed"},{"x":"y","stage":"series-a"}]}}', (2, None)),
        (WEIGHED, '{"D":[{"stage":"seed","w":0.4},{"stage":"seed","w":0.6}]}', (2, None)),
        (VALUE, '{"z":"seed","a":{"z":"series-b"}}', (2, None)),
        (ROOT, '[{"stage":"seed"}]', (1, None)),
    ],
)
def test_good_documents_are_good(plan: Plan, body: str, good: tuple[int, str | None]) -> None:
    """A document whose guarded places are as they should be is good, whatever else it holds."""
    assert look(body, plan) == good


@pytest.mark.parametrize(
    ("plan", "body"),
    [
        (KEYS, "{}"),
        (KEYS, '{"k":null}'),
        (KEYS, '{"k":{"Seed":1}}'),
        (KEYS, '{"k":{"seed":1,"seed":2}}'),
        (KEYS, '{"k":{"bad":1},"k":{"seed":1}}'),
        (KEYS, '{"\\u006b":{"bad":1},"k":{"seed":1}}'),
        (KEYS, '{"k":{"\\u0073eed":1,"seed":1}}'),
        (KEYS, '{"k":{"seed":1},"__proto__":1}'),
        (KEYS, '{"k":{"seed":1},"f":1.5}'),
        (KEYS, '{"k":{"seed":1},"f":18446744073709551616}'),
        (KEYS, '{"k":{"seed":1},"f":1,"f":2}'),
        (KEYS, '{"k":{"seed":1}} x'),
        (KEYS, '{"k":{"seed":1},"x":"\\ud800"}'),
        (KEYS, b'{"k":{"seed":1},"x":"\xff"}'),
        (KEYS, '{"k":{"seed":1},"x":%s}' % ("[" * 1024 + "]" * 1024)),
        (KEYS, ""),
        (SUMMED, '{"k":{"seed":0.5}}'),
        (SUMMED, '{"k":{"seed":"1"}}'),
        (SUMMED, '{"k":{}}'),
        (EACH, '{"a":{"D":[{"stage":"seed"},{"stage":"seed","w":1}]}}'),
        (EACH, '{"a":{"D":[{"stage":"seed","\\u0077":1}]}}'),
        (EACH, '{"a":{"D":[{"stage":"seed","stage":"seed"}]}}'),
        (EACH, '{"a":{"D":[{"stage":"seed"},{}]}}'),
        (EACH, '{"a":{"D":[{"stage":"seed","x":"w"}]}}'),
        (ACCENT, '{"D":[{"stage":"seed","\\u00e9":1,"\\u00e9":2}]}'),
        (EACH, '{"a":{"D":[{"stage":"bad","stage":"seed","w":1}]}}'),
        (EACH, '{"a":{"D":[]},"a":{"D":[]}}'),
        (EACH, '{"a":[]}'),
        (WEIGHED, '{"D":[{"stage":"seed","w":0.4}]}'),
        (WEIGHED, '{"D":[]}'),
        (VALUE, '{"a":{"z":"seed"}}'),
        (VALUE, '{"z":1}'),
        (ROOT, "{}"),
    ],
)
def test_what_is_not_certain_is_left_to_the_exact_judge(plan: Plan, body: str | bytes) -> None:
    """What is wrong, absent though required, could stand twice or could be no JSON is never called good."""
    assert look(body, plan) is None


@settings(max_examples=examples(1_000, 50_000), deadline=None, database=None)
@given(st.integers(0, 2**63), st.integers(0, len(PLANS) - 1), st.booleans())
def test_good_is_good_to_the_exact_judge(seed: int, number: int, required: bool) -> None:
    """What the fast path calls good has no finding, and as many values and the same fund, to the exact judge."""
    plan = PLANS[number]
    body = Writer(Random(seed)).document(plan)
    seen = FastPath(plan, VOCABULARY).document(body, required=required)
    if seen is not None:
        assert exact(body, plan, required=required) == repr(Verdict(values=seen.values, fund=seen.fund))


@pytest.mark.parametrize("entries", [1, 30, 1000, 6000])
def test_a_good_body_is_looked_at_once(entries: int) -> None:
    """A good body is parsed once, beside its head and its end, whether it is one window or many."""
    body = b'{"f":7,"D":[%b],"x":1}' % b",".join([b'{"stage":"seed","w":0.5}'] * entries)
    judge, findings = body_judge(Plan.of(WEIGHED.locations, fund=("f",)))
    feed(judge, [body])
    assert run_to_completion(judge.finish()) is None
    assert findings.verdict() == Verdict(values=entries, fund="7")
    assert judge.parsed <= len(body) + 200


@pytest.mark.parametrize(
    "locations",
    [
        [Location(Shape.VALUE, ("*", "z"))],
        [Location(Shape.VALUE, ("a", "0"))],
        [Location(Shape.EACH, ("D",), field="stage"), Location(Shape.EACH, ("E",), field="stage")],
        [Location(Shape.EACH, ("D",), field='"')],
        [Location(Shape.VALUE, ("a",)), Location(Shape.VALUE, ("a", "z"))],
    ],
)
def test_what_no_struct_holds_has_no_fast_path(locations: list[Location]) -> None:
    """Places under `*`, at an index, in several arrays or within each other are the exact judge's alone."""
    fast = FastPath(Plan.of(locations), VOCABULARY)
    assert not fast.has_document
    assert fast.document(b"{}", required=False) is None
