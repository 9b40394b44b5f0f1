"""Stages in the query string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.query import judge_query, named, parameters
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Findings, Verdict, Violation
from gateway.stages.vocabulary import Vocabulary


def judged(query: str, *locations: Location, required: bool = False) -> Verdict:
    findings = Findings()
    plan = Plan.of(locations or [Location(Shape.QUERY, name="stage")])
    judge_query(query, plan, Vocabulary(), findings, required=required)
    return findings.verdict()


@pytest.mark.parametrize(
    "query",
    [
        "stage=bad",
        "a=1&stage=bad",
        "stage[]=bad",
        "stage[0]=bad",
        "stage[a]=bad",
        "stage[a][b]=bad",
        "[stage]=bad",
        "[stage][0]=bad",
        "%73tage=bad",
        "stage%5B%5D=bad",
        "%5Bstage%5D=bad",
        "stage=seed&stage=bad",
        "stage=bad&stage=seed",
        "stage=seed&&stage=bad&",
        "stage=b%61d",
        "stage=seed;bad",
        "stage=seed=",
        "stage=seed%00",
        "stage=",
        "stage",
        "stage[x=bad",
        "stage=%ff",
    ],
)
def test_every_spelling_of_the_parameter_is_looked_at(query: str) -> None:
    """Whatever Express would read as the parameter is judged, each repetition by itself."""
    verdict = judged(query)
    assert (verdict.reason, verdict.count) == (Reason.DISALLOWED_VALUE, 1)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", 0),
        ("&&", 0),
        ("stages=bad", 0),
        ("Stage=bad", 0),
        ("a[stage]=bad", 0),
        ("x=stage=bad", 0),
        ("stage=seed", 1),
        ("stage=s%65ed&stage[]=series-c%2B", 2),
    ],
)
def test_other_parameters_and_canonical_values_pass(query: str, values: int) -> None:
    """Other names are nobody's business, and canonical values pass however they are escaped."""
    verdict = judged(query)
    assert verdict.valid
    assert verdict.values == values


def test_a_plus_is_a_space() -> None:
    """A plus sign is a space, so that series+a is an alias with a suggestion, named by its parameter."""
    verdict = judged("stage[]=Series+A&stage=Series%20A")
    assert verdict.violations == (Violation(None, "stage", "Series A", Reason.ALIAS, "series-a", 2),)


def test_the_first_parameter_in_the_query_gives_the_reason() -> None:
    """The order is that of the query, not that of the configuration."""
    locations = [Location(Shape.QUERY, name="stage"), Location(Shape.QUERY, name="round")]
    verdict = judged("round=Seed&stage=bad", *locations)
    assert verdict.reason is Reason.ALIAS
    assert [violation.parameter for violation in verdict.violations] == ["round", "stage"]


@pytest.mark.parametrize(
    ("query", "required", "reason"),
    [
        ("", True, Reason.MISSING),
        ("other=1", True, Reason.MISSING),
        ("", False, None),
        ("stage=seed", True, None),
        ("stage=", True, Reason.DISALLOWED_VALUE),
    ],
)
def test_a_required_parameter_may_not_be_absent(query: str, required: bool, reason: Reason | None) -> None:
    """A required parameter that is absent is missing where requirements count; an empty one is there."""
    verdict = judged(query, Location(Shape.QUERY, name="stage", required=True), required=required)
    assert verdict.reason is reason
    if reason is Reason.MISSING:
        assert verdict.violations == (Violation(None, "stage", None, Reason.MISSING, None, 1),)


def test_parameters_come_decoded_in_order() -> None:
    """The parameters of a query are decoded, with the root of each name, in order."""
    assert parameters("b[x]=1+2&%61=%C3%A9&=c") == [("b", "1 2"), ("a", "é"), ("", "c")]


@given(
    query=st.lists(
        st.sampled_from(
            [
                "stage",
                "stage[]",
                "[stage]",
                "%73tage",
                "x",
                "%26",
                "&",
                "=",
                "[",
                "]",
                "%5B",
                "%",
                "+",
                "%E9",
                "a%2",
                "6",
                ";",
            ]
        ),
        max_size=12,
    ).map("".join),
    names=st.sampled_from([{"stage"}, {"x", "stage"}, {"&"}, {"a&"}, {"\ufffd"}, {""}, {"stage="}, {" "}]),
)
def test_names_decoded_in_one_go_are_those_of_the_parameters(query: str, names: set[str]) -> None:
    """Of all parameters, those with one of the names are found, in order, however they are escaped."""
    assert list(named(query, names)) == [pair for pair in parameters(query) if pair[0] in names]
