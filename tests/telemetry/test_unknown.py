"""The values that came in and are not canonical: how often, when, and of which funds."""

from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.telemetry.unknown import UnknownValues

SIMULATE = "/api/monte-carlo/simulate"


def violation(value: object, reason: Reason = Reason.DISALLOWED_VALUE, times: int = 1) -> Violation:
    return Violation("/s", None, value, reason, "seed" if reason is Reason.ALIAS else None, times)  # type: ignore[arg-type]  # a text, but for the test that gives none


def test_values_are_counted_by_reason_fund_and_time() -> None:
    """A value has its occurrences, when it was seen first and last, its funds, and the suggestion for it."""
    clock = iter([1_700_000_000.0, 1_700_000_060.0, 1_700_000_090.0])
    unknown = UnknownValues(lambda: next(clock))
    unknown.note(SIMULATE, [violation("Growth", times=3)], "7")
    unknown.note(SIMULATE, [violation("Growth")], "none")
    unknown.note(SIMULATE, [violation("preseed", Reason.ALIAS), violation(5), violation("x", Reason.WRONG_TYPE)], "8")
    assert [one.as_document() for one in unknown.top(5)] == [
        {
            "endpoint": SIMULATE,
            "value": "Growth",
            "reason": "disallowed_value",
            "count": 4,
            "firstSeen": "2023-11-14T22:13:20.000Z",
            "lastSeen": "2023-11-14T22:14:20.000Z",
            "funds": ["7"],
            "suggestion": None,
        },
        {
            "endpoint": SIMULATE,
            "value": "preseed",
            "reason": "alias",
            "count": 1,
            "firstSeen": "2023-11-14T22:14:50.000Z",
            "lastSeen": "2023-11-14T22:14:50.000Z",
            "funds": ["8"],
            "suggestion": "seed",
        },
    ]


def test_they_are_bounded() -> None:
    """However many values and funds come in, a bounded number of them is kept, and what comes most is among them."""
    unknown = UnknownValues()
    for fund in range(100):
        unknown.note(SIMULATE, [violation("often")], str(fund))
    unknown.note(SIMULATE, [violation(str(number)) for number in range(5000)], "none")
    unknown.note(SIMULATE, [violation("late", times=7)], "none")
    kept = unknown.top(10_000)
    assert len(kept) <= 400
    assert [(one.value, one.count, len(one.funds)) for one in kept[:2]] == [("often", 100, 10), ("late", 7, 0)]


def test_flood_at_one_endpoint_hides_nothing_of_another() -> None:
    """Each endpoint has its own list: what another one sees has no part in it, whenever and however often it comes."""
    unknown = UnknownValues()
    unknown.note("/quiet", [violation("before")], "none")
    unknown.note(SIMULATE, [violation(str(number), times=9) for number in range(5000)], "none")
    unknown.note("/quiet", [violation("after")], "none")
    assert [one.value for one in unknown.top(20) if one.endpoint == "/quiet"] == ["after", "before"]
    assert len(unknown.top(20)) == 22


def test_what_is_taken_begins_anew() -> None:
    """A report carries each value once."""
    unknown = UnknownValues()
    unknown.note(SIMULATE, [violation("x")], "1")
    assert [one.value for one in unknown.take()] == ["x"]
    assert unknown.take() == unknown.top(5) == []
