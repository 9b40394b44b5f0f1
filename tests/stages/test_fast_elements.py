"""The fast path through elements says "all good" only of what the exact judge finds nothing in."""

import random
import sys
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import Writer
from support.judges import VOCABULARY, exact
from support.length import examples

from gateway.stages.fast import FastPath, Good, Malformed
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.syntax import MAX_DEPTH
from gateway.stages.verdict import Verdict
from gateway.stages.vocabulary import Vocabulary

PLAIN = Plan.of([Location(Shape.EACH, (), field="stage")])
EACH = Plan.of([Location(Shape.EACH, (), field="stage", weight="w")])
WEIGHED = Plan.of([Location(Shape.EACH, (), field="stage", weight="w")], tolerance=1e9)
SLASH = Plan.of([Location(Shape.EACH, (), field="a/b")])
ACCENT = Plan.of([Location(Shape.EACH, (), field="é")])
COLON = Plan.of([Location(Shape.EACH, (), field="a:b")])
SEED = b'{"stage":"seed"}'


def fast_path(plan: Plan, vocabulary: Vocabulary = VOCABULARY) -> FastPath:
    fast = FastPath(plan, vocabulary)
    assert fast.has_elements
    return fast


def look(body: bytes, plan: Plan = PLAIN, total: float | None = 0.0) -> Good | str | None:
    """Look at an array, behind which the buffer goes on."""
    with memoryview(body + b',{"stage":"x\\u0073\xff') as buffer, buffer[: len(body)] as window:
        try:
            return fast_path(plan).elements(window, total, ascii_only=body.isascii())
        except Malformed:
            return "malformed"


@pytest.mark.parametrize(
    ("plan", "body", "good"),
    [
        (PLAIN, b"[]", Good(0, None)),
        (PLAIN, b"[%b]" % SEED, Good(1, None)),
        (PLAIN, b'[ {"x":[{}],\n"stage" : "seed"} ,%b]' % SEED, Good(2, None)),
        (PLAIN, '[{"stage":"seed","x":"é"}]'.encode(), Good(1, None)),
        (PLAIN, b'[{"stage":"seed","x":"\\n\\u00e9\\u4e00\\""}]', Good(1, None)),
        (PLAIN, b'[{"stage":"seed","x":1e400}]', Good(1, None)),
        (PLAIN, b'[{"stage":"seed","x":"\\ud83d\\ude00\\ud83d\\ude00"}]', Good(1, None)),
        (EACH, b'[{"stage":"seed","w":1}]', Good(1, None)),
        (EACH, b'[{"stage":"seed"},{"stage":"seed"}]', Good(2, None)),
        (EACH, b'[{"stage":"seed","x":{"W":1}}]', Good(1, None)),
        (WEIGHED, b'[{"stage":"seed","w":1},{"w":-0.5,"stage":"series-a"}]', Good(2, 0.5)),
        (SLASH, b'[{"a/b":"seed"}]', Good(1, None)),
        (ACCENT, '[{"é":"seed"}]'.encode(), Good(1, None)),
        (COLON, b'[{"a:b":"seed","x":":"}]', Good(1, None)),
    ],
)
def test_good_elements_are_counted(plan: Plan, body: bytes, good: Good) -> None:
    """Elements whose guarded members are as they should be are good, whatever else they hold."""
    assert look(body, plan) == good


@pytest.mark.parametrize(
    ("plan", "body"),
    [
        (PLAIN, b'[{"stage":"bad"}]'),
        (PLAIN, b'[{"stage":"Seed"}]'),
        (PLAIN, b'[{"stage":1}]'),
        (PLAIN, b"[{}]"),
        (PLAIN, b"[null]"),
        (PLAIN, b"[%b,1]" % SEED),
        (PLAIN, b'[{"stage":"bad","stage":"seed"}]'),
        (PLAIN, b'[{"stage":"seed","x":"stage","stage":"seed"}]'),
        (PLAIN, b'[{"\\u0073tage":"bad","stage":"seed"}]'),
        (PLAIN, b'[{"\\u0073tage":"seed"}]'),
        (PLAIN, b'[{"stage":"seed","x":"\\ud800"}]'),
        (PLAIN, b'[{"stage":"seed","x":"\\uDFFF"}]'),
        (PLAIN, b'[{"stage":"seed","x":"\xff"}]'),
        (PLAIN, b'[{"stage":"seed","x":"\xed\xa0\x80"}]'),
        (PLAIN, b'[{"stage":"seed","__proto__":1}]'),
        (PLAIN, b'[{"stage":"seed","x":{"__proto__":1}}]'),
        (PLAIN, b'[{"stage":"seed","\\u005f_proto__":1}]'),
        (EACH, b'[{"stage":"seed"},{"stage":"seed","w":1}]'),
        (EACH, b'[{"stage":"seed","\\u0077":1}]'),
        (WEIGHED, b'[{"stage":"seed"}]'),
        (EACH, b'[{"stage":"seed","w":"1"}]'),
        (EACH, b'[{"stage":"seed","w":null}]'),
        (EACH, b'[{"stage":"seed","w":1,"w":2}]'),
        (EACH, b'[{"stage":"Series A","stage":"seed","w":1},{"w":1}]'),
        (SLASH, b'[{"a\\/b":"bad","a/b":"seed"}]'),
        (ACCENT, '[{"é":"seed","\\u00e9":"bad"}]'.encode()),
        (COLON, b'[{"a:b":"bad","a:b":"seed"}]'),
    ],
)
def test_what_is_not_certain_is_left_to_the_exact_judge(plan: Plan, body: bytes) -> None:
    """A wrong value, a name that could stand twice, or bytes that could be no JSON are never called good."""
    assert look(body, plan) is None


@pytest.mark.parametrize(
    "body", [b"[", b"[%b,]" % SEED, b"[%b" % SEED, b'[{"stage":"seed"]', b'[{"stage":"seed","x":01}]']
)
def test_what_is_no_json_is_told(body: bytes) -> None:
    """Bytes that do not parse are malformed, so that another cut is tried."""
    assert look(body) == "malformed"


@settings(max_examples=examples(1_000, 50_000), deadline=None, database=None)
@given(st.integers(0, 2**63), st.sampled_from([PLAIN, EACH, WEIGHED]))
def test_good_is_good_to_the_exact_judge(seed: int, plan: Plan) -> None:
    """What the fast path calls good has no finding, and as many values, to the exact judge."""
    body = Writer(random.Random(seed)).document(plan)
    good = look(body, plan)
    if isinstance(good, Good):
        wanted = Verdict(values=good.count)
        assert exact(body, EACH if plan is WEIGHED else plan) == repr(wanted)


@pytest.fixture
def deeper_python() -> Iterator[None]:
    """Let Python recurse so deep that it does not stop msgspec, as releases after 3.11 do."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(before)


def deep(levels: int) -> bytes:
    return b'{"stage":"seed","x":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize("path", [(), ("D",), tuple("path of many names")])
@pytest.mark.parametrize("others", [0, 1, 3000])
def test_what_is_too_deep_is_never_good(deeper_python: None, path: tuple[str, ...], others: int) -> None:
    """However deep msgspec reads, an element deeper than orjson reads in its document is not called good."""
    plan = Plan.of([Location(Shape.EACH, path, field="stage")])
    fast = fast_path(plan)
    for levels in (MAX_DEPTH - len(path) - 2, MAX_DEPTH - len(path) - 1, MAX_DEPTH, MAX_DEPTH + others):
        window = memoryview(b"[" + b",".join([*[SEED] * others, deep(levels)]) + b"]")
        try:
            orjson.loads(b"[" * len(path) + bytes(window) + b"]" * len(path))
            readable = True
        except orjson.JSONDecodeError:
            readable = False
        assert readable is (levels <= MAX_DEPTH - len(path) - 2)
        assert readable or fast.elements(window, 0.0, ascii_only=True) is None


def test_elements_with_containers_in_them_are_still_good(deeper_python: None) -> None:
    """A few containers in each element are no sign of depth."""
    window = memoryview(b"[" + b",".join([b'{"stage":"seed","x":[{}]}'] * 400) + b"]")
    assert fast_path(PLAIN).elements(window, 0.0, ascii_only=True) == Good(400, None)


def test_a_document_of_many_elements_is_still_good(deeper_python: None) -> None:
    """Elements beside each other are no sign of depth in a whole document either, and a deep one among them is."""
    fast = fast_path(PLAIN)
    seen = fast.document(b"[" + b",".join([SEED] * 3000) + b"]", required=False)
    assert seen is not None
    assert seen.values == 3000
    for levels, good in ((MAX_DEPTH - 3, True), (MAX_DEPTH - 2, True), (MAX_DEPTH - 1, False)):
        body = b"[" + b",".join([*[SEED] * 1999, deep(levels)]) + b"]"
        assert (fast.document(body, required=False) is not None) is good, levels
