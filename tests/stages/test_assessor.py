"""What one value at one location is guilty of."""

from typing import Any

import pytest

from gateway.stages.assessor import Assessor, fund_text, is_number
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.verdict import Findings, Reason
from gateway.stages.vocabulary import Vocabulary

PLAN = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.25)


def assessor(plan: Plan = PLAN, vocabulary: Vocabulary | None = None) -> Assessor:
    return Assessor(plan, vocabulary or Vocabulary(), Findings(), required=True)


def place() -> str:
    return "/D/0/stage"


def unlisted() -> str:
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
    judge = assessor()
    judge.stage(value, 0, place)
    violations = judge.findings.verdict().violations
    assert judge.findings.values == 1
    assert [(v.reason, v.suggestion, v.pointer) for v in violations] == (
        [] if reason is None else [(reason, suggestion, "/D/0/stage")]
    )


def test_an_accepted_alias_is_no_finding_however_often_it_comes() -> None:
    """With aliases accepted they pass, the first time and when it is known already."""
    judge = assessor(vocabulary=Vocabulary(accept_aliases=True))
    for _ in range(3):
        judge.stage("Series A", 0, unlisted)
    assert (judge.findings.count, judge.findings.values) == (0, 3)


def test_what_repeats_is_counted_and_placed_once() -> None:
    """Equal findings are one entry whose place is made for the first of them only."""
    judge = assessor()
    judge.stage("bad", 0, place)
    for _ in range(4):
        judge.stage("bad", 0, unlisted)
    assert [(v.pointer, v.occurrences) for v in judge.findings.verdict().violations] == [("/D/0/stage", 5)]


def test_many_wrong_spellings_are_all_told_from_right_ones() -> None:
    """More different spellings than are remembered change nothing about what is wrong."""
    judge = assessor()
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
    judge = assessor()
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
    judge = assessor()
    judge.total(total, 0, lambda: "/D")
    assert (judge.findings.first is Reason.WEIGHT_SUM) is found


def test_without_a_tolerance_no_sum_is_wrong() -> None:
    """A plan that sets no tolerance asks nothing of sums."""
    judge = assessor(Plan.of([Location(Shape.KEYS, ("K",))]))
    judge.total(7.0, 0, unlisted)
    assert judge.findings.count == 0


def test_what_is_missing_counts_as_a_value() -> None:
    """A stage that is not there is one that was looked for."""
    judge = assessor()
    judge.missing(0, place)
    assert (judge.findings.values, judge.findings.first) == (1, Reason.MISSING)


@pytest.mark.parametrize(
    ("value", "text"),
    [("f-1", "f-1"), ("", ""), (42, "42"), (-0.5, "-0.5"), (True, None), (None, None), ([1], None), ({}, None)],
)
def test_a_fund_id_is_a_text_or_a_number(value: Any, text: str | None) -> None:
    """A number is its decimal text; anything else is no fund id."""
    assert fund_text(value) == text
