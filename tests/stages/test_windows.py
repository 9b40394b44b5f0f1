"""The windowed judge means what the exact judge means, and so does the incremental one.

The first test is the property itself, over random documents, chunk borders and window sizes.
"""

import json
from random import Random

import orjson
import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from support.documents import Writer, plans
from support.judges import (
    SMALL,
    VOCABULARY,
    assert_all_agree,
    at_random,
    body_judge,
    exact,
    feed,
    in_chunks,
    incremental,
    meaning,
)
from support.length import examples

from gateway.stages.compiled import CompiledPlan, Sizes
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.reasons import Reason
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings
from gateway.stages.windows import BodyJudge

PLANS = plans()
SIZES = [
    Sizes(window, largest, collected, whole)
    for window in (16, 40, 100, 300, 2000)
    for largest in (50, 200, 1000)
    for collected in (10, 200, 5000)
    for whole in (0, 700, 256 * 1024)
]
COMPILED_PLANS: dict[tuple[int, int], CompiledPlan] = {}

AT_ROOT = Plan.of([Location(Shape.EACH, (), field="stage")])
EACH = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")])
PLAIN = Plan.of([Location(Shape.EACH, ("D",), field="stage")])
WEIGHED = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.01)
DEEPER = Plan.of([Location(Shape.EACH, ("a", "D"), field="stage")])
STAR = Plan.of([Location(Shape.EACH, ("*", "items"), field="stage")])
SLASH = Plan.of([Location(Shape.EACH, ("a/b",), field="c/d")])
ACCENT = Plan.of([Location(Shape.EACH, ("é",), field="é")])
TWO = Plan.of(
    [Location(Shape.EACH, ("D",), field="stage"), Location(Shape.KEYS, ("k",)), Location(Shape.VALUE, ("z",))]
)

SEED = b'{"stage":"seed"}'
UNPARSEABLE = meaning(Reason.UNPARSEABLE, Findings())
FILL = b",".join([SEED] * 60)


def is_json(body: bytes) -> bool:
    """Ask a reader that has nothing in common with ours; it also takes what is JSON only to itself."""
    try:
        json.loads(body.decode("utf-8"))
    except ValueError:
        return False
    return True


def judge_of(plan: int, sizes: int) -> CompiledPlan:
    if (plan, sizes) not in COMPILED_PLANS:
        COMPILED_PLANS[plan, sizes] = CompiledPlan(PLANS[plan], VOCABULARY, SIZES[sizes])
    return COMPILED_PLANS[plan, sizes]


def path_of(judge: BodyJudge) -> str:
    cutter = judge._cutter
    windows = "windows" if cutter is not None and cutter.prefix.count else "no windows"
    return f"{windows}, {'streamed' if judge._stream is not None else 'at once'}"


@settings(max_examples=examples(1_000, 100_000), deadline=None, database=None)
@given(seed=st.integers(0, 2**63), number=st.integers(0, len(PLANS) - 1), size=st.integers(0, len(SIZES) - 1))
def test_the_three_judges_mean_the_same(seed: int, number: int, size: int) -> None:
    """Whatever the document, the chunks it comes in and the windows it is cut into, the verdict is the same."""
    random, plan = Random(seed), PLANS[number]
    body, required = Writer(random).document(plan), random.random() < 0.5
    note(f"{body!r}\n{plan.locations}, fund {plan.fund}, tolerance {plan.tolerance}, {required=}, {SIZES[size]}")
    wanted = exact(body, plan, required=required)
    assert is_json(body) or wanted == UNPARSEABLE
    assert plan.root is not None
    findings = Findings()
    judge = BodyJudge(judge_of(number, size), plan.root, findings, required=required)
    feed(judge, at_random(body, random))
    assert meaning(run_to_completion(judge.finish()), findings) == wanted
    assert incremental(at_random(body, random), plan, required=required) == wanted
    event(path_of(judge))
    event(wanted.partition(",")[0])


@settings(max_examples=examples(300, 20_000), deadline=None, database=None)
@given(seed=st.integers(0, 2**63), number=st.integers(0, len(PLANS) - 1), size=st.integers(0, len(SIZES) - 1))
def test_certain_is_never_taken_back(seed: int, number: int, size: int) -> None:
    """A body that was certainly wrong at some byte is wrong in the end, and what was found till then is part of it."""
    random, plan = Random(seed), PLANS[number]
    body, required = Writer(random).document(plan), random.random() < 0.5
    note(f"{body!r}\n{plan.locations}, tolerance {plan.tolerance}, {required=}, {SIZES[size]}")
    assert plan.root is not None
    findings = Findings()
    judge = BodyJudge(judge_of(number, size), plan.root, findings, required=required)
    for chunk in at_random(body, random):
        feed(judge, [chunk])
        if judge.certain:
            break
    if not judge.certain:
        return
    event(path_of(judge))
    reason = run_to_completion(judge.give_up())
    early = findings.verdict(lower_bound=True)
    assert reason is Reason.AMBIGUOUS_JSON or early.count > 0
    whole = Findings()
    told = BodyJudge(judge_of(number, size), plan.root, whole, required=required)
    feed(told, [body])
    last = run_to_completion(told.finish())
    if last is None:
        assert reason is None
        assert early.reason is whole.first or plan.tolerance is not None  # weights before the array are not looked at
        assert whole.count >= early.count
        assert whole.values >= early.values
        listed = {(v.pointer, v.value, v.reason) for v in whole.verdict().violations}
        assert whole.truncated or {(v.pointer, v.value, v.reason) for v in early.violations} <= listed


def deep(levels: int) -> bytes:
    return b'{"stage":"seed","x":' + b"[" * levels + b"]" * levels + b"}"


def among(*odd: bytes, plan_head: bytes = b'{"D":[', tail: bytes = b"]}") -> bytes:
    """Put odd elements in the middle of many good ones."""
    return plan_head + b",".join([FILL, *odd, FILL]) + tail


CASES: dict[str, tuple[Plan, bytes, str]] = {
    "a comma before the end": (EACH, b'{"D":[' + FILL + b",]}", "unparseable"),
    "a comma before the end of the root": (AT_ROOT, b"[" + FILL + b",]", "unparseable"),
    "a comma first": (EACH, b'{"D":[,' + FILL + b"]}", "unparseable"),
    "two commas": (EACH, among(b""), "unparseable"),
    "no comma": (EACH, among(SEED + SEED), "unparseable"),
    "no end": (EACH, b'{"D":[' + FILL, "unparseable"),
    "another bracket": (EACH, b'{"D":[' + FILL + b"}}", "unparseable"),
    "an element that closes the array": (EACH, among(SEED + b'],"y":[' + SEED), "None"),
    "counts that balance": (EACH, among(b'{"stage":"Series A","stage":"seed"}', b'{"w":1}'), "ambiguous_json"),
    "counts that balance, bare": (PLAIN, among(b'{"stage":"bad","stage":"seed"}'), "ambiguous_json"),
    "an escaped double": (EACH, among(b'{"\\u0073tage":"bad","stage":"seed"}'), "ambiguous_json"),
    "bad, then good": (EACH, b'{"D":[{"stage":"bad"}],"D":[' + FILL + b"]}", "ambiguous_json"),
    "good, then empty": (EACH, b'{"D":[' + FILL + b'],"D":[]}', "ambiguous_json"),
    "good, then empty, escaped": (EACH, b'{"D":[' + FILL + b'],"\\u0044":[]}', "ambiguous_json"),
    "good, then none": (EACH, b'{"D":[' + FILL + b'],"D":null}', "ambiguous_json"),
    "a star over a decoy": (STAR, b'{"a":{"items":[]},"b":{"x":[' + FILL + b"]}}", "None"),
    "a star over two": (STAR, b'{"a":{"items":[' + FILL + b']},"b":{"items":[{"stage":"bad"}]}}', "disallowed_value"),
    "an array of that name elsewhere": (
        DEEPER,
        b'{"a":{"\\u0044":[]},"b":{"D":[{"stage":"bad"},' + FILL + b"]}}",
        "None",
    ),
    "that name elsewhere first": (EACH, b'{"a":{"D":[{"stage":"bad"},' + FILL + b']},"D":[' + FILL + b"]}", "None"),
    "that name in a string": (EACH, b'{"x":"\\"D\\":[","D":[' + FILL + b"]}", "None"),
    "a slash in the names": (SLASH, b'{"a\\/b":[' + FILL.replace(b"stage", b"c\\/d") + b"]}", "None"),
    "a slash, twice": (SLASH, b'{"a/b":[' + FILL.replace(b"stage", b"c/d") + b'],"a\\/b":[]}', "ambiguous_json"),
    "a slash within, twice": (SLASH, b'{"a/b":[{"c\\/d":"bad","c/d":"seed"}]}', "ambiguous_json"),
    "an accent in the names": (ACCENT, '{"é":['.encode() + FILL.replace(b"stage", "é".encode()) + b"]}", "None"),
    "an accent, twice": (ACCENT, '{"é":[{"é":"seed","\\u00e9":"bad"}]}'.encode(), "ambiguous_json"),
    "an accent, escaped": (ACCENT, b'{"\\u00e9":[' + FILL.replace(b"stage", b"\\u00E9") + b"]}", "None"),
    "scalars": (EACH, b'{"D":[' + b",".join([b"123"] * 200) + b"]}", "wrong_type"),
    "strings": (EACH, b'{"D":[' + b",".join([b'"seed"'] * 200) + b"]}", "wrong_type"),
    "objects and scalars": (EACH, b'{"D":[' + b",12,34,".join([SEED] * 100) + b"]}", "wrong_type"),
    "empty objects": (EACH, b'{"D":[' + b",".join([b"{}"] * 200) + b"]}", "missing"),
    "too deep within": (EACH, among(deep(1022)), "unparseable"),
    "as deep as can be": (EACH, among(deep(1021)), "None"),
    "nearly too deep": (EACH, among(deep(985)), "None"),
    "a number out of range": (EACH, among(b'{"stage":"seed","x":1e400}'), "None"),
    "a bad stage by a number out of range": (EACH, among(b'{"stage":"bad","x":-1e400}'), "disallowed_value"),
    "a weight out of range": (WEIGHED, among(b'{"stage":"seed","w":1e400}'), "wrong_type"),
    "a huge integer": (EACH, among(b'{"stage":"seed","x":' + b"9" * 6000 + b"}"), "None"),
    "bytes that are no text": (EACH, among(b'{"stage":"seed","x":"\xff"}'), "unparseable"),
    "an encoded surrogate": (EACH, among(b'{"stage":"seed","x":"\xed\xa0\x80"}'), "unparseable"),
    "a lone surrogate": (EACH, among(b'{"stage":"seed","x":"\\ud800"}'), "unparseable"),
    "a lone low surrogate": (EACH, among(b'{"stage":"seed","x":"\\uDC00"}'), "unparseable"),
    "surrogates apart": (EACH, among(b'{"stage":"seed","x":"\\ud83d \\ude00"}'), "unparseable"),
    "a pair of surrogates": (EACH, among(b'{"stage":"seed","x":"\\ud83d\\ude00"}'), "None"),
    "a control character": (EACH, among(b'{"stage":"seed","x":"\x01"}'), "unparseable"),
    "a form feed": (EACH, among(b"\x0c" + SEED), "unparseable"),
    "an unknown escape": (EACH, among(b'{"stage":"seed","x":"\\x"}'), "unparseable"),
    "a prototype": (EACH, among(b'{"stage":"seed","__proto__":{}}'), "ambiguous_json"),
    "an escaped prototype": (EACH, among(b'{"stage":"seed","\\u005f_proto__":{}}'), "ambiguous_json"),
    "a prototype further down": (EACH, among(b'{"stage":"seed","x":{"__proto__":{}}}'), "None"),
    "a mark of byte order": (EACH, b'\xef\xbb\xbf{"D":[' + FILL + b"]}", "unparseable"),
    "spaces before commas": (EACH, b'{"D":[' + FILL.replace(b"},", b"} ,") + b"]}", "None"),
    "lines that begin with commas": (EACH, b'{"D":[' + FILL.replace(b"},", b"}\r\n,") + b"]}", "None"),
    "sixty objects in each": (
        EACH,
        b'{"D":[' + b",".join([b'{"stage":"seed","x":[%b]}' % FILL] * 20) + b"]}",
        "None",
    ),
    "strings like separators": (EACH, among(*[b'{"stage":"seed","x":"},{\\"stage\\":"}'] * 30), "None"),
    "several locations": (TWO, b'{"k":{"bad":1},"D":[' + FILL + b'],"z":"worse"}', "disallowed_value"),
    "several locations, all good": (TWO, b'{"z":"seed","D":[' + FILL + b'],"k":{"seed":1}}', "None"),
    "weights that add up": (WEIGHED, b'{"D":[' + b",".join([b'{"stage":"seed","w":0.01}'] * 100) + b"]}", "None"),
    "weights that do not": (WEIGHED, b'{"D":[' + b",".join([b'{"stage":"seed","w":0.1}'] * 100) + b"]}", "weight_sum"),
    "a weight that is missing": (WEIGHED, b'{"D":[%b,%b]}' % (SEED, b'{"stage":"seed","w":1}'), "wrong_type"),
    "nothing after the array": (AT_ROOT, b" [" + FILL + b"] ", "None"),
    "something after the array": (AT_ROOT, b"[" + FILL + b"] x", "unparseable"),
    "an array where an object should be": (EACH, b"[" + FILL + b"]", "None"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_document_built_against_the_cut(name: str) -> None:
    """Documents that broke simpler ways to cut mean to all judges what they should."""
    plan, body, reason = CASES[name]
    said = assert_all_agree(body, plan, sizes=[SMALL, Sizes(32, 64, 128), Sizes(100, 100_000, 200_000)])
    assert said.startswith(f"Verdict(reason={'None' if reason == 'None' else f'<Reason.{reason.upper()}'}"), said


def test_every_cut_of_a_document_is_judged_alike() -> None:
    """Wherever the first chunk ends and whatever the size of a window, nothing changes."""
    body = among(b'{"stage":"Series A","x":[{"stage":1}]}', b"null", b'{"w":"},{"}')
    wanted = exact(body, EACH)
    for border in range(len(body)):
        judge, findings = body_judge(EACH, sizes=Sizes(16 + border % 200, 400, 100))
        feed(judge, [body[:border], body[border:]])
        assert meaning(run_to_completion(judge.finish()), findings) == wanted


@pytest.mark.parametrize("size", [5_000, 70_000, 600_000])
def test_an_ordinary_body_is_cut_at_the_sizes_of_every_day(size: int) -> None:
    """A large array of good elements is judged in windows alone, each byte once, and counted whole."""
    elements = [{"stage": "seed", "weight": 0.25, "note": f"é {i}"} for i in range(size // 50)]
    judge, findings = body_judge(PLAIN)
    body = orjson.dumps({"D": elements, "fundId": 3})
    feed(judge, in_chunks(body, 16 * 1024))
    assert run_to_completion(judge.finish()) is None
    assert (findings.count, findings.values) == (0, len(elements))
    assert path_of(judge) == "windows, at once"
    assert judge.parsed < len(body) + 1000


def test_a_body_that_is_no_document_has_no_fund() -> None:
    """A fund id that stood in what turned out to be no JSON decides nothing, whichever judge had read it."""
    plan = Plan.of([Location(Shape.EACH, ("D",), field="stage")], fund=("f",))
    for sizes in (Sizes(), SMALL, Sizes(16, 16, 16)):
        judge, findings = body_judge(plan, sizes=sizes)
        feed(judge, [b'{"f":7,"x":[' + b"1," * 20_000 + b"]}"])
        assert run_to_completion(judge.finish()) is Reason.UNPARSEABLE
        assert findings.fund is None


def test_the_incremental_judge_takes_over_what_was_proven() -> None:
    """When windows fail in the middle, what they found before is neither lost nor counted twice."""
    huge = b'{"stage":"seed","x":"' + b"y" * 2000 + b'"}'
    body = among(b'{"stage":"one"}', huge, b'{"stage":"two"}')
    judge, findings = body_judge(EACH, sizes=SMALL)
    feed(judge, in_chunks(body, 50))
    assert run_to_completion(judge.finish()) is None
    assert path_of(judge) == "windows, streamed"
    assert [(v.pointer, v.value) for v in findings.verdict().violations] == [
        ("/D/60/stage", "one"),
        ("/D/62/stage", "two"),
    ]
    assert findings.values == 123
