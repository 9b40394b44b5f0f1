"""Gates: each figure that is missing, at its threshold and beside it, and that nothing worse is ever READY."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.promotion.gates import (
    ALERTS,
    Alert,
    Answer,
    EndpointFigures,
    Gates,
    Measured,
    Readiness,
    Verification,
    judge,
)

READY, NOT_READY, INSUFFICIENT = Answer.READY, Answer.NOT_READY, Answer.INSUFFICIENT_DATA
ENDED = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = EndpointFigures(
    validations=1000,
    refused=5,
    internal_errors=0,
    unknown=1,
    p99_seconds=0.005,
    p99_baseline=0.001,
    unknown_before=0.0,
)
VERIFIED = Verification(passed=True, vocabulary="v", at=ENDED + timedelta(seconds=1), run="done", run_ended=ENDED)
MEASURED = Measured("a test", {"/a": GOOD}, vocabulary="v", firing=(), verification=VERIFIED)
NOTHING_OF_COUNTS = [None, math.nan, math.inf, -math.inf, -1.0]

CASES: list[tuple[str, object, Answer]] = [
    ("validations", 1000, READY),
    ("validations", 999, INSUFFICIENT),
    ("validations", 1001, READY),
    ("validations", 0, INSUFFICIENT),
    ("refused", 5, READY),
    ("refused", 6, NOT_READY),
    ("refused", 4, READY),
    ("refused", 1001, INSUFFICIENT),  # of 1,000
    ("internal_errors", 0, READY),
    ("internal_errors", 1, NOT_READY),
    ("unknown", 1, READY),
    ("unknown", 2, NOT_READY),
    ("unknown", 0, READY),
    ("unknown", 1001, INSUFFICIENT),
    ("p99_seconds", 0.005, READY),
    ("p99_seconds", 0.0051, NOT_READY),
    ("p99_seconds", 0.0, READY),
    ("p99_seconds", math.inf, NOT_READY),  # above the largest bucket
    ("p99_seconds", math.nan, INSUFFICIENT),
    ("p99_seconds", None, INSUFFICIENT),
    ("p99_seconds", -0.001, INSUFFICIENT),
    ("p99_baseline", None, READY),  # cold start: the fixed bound alone
    ("p99_baseline", math.nan, READY),
    ("unknown_before", None, READY),  # the share of refusals bounds them
    ("unknown_before", math.nan, READY),
    ("uncounted", "dry run is off", INSUFFICIENT),
    ("held", "warn, by a person", NOT_READY),
    *(
        (name, value, INSUFFICIENT)
        for name in ("validations", "refused", "internal_errors", "unknown")
        for value in NOTHING_OF_COUNTS
    ),
]


def answer(measured: Measured, gates: Gates | None = None) -> Readiness:
    return judge(gates or Gates(), measured)


def with_figures(**changes: object) -> Measured:
    return replace(MEASURED, endpoints={"/a": replace(GOOD, **changes)})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_each_figure_decides_at_its_threshold(name: str, value: object, expected: Answer) -> None:
    """A figure keeps its gate at the threshold, fails it beyond, and says nothing where it is none."""
    assert answer(with_figures(**{name: value})).answer is expected


@pytest.mark.parametrize(
    ("p99", "baseline", "expected"),
    [(0.02, 0.01, READY), (0.0201, 0.01, NOT_READY), (0.004, 0.0001, READY), (0.0051, 0.0001, NOT_READY)],
)
def test_p99_may_be_twice_its_baseline_or_five_milliseconds(p99: float, baseline: float, expected: Answer) -> None:
    """The bound of the p99 is the larger of the floor and twice the baseline."""
    assert answer(with_figures(p99_seconds=p99, p99_baseline=baseline)).answer is expected


@pytest.mark.parametrize(("unknown", "expected"), [(3, READY), (4, NOT_READY)])
def test_unknown_values_may_be_what_they_were_and_half_as_many_again(unknown: int, expected: Answer) -> None:
    """The share of unknown values is held against the one before the step."""
    assert answer(with_figures(unknown=unknown, unknown_before=0.002)).answer is expected


def test_too_many_refusals_are_certain_before_there_are_enough_requests() -> None:
    """With 10 requests, 6 refusals are too many for a thousand already; 5 may yet be few enough."""
    assert answer(with_figures(validations=10, refused=6, unknown=0)).answer is NOT_READY
    assert answer(with_figures(validations=10, refused=5, unknown=0)).answer is INSUFFICIENT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, READY),
        ({"passed": False}, NOT_READY),
        ({"vocabulary": "other"}, INSUFFICIENT),
        ({"vocabulary": ""}, INSUFFICIENT),
        ({"at": ENDED}, INSUFFICIENT),
        ({"at": ENDED - timedelta(seconds=1)}, INSUFFICIENT),
        ({"at": None}, INSUFFICIENT),
        ({"run_ended": None, "run": "running"}, NOT_READY),
        ({"problem": "report.json: no such file"}, INSUFFICIENT),
    ],
)
def test_the_verifier_must_have_passed_after_the_last_run(changes: dict[str, object], expected: Answer) -> None:
    """A report of another vocabulary or from before the last run's end says nothing of what is stored now."""
    measured = replace(MEASURED, verification=replace(VERIFIED, **changes))  # type: ignore[arg-type]
    assert answer(measured, Gates(verified=True)).answer is expected
    assert answer(measured).answer is READY  # where no report is asked for


def test_no_report_at_all_is_not_enough() -> None:
    """Where a report is asked for and there is none, the answer is INSUFFICIENT_DATA."""
    assert answer(replace(MEASURED, verification=None), Gates(verified=True)).answer is INSUFFICIENT


def test_only_the_named_alerts_stop_a_step() -> None:
    """An alert that the gate names stops the step; another one, and one that nobody could ask for, do not."""
    named, other = Alert("StageInvalidRateHigh", "/b"), Alert("StageMigrationStalled", "all")
    assert answer(replace(MEASURED, firing=(other,))).answer is READY
    assert answer(replace(MEASURED, firing=(other, named))).answer is NOT_READY
    assert answer(replace(MEASURED, firing=(other,)), Gates(alerts=ALERTS)).answer is NOT_READY
    assert answer(replace(MEASURED, firing=None)).answer is READY


def test_doubts_and_no_endpoint_are_never_ready() -> None:
    """Whatever the figures say, a doubt about them makes the answer INSUFFICIENT_DATA, and so does having none."""
    assert answer(replace(MEASURED, doubts=("a replica is silent",))).answer is INSUFFICIENT
    assert answer(replace(MEASURED, endpoints={})).answer is INSUFFICIENT


def test_an_endpoint_may_need_fewer_validations() -> None:
    """`min_validations_of` counts for its endpoint alone."""
    measured = replace(MEASURED, endpoints={"/a": GOOD, "/b": replace(GOOD, validations=200, refused=1, unknown=0)})
    assert answer(measured).answer is INSUFFICIENT
    assert answer(measured, Gates(min_validations_of={"/b": 200})).answer is READY


COUNTS = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -1.0]), st.integers(0, 3000).map(float))
FIGURES = st.builds(
    EndpointFigures,
    validations=COUNTS,
    refused=COUNTS,
    internal_errors=st.one_of(st.none(), st.sampled_from([0.0, 0.0, 1.0, math.nan])),
    unknown=COUNTS,
    p99_seconds=st.one_of(st.none(), st.floats(0, 0.02), st.just(math.nan), st.just(math.inf)),
    p99_baseline=st.one_of(st.none(), st.floats(0, 0.01)),
    unknown_before=st.one_of(st.none(), st.floats(0, 0.01)),
    uncounted=st.one_of(st.none(), st.just("not counted")),
    held=st.one_of(st.none(), st.just("held")),
)
KEPT = st.builds(  # near the thresholds, so that READY is not rare
    EndpointFigures,
    validations=st.integers(990, 1100).map(float),
    refused=st.integers(0, 7).map(float),
    internal_errors=st.just(0.0),
    unknown=st.integers(0, 3).map(float),
    p99_seconds=st.floats(0, 0.006),
)


@settings(max_examples=examples(300, 20_000), deadline=None)
@given(st.dictionaries(st.sampled_from(["/a", "/b"]), st.one_of(FIGURES, KEPT), max_size=2))
def test_ready_means_that_every_bound_holds(endpoints: dict[str, EndpointFigures]) -> None:
    """READY is only said where every figure is a number and within its bound."""
    if judge(Gates(), replace(MEASURED, endpoints=endpoints)).answer is not READY:
        return
    assert endpoints
    for figures in endpoints.values():
        total, refused, p99 = figures.validations, figures.refused, figures.p99_seconds
        assert total is not None
        assert refused is not None
        assert p99 is not None
        assert 1000 <= total < math.inf
        assert 0 <= refused * 200 <= total
        assert 0 <= p99 <= max(0.005, 2 * (figures.p99_baseline or 0))
        assert figures.internal_errors == 0
        assert figures.uncounted is None
        assert figures.held is None


@settings(max_examples=examples(300, 20_000), deadline=None)
@given(KEPT, st.integers(1, 50))
def test_more_bad_requests_never_make_a_step_ready(figures: EndpointFigures, more: int) -> None:
    """Refusals in the place of good requests, or another doubt, turn no answer into READY."""
    before = answer(replace(MEASURED, endpoints={"/a": figures})).answer
    worse = replace(figures, refused=(figures.refused or 0) + more)
    for measured in (
        replace(MEASURED, endpoints={"/a": worse}),
        replace(MEASURED, endpoints={"/a": figures}, doubts=("one",)),
        replace(MEASURED, endpoints={"/a": replace(figures, internal_errors=None)}),
    ):
        after = answer(measured).answer
        assert after is not READY or before is READY
