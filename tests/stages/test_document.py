"""The exact judge: by tables of what is wrong at which location, with its reason and place."""

import json
import random
from typing import Any

import orjson
import pytest

from gateway.stages.document import judge_document
from gateway.stages.locators import Location, Plan, Shape, parse_pointer
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import fund_text
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings, Verdict, whole_request
from gateway.stages.vocabulary import Vocabulary

Found = tuple[str, str | None, Any, int]  # reason, pointer, value, occurrences


def keys(pointer: str, *, required: bool = False) -> Location:
    return Location(Shape.KEYS, parse_pointer(pointer), required=required)


def each(pointer: str, field: str = "s", weight: str | None = None, *, required: bool = False) -> Location:
    return Location(Shape.EACH, parse_pointer(pointer), field=field, weight=weight, required=required)


def value(pointer: str, *, required: bool = False) -> Location:
    return Location(Shape.VALUE, parse_pointer(pointer), required=required)


def judged(body: str | bytes, plan: Plan, *, required: bool = False, accept_aliases: bool = False) -> Verdict:
    findings = Findings()
    text = body.encode() if isinstance(body, str) else body
    reason = run_to_completion(
        judge_document(text, plan, Vocabulary(accept_aliases=accept_aliases), findings, required=required)
    )
    return findings.verdict() if reason is None else whole_request(reason)


def listed(verdict: Verdict) -> list[Found]:
    return [(v.reason.value, v.pointer, v.value, v.occurrences) for v in verdict.violations]


SHAPES: list[tuple[Location, str, list[Found]]] = [
    (keys("/a"), '{"a":{"seed":1,"series-a":2}}', []),
    (keys("/a"), '{"a":{"Seed":2}}', [("alias", "/a/Seed", "Seed", 1)]),
    (keys("/a"), '{"a":{"seed":1,"x/y~":3}}', [("disallowed_value", "/a/x~1y~0", "x/y~", 1)]),
    (keys("/a"), '{"a":{"":1}}', [("disallowed_value", "/a/", "", 1)]),
    (keys("/a"), '{"a":{}}', []),
    (keys("/a"), '{"a":[]}', [("wrong_type", "/a", "[…]", 1)]),
    (keys("/a"), '{"a":null}', [("wrong_type", "/a", None, 1)]),
    (keys("/a"), "{}", []),
    (keys(""), '{"bad":1}', [("disallowed_value", "/bad", "bad", 1)]),
    (keys("/*"), '{"x":{"bad":1},"y":{"seed":1}}', [("disallowed_value", "/x/bad", "bad", 1)]),
    (each("/a"), '{"a":[{"s":"seed"},{"s":"bad"},{"s":"bad"}]}', [("disallowed_value", "/a/1/s", "bad", 2)]),
    (each("/a"), '{"a":[{"s":""}]}', [("disallowed_value", "/a/0/s", "", 1)]),
    (each("/a"), '{"a":[{"s":null}]}', [("wrong_type", "/a/0/s", None, 1)]),
    (each("/a"), '{"a":[{"s":["seed"]}]}', [("wrong_type", "/a/0/s", "[…]", 1)]),
    (each("/a"), '{"a":[{"s":{"s":"seed"}}]}', [("wrong_type", "/a/0/s", "{…}", 1)]),
    (each(""), '[{"s":1},{"s":1.0}]', [("wrong_type", "/0/s", 1, 1), ("wrong_type", "/1/s", 1.0, 1)]),
    (each(""), '[{"s":1},{"s":true}]', [("wrong_type", "/0/s", 1, 1), ("wrong_type", "/1/s", True, 1)]),
    (each("/a"), '{"a":[{"x":1}]}', [("missing", "/a/0/s", None, 1)]),
    (each("/a"), '{"a":[{}]}', [("missing", "/a/0/s", None, 1)]),
    (each(""), '[null,3,"seed",[]]', [("wrong_type", f"/{i}", v, 1) for i, v in enumerate((None, 3, "seed", "[…]"))]),
    (each("/a"), '{"a":{"0":{"s":"seed"}}}', [("wrong_type", "/a", "{…}", 1)]),
    (each("/a"), '{"a":"seed"}', [("wrong_type", "/a", "seed", 1)]),
    (each("/a"), '{"a":[]}', []),
    (each(""), '[{"s":"bad"}]', [("disallowed_value", "/0/s", "bad", 1)]),
    (each("/*/b"), '[{"b":[{"s":"bad"}]},{"b":[{"s":"seed"}]}]', [("disallowed_value", "/0/b/0/s", "bad", 1)]),
    (each("/*"), '{"x":[{"s":"bad"}],"y":[]}', [("disallowed_value", "/x/0/s", "bad", 1)]),
    (each("/a", "0"), '{"a":[["bad"]]}', [("wrong_type", "/a/0", "[…]", 1)]),
    (each("/a", "*"), '{"a":[{"*":"bad","s":"x"}]}', [("disallowed_value", "/a/0/*", "bad", 1)]),
    (value("/a"), '{"a":"seed"}', []),
    (value("/a"), '{"a":"Seed"}', [("alias", "/a", "Seed", 1)]),
    (value("/a"), '{"a":false}', [("wrong_type", "/a", False, 1)]),
    (value(""), '"bad"', [("disallowed_value", "", "bad", 1)]),
    (value("/a/b"), '{"a":5}', []),
    (value("/a/0"), '{"a":["bad","seed"]}', [("disallowed_value", "/a/0", "bad", 1)]),
    (value("/a/0"), '{"a":{"0":"bad"}}', [("disallowed_value", "/a/0", "bad", 1)]),
    (value("/a/1"), '{"a":["bad"]}', []),
    (value("/a/01"), '{"a":["seed","bad"]}', []),
    (value("/a~1b/m~0n"), '{"a/b":{"m~n":"bad"}}', [("disallowed_value", "/a~1b/m~0n", "bad", 1)]),
    (value("/*"), '["seed","bad"]', [("disallowed_value", "/1", "bad", 1)]),
    (value("/*"), '{"x":"seed","y":"bad"}', [("disallowed_value", "/y", "bad", 1)]),
    (value("/*/*/s"), '[{"x":{"s":"bad"}},{"x":[{"s":"bad"}]},7]', [("disallowed_value", "/0/x/s", "bad", 1)]),
    (value("/*/*"), '{"x":["seed","bad"],"y":{"z":"bad"}}', [("disallowed_value", "/x/1", "bad", 2)]),
    (value("/*/*"), '{"x":[["seed"]],"y":{"z":"seed"},"z":1}', [("wrong_type", "/x/0", "[…]", 1)]),
    (value("/*/items"), '{"a":{"items":"bad"},"b":{"x":["bad"]}}', [("disallowed_value", "/a/items", "bad", 1)]),
    (value("/é"), '{"\\u00e9":"bad"}', [("disallowed_value", "/é", "bad", 1)]),
    (value("/a/b"), '{"a":{"b":"s\\u0065ed"}}', []),
]  # fmt: skip


@pytest.mark.parametrize(("location", "body", "expected"), SHAPES)
def test_a_location_finds_what_is_wrong_there(location: Location, body: str, expected: list[Found]) -> None:
    """Each shape of location reports wrong values with their pointers, and nothing else."""
    verdict = judged(body, Plan.of([location]))
    assert listed(verdict) == expected
    assert verdict.count == sum(found[3] for found in expected)


@pytest.mark.parametrize(
    ("location", "body", "pointer"),
    [
        (keys("/a/b", required=True), "{}", "/a/b"),
        (keys("/a/b", required=True), '{"a":{}}', "/a/b"),
        (keys("/a/b", required=True), '{"a":7}', "/a/b"),
        (each("/a", required=True), "[]", "/a"),
        (each("", required=True), "[]", None),
        (each("/a", required=True), '{"a":[]}', None),
        (value("/a/0", required=True), '{"a":[]}', "/a/0"),
        (value("/a~1b", required=True), '{"a":"seed"}', "/a~1b"),
        (value("/a", required=True), '{"a":"seed"}', None),
        (value("/a", required=True), "null", "/a"),
        (value("/a"), "{}", None),
        (value("/*/s", required=True), '[{"s":"seed"},{}]', "/1/s"),
        (value("/a/*", required=True), '{"a":[]}', None),
        (value("/a/*", required=True), '{"a":{}}', None),
        (value("/a/*", required=True), '{"a":5}', "/a/*"),
    ],
)
def test_a_required_location_is_missed_only_where_requirements_count(
    location: Location, body: str, pointer: str | None
) -> None:
    """An absent location is missing when it is required and the method is one that requires."""
    plan = Plan.of([location])
    expected = [] if pointer is None else [("missing", pointer, None, 1)]
    assert listed(judged(body, plan, required=True)) == expected
    assert judged(body, plan, required=False).valid


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (value("/a/*/s/x", required=True), [("missing", "/a/0/s/x", None, 1)]),
        (keys("/a/*/s"), [("wrong_type", "/a/0/s", "seed", 1)]),
        (value("/a/*/w"), [("wrong_type", "/a/0/w", 1, 1)]),
        (value("/a/*/w/x", required=True), [("missing", "/a/0/w/x", None, 1)]),
        (value("/a/*"), [("wrong_type", "/a/0", "{…}", 1)]),
        (value("/a/*/s"), []),
    ],
)
def test_an_element_is_judged_for_every_location_that_meets_it(other: Location, expected: list[Found]) -> None:
    """A canonical stage in an element does not hide what another location asks of the same element."""
    plan = Plan.of([each("/a", weight="w"), other])
    verdict = judged('{"a":[{"s":"seed","w":1}]}', plan, required=True)
    assert listed(verdict) == expected
    assert verdict.values == 2


def test_a_null_at_a_required_location_is_of_the_wrong_type() -> None:
    """Null is there: it is no absence but the wrong type."""
    plan = Plan.of([value("/a", required=True)])
    assert listed(judged('{"a":null}', plan, required=True)) == [("wrong_type", "/a", None, 1)]


@pytest.mark.parametrize(
    ("location", "body", "expected"),
    [
        (keys("/a"), '{"a":{"seed":0.4,"series-a":0.6}}', []),
        (keys("/a"), '{"a":{"seed":0.5,"series-a":0.509}}', []),
        (keys("/a"), '{"a":{"seed":0.5,"series-a":0.52}}', [("weight_sum", "/a", 1.02, 1)]),
        (keys("/a"), '{"a":{"seed":1}}', []),
        (keys("/a"), '{"a":{"seed":"1"}}', [("wrong_type", "/a/seed", "1", 1)]),
        (keys("/a"), '{"a":{"seed":true}}', [("wrong_type", "/a/seed", True, 1)]),
        (keys("/a"), '{"a":{}}', [("weight_sum", "/a", 0.0, 1)]),
        (keys("/a"), "{}", []),
        (each("/a", weight="w"), '{"a":[{"s":"seed","w":0.25},{"s":"seed","w":0.75}]}', []),
        (each("/a", weight="w"), '{"a":[{"s":"seed","w":0.25}]}', [("weight_sum", "/a", 0.25, 1)]),
        (each("/a", weight="w"), '{"a":[{"s":"seed"},{"s":"seed","w":1}]}', [("wrong_type", "/a/0/w", None, 1)]),
        (each("", weight="w"), '[{"s":"seed","w":null},{"s":"seed","w":1}]', [("wrong_type", "/0/w", None, 1)]),
        (each("/a", weight="w"), '{"a":[{"s":"seed","w":-1},{"s":"seed","w":2}]}', []),
        (each("/a"), '{"a":[{"s":"seed","w":9}]}', []),
        (each("/*", weight="w"), '[[{"s":"seed","w":1}],[{"s":"seed","w":2}]]', [("weight_sum", "/1", 2.0, 1)]),
    ],
)  # fmt: skip
def test_weights_sum_to_one_within_the_tolerance(location: Location, body: str, expected: list[Found]) -> None:
    """With a tolerance the weights must be numbers and sum to 1; without one nobody looks at them."""
    assert listed(judged(body, Plan.of([location], tolerance=0.01))) == expected
    assert judged(body, Plan.of([location])).valid


@pytest.mark.parametrize("tenth", [["0.1"] * 10, ["1e-1"] * 10])
def test_rounding_stays_within_a_small_tolerance(tenth: list[str]) -> None:
    """Ten tenths are one within any sensible tolerance, though not exactly."""
    body = '{"a":[' + ",".join(f'{{"s":"seed","w":{w}}}' for w in tenth) + "]}"
    assert judged(body, Plan.of([each("/a", weight="w")], tolerance=1e-9)).valid
    assert judged(body, Plan.of([each("/a", weight="w")], tolerance=0.0)).reason is Reason.WEIGHT_SUM


@pytest.mark.parametrize(
    ("locations", "body", "reason"),
    [
        ([value("/a"), value("/b")], '{"b":"Seed","a":"bad"}', "alias"),
        ([value("/a"), value("/b")], '{"a":"bad","b":"Seed"}', "disallowed_value"),
        ([each("/a")], '{"a":[{"s":3},{},{"s":"bad"}]}', "wrong_type"),
        ([each("/a")], '{"a":[{},{"s":3}]}', "missing"),
        ([keys("/k"), value("/v")], '{"v":1,"k":{"bad":1}}', "wrong_type"),
        ([keys("/k"), value("/k/seed")], '{"k":{"seed":"Seed","bad":1}}', "alias"),
        ([value("/k/seed"), keys("/k")], '{"k":{"bad":1,"seed":"Seed"}}', "disallowed_value"),
        ([value("/*/0"), value("/*/1")], '{"a":["seed","Seed"],"b":["bad"]}', "alias"),
    ],
)
def test_the_first_violation_in_the_document_gives_the_reason(
    locations: list[Location], body: str, reason: str
) -> None:
    """The order is the document's, not the configuration's."""
    assert judged(body, Plan.of(locations)).reason == reason


def test_four_hundred_and_twelve_equal_values_are_one_entry() -> None:
    """Equal values at one location are one violation with the first pointer, the suggestion and their number."""
    wrong = set(random.Random(7).sample(range(17, 5000), 411)) | {17}
    array = [{"stage": "series_a" if i in wrong else "series-a"} for i in range(5000)]
    verdict = judged(json.dumps({"d": array}), Plan.of([each("/d", "stage")]))
    assert (verdict.reason, verdict.count, verdict.values, verdict.truncated) == (Reason.ALIAS, 412, 5000, False)
    assert listed(verdict) == [("alias", "/d/17/stage", "series_a", 412)]
    assert verdict.violations[0].suggestion == "series-a"


def test_an_equal_value_at_two_locations_is_two_entries() -> None:
    """What is equal at different locations stays apart."""
    verdict = judged('{"a":"Seed","b":"Seed"}', Plan.of([value("/a"), value("/b")]))
    assert listed(verdict) == [("alias", "/a", "Seed", 1), ("alias", "/b", "Seed", 1)]


def test_long_lists_and_long_values_are_cut() -> None:
    """At most twenty entries are listed, with values of at most 64 characters, but all are counted."""
    body = json.dumps([{"s": f"{i:02}" + "x" * 100} for i in range(21)])
    verdict = judged(body, Plan.of([each("")]))
    assert (verdict.count, len(verdict.violations), verdict.truncated) == (21, 20, True)
    assert verdict.violations[0].value == "00" + "x" * 62


def test_accepted_aliases_pass_but_unknown_values_do_not() -> None:
    """With acceptAliases only unknown values are violations."""
    verdict = judged('[{"s":"Series A"},{"s":"seriesc"}]', Plan.of([each("")]), accept_aliases=True)
    assert listed(verdict) == [("disallowed_value", "/1/s", "seriesc", 1)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":[{"s":"seed"},]}',
        b'{"a":"seed"} x',
        b'{"a":"seed"}\x0c',
        b'\xef\xbb\xbf{"a":"seed"}',
        '{"a":"seed"}'.encode("utf-16"),
        b'{"a":"seed","x":"\xff"}',
        b'{"a":"seed","x":"\xc0\xaf"}',
        b'{"a":"seed","x":"\xed\xa0\x80"}',
        b'{"a":"seed","x":"\\ud800"}',
        b'{"a":"seed","x":"\n"}',
        b'{"a":"seed","x":NaN}',
        b'{"a":"seed","x":-Infinity}',
        b'{"a":"seed","x":01}',
        b"{'a':'seed'}",
        b'{"a":"seed",/**/"x":1}',
        b'{"a":"seed","x":' + b"[" * 1024 + b"]" * 1024 + b"}",
        b'{"a":"seed","x":' + b"[" * 200_000,
        # The slow reader, which the escape calls, cannot hold this exponent: settled the strict way.
        b'{"a":"s\\u0065ed","x":1e-99999999999999999999}',
    ],
)
def test_what_is_no_json_is_unparseable(body: bytes) -> None:
    """No JSON, a BOM, bytes that are not UTF-8, or too deep a nesting is unparseable."""
    verdict = judged(body, Plan.of([value("/a")]))
    assert (verdict.reason, verdict.count, verdict.violations) == (Reason.UNPARSEABLE, 1, ())


@pytest.mark.parametrize(
    "body",
    [
        b' \r\n\t{"a":"seed"} \n',
        b'{"a":"seed","x":123456789012345678901234567890,"y":-0,"z":1E-400}',
        b'{"a":"seed","x":' + b"[" * 985 + b"]" * 985 + b"}",
        '{"a":"seed","x":"\ufeff\ufffe😀\x7f"}'.encode(),
    ],
)
def test_unusual_json_is_json(body: bytes) -> None:
    """White space, huge integers, deep but allowed nesting and odd characters elsewhere are no violation."""
    assert judged(body, Plan.of([value("/a")])).valid


COUNTEREXAMPLES: list[tuple[Plan, str, Reason | None, int]] = [
    (Plan.of([each("/D")]), '{"D":[{"s":"seed"},]}', Reason.UNPARSEABLE, 1),
    (Plan.of([each("/D", weight="w")]), '{"D":[{"s":"Series A","s":"seed"},{"w":1}]}', Reason.AMBIGUOUS_JSON, 1),
    (Plan.of([each("/D")]), '{"D":[{"s":"bad"}],"D":[{"s":"seed"}]}', Reason.AMBIGUOUS_JSON, 1),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed"}],"D":[]}', Reason.AMBIGUOUS_JSON, 1),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed"}],"\\u0044":[]}', Reason.AMBIGUOUS_JSON, 1),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed","x":' + "[" * 985 + "]" * 985 + "}]}", None, 0),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed","x":' + "[" * 1022 + "]" * 1022 + "}]}", Reason.UNPARSEABLE, 1),
    (Plan.of([each("/*/items")]), '{"a":{"items":[]},"b":{"x":[{"s":"bad"}]}}', None, 0),
    (Plan.of([each("/*/items")]), '{"a":{"items":[]},"b":{"items":[{"s":"bad"}]}}', Reason.DISALLOWED_VALUE, 1),
    (Plan.of([each("/D", "a/b")]), '{"D":[{"a\\/b":"bad"}]}', Reason.DISALLOWED_VALUE, 1),
    (Plan.of([each("/D", "é")]), '{"D":[{"\\u00e9":"bad"}]}', Reason.DISALLOWED_VALUE, 1),
    (Plan.of([value("/D/*")]), '{"D":[12,3]}', Reason.WRONG_TYPE, 2),
    (Plan.of([each("/D")]), "{" + "".join(f'"k{i}":[{{"s":1}}],' for i in range(4000)) + '"D":[]}', None, 0),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed"' + "".join(f',"n{i}":{{"s":1}}' for i in range(60)) + "}]}", None, 0),
    (Plan.of([each("/D")]), '{"D":[{"s":"seed"} ,{"s":"bad"}\r\n,{"s":"bad"}]}', Reason.DISALLOWED_VALUE, 2),
    (Plan.of([each("/D")]), '{"D":[\r\n,{"s":"seed"}]}', Reason.UNPARSEABLE, 1),
    (Plan.of([each("/D")]), '{"D":[{"x":"' + "x" * 10_000_000 + '","s":"bad"}]}', Reason.DISALLOWED_VALUE, 1),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "body", "reason", "count"), COUNTEREXAMPLES, ids=range(len(COUNTEREXAMPLES)))
def test_documents_that_broke_a_faster_judge(plan: Plan, body: str, reason: Reason | None, count: int) -> None:
    """The documents that once fooled a judge by windows are judged right."""
    verdict = judged(body, plan)
    assert (verdict.reason, verdict.count) == (reason, count)


@pytest.mark.parametrize(
    ("text", "fund"),
    [('"f-1"', "f-1"), ("42", "42"), ("1.5", "1.5"), ("true", None), ("null", None), ("[1]", None), ("{}", None)],
)
def test_the_fund_id_is_read_as_text(text: str, fund: str | None) -> None:
    """A fund id is a text, or a number as its decimal text; anything else is none."""
    assert fund_text(orjson.loads(text)) == fund
    assert judged(f'{{"f":{{"id":{text}}}}}', Plan.of([value("/a")], fund=("f", "id"))).fund == fund


def test_a_plan_without_body_locations_finds_nothing() -> None:
    """A body nobody looks into is not even parsed."""
    assert judged("{", Plan.of([Location(Shape.QUERY, name="stage")])).valid
