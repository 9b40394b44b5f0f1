"""What one value at one location is guilty of."""

from typing import Any

import pytest

from gateway.stages.locators import Location, Plan, Pointer, Shape
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook, fund_text, is_number
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import Vocabulary

PLAN = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.25)


def rule_book(plan: Plan = PLAN, vocabulary: Vocabulary | None = None) -> RuleBook:
    return RuleBook(plan, vocabulary or Vocabulary(), Findings(), required=True)


def place(below: str = "") -> str:
    return "/D/0/stage" + below


def unlisted(below: str = "") -> str:
    raise AssertionError("the place of what is not listed is not asked for")


@pytest.mark.parametrize(
    ("value", "reason", "suggestion"),
    [
        ("seed", None, None),
        ("Series A", Reason.ALIAS, "series-a"),
        ("seeed", Reason.DISALLOWED_VALUE, "seed"),
        ("", Reason.DISALLOWED_VALUE, None),
        ("sеed", Reason.DISALLOWED_VALUE, "seed"),
        (None, Reason.WRONG_TYPE, None),
        (1, Reason.WRONG_TYPE, None),
        (True, Reason.WRONG_TYPE, None),
        (["seed"], Reason.WRONG_TYPE, None),
        ({"seed": 1}, Reason.WRONG_TYPE, None),
    ],
)
def test_a_value_in_a_stage_s_place(value: Any, reason: Reason | None, suggestion: str | None) -> None:
    """A stage is a canonical name; each other value has its reason, and a suggestion where one is near."""
    judge = rule_book()
    judge.stage(value, 0, place)
    violations = judge.findings.verdict().violations
    assert judge.findings.values == 1
    assert [(v.reason, v.suggestion, v.pointer) for v in violations] == (
        [] if reason is None else [(reason, suggestion, "/D/0/stage")]
    )


def test_an_accepted_alias_is_no_finding_however_often_it_comes() -> None:
    """With aliases accepted they pass, the first time and when it is known already."""
    judge = rule_book(vocabulary=Vocabulary(accept_aliases=True))
    for _ in range(3):
        judge.stage("Series A", 0, unlisted)
    assert (judge.findings.count, judge.findings.values) == (0, 3)


def test_what_repeats_is_counted_and_placed_once() -> None:
    """Equal findings are one entry whose place is made for the first of them only."""
    judge = rule_book()
    judge.stage("bad", 0, place)
    for _ in range(4):
        judge.stage("bad", 0, unlisted)
    assert [(v.pointer, v.occurrences) for v in judge.findings.verdict().violations] == [("/D/0/stage", 5)]


def test_many_wrong_spellings_are_all_told_from_right_ones() -> None:
    """More different spellings than are remembered change nothing about what is wrong."""
    judge = rule_book()
    for number in range(1000):
        judge.stage(f"bad {number}", 0, place)
        judge.stage("seed", 0, unlisted)
        judge.stage("x" * (60 + number % 10), 0, place)
    assert (judge.findings.count, judge.findings.values) == (2000, 3000)
    assert judge.findings.verdict().truncated


@pytest.mark.parametrize(
    ("value", "good"), [(0, True), (-1.5, True), (2**70, True), (True, False), (None, False), ("1", False), ([], False)]
)
def test_a_weight_is_a_number(value: Any, good: bool) -> None:
    """Numbers can be added up; everything else, true and false too, is of the wrong type and no stage value."""
    judge = rule_book()
    assert judge.weight(value, 0, place) is good
    assert is_number(value) is good
    assert (judge.findings.count, judge.findings.values) == (not good, 0)


@pytest.mark.parametrize(
    ("total", "found"),
    [
        (1.0, False),
        (0.75, False),
        (1.25, False),
        (1.2500001, True),
        (0.0, True),
        (float("inf"), True),
        (float("nan"), True),
    ],
)
def test_a_sum_is_one_within_the_tolerance(total: float, found: bool) -> None:
    """The tolerance itself still passes; a sum that is no number does not."""
    judge = rule_book()
    judge.total(total, 0, place)
    assert (judge.findings.first is Reason.WEIGHT_SUM) is found


def test_without_a_tolerance_no_sum_is_wrong() -> None:
    """A plan that sets no tolerance asks nothing of sums."""
    judge = rule_book(Plan.of([Location(Shape.KEYS, ("K",))]))
    judge.total(7.0, 0, unlisted)
    assert judge.findings.count == 0


@pytest.mark.parametrize(
    ("members", "found", "weighed"),
    [
        ({"stage", "w"}, [], True),
        ({"stage"}, [(Reason.WRONG_TYPE, "/D/0/stage/w")], False),
        ({"w"}, [(Reason.MISSING, "/D/0/stage/stage")], True),
        (set(), [(Reason.MISSING, "/D/0/stage/stage"), (Reason.WRONG_TYPE, "/D/0/stage/w")], False),
    ],
)
def test_an_element_has_its_stage_and_its_weight(
    members: set[str], found: list[tuple[Reason, str]], weighed: bool
) -> None:
    """A stage that is not there is missing, and was looked for; a weight that is not there is no number to add up."""
    judge = rule_book()
    assert judge.element(members, 0, place) is weighed
    violations = judge.findings.verdict().violations
    assert [(v.reason, v.pointer) for v in violations] == found
    assert judge.findings.values == ("stage" not in members)


def test_without_a_tolerance_an_element_needs_no_weight() -> None:
    """Where nothing is added up, nothing is asked of a weight."""
    judge = rule_book(Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")]))
    assert judge.element({"stage"}, 0, unlisted)


@pytest.mark.parametrize("required", [True, False])
def test_what_is_required_is_missing_wherever_its_path_ends(required: bool) -> None:
    """An object without the member, an array too short and a scalar on the way all lack a required location, once."""
    plan = Plan.of([Location(Shape.VALUE, ("D", "1"), required=True)])
    assert plan.root is not None
    judge = RuleBook(plan, Vocabulary(), Findings(), required=required)
    below = plan.root.members["D"]
    judge.absent_members(plan.root, {"D"}, unlisted)
    judge.absent_elements(below, 2, unlisted)
    at_it = Pointer(Pointer(), "D")
    judge.absent_members(plan.root, {"E"}, Pointer())
    assert judge.findings.count == required
    judge.absent_elements(below, 1, at_it)
    assert judge.findings.count == 2 * required
    judge.absent_below(below, at_it)
    assert judge.findings.count == 3 * required
    assert {violation.pointer for violation in judge.findings.verdict().violations} == ({"/D/1"} if required else set())


def test_sums_are_those_of_a_container() -> None:
    """Weights are added up in an object of stages, and in an array whose elements have one."""
    plan = Plan.of([Location(Shape.KEYS, ("k",)), Location(Shape.EACH, ("k",), field="s")], tolerance=0.1)
    assert plan.root is not None
    judge = rule_book(plan)
    assert judge.sums(plan.root.members["k"], of_object=True) == [0]
    assert judge.sums(plan.root.members["k"], of_object=False) == []
    assert PLAN.root is not None
    assert rule_book().sums(PLAN.root.members["D"], of_object=False) == [0]


@pytest.mark.parametrize(
    ("value", "text"),
    [("f-1", "f-1"), ("", ""), (42, "42"), (-0.5, "-0.5"), (True, None), (None, None), ([1], None), ({}, None)],
)
def test_a_fund_id_is_a_text_or_a_number(value: Any, text: str | None) -> None:
    """A number is its decimal text; anything else is no fund id."""
    assert fund_text(value) == text
