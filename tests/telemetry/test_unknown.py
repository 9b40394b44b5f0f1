"""The values that came in and are not canonical: how often, when, and of which funds."""

from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.telemetry.unknown import UnknownValues


def violation(value: object, reason: Reason = Reason.DISALLOWED_VALUE, times: int = 1) -> Violation:
    return Violation("/s", None, value, reason, "seed" if reason is Reason.ALIAS else None, times)  # type: ignore[arg-type]  # a text, but for the test that gives none


def test_values_are_counted_by_reason_fund_and_time() -> None:
    """A value has its occurrences, when it was seen first and last, its funds, and the suggestion for it."""
    clock = iter([1_700_000_000.0, 1_700_000_060.0, 1_700_000_090.0])
    unknown = UnknownValues(lambda: next(clock))
    unknown.note([violation("Growth", times=3)], "7")
    unknown.note([violation("Growth")], "none")
    unknown.note([violation("preseed", Reason.ALIAS), violation(5), violation("x", Reason.WRONG_TYPE)], "8")
    assert [one.as_document() for one in unknown.top(5)] == [
        {
            "value": "Growth",
            "reason": "disallowed_value",
            "count": 4,
            "firstSeen": "2023-11-14T22:13:20.000Z",
            "lastSeen": "2023-11-14T22:14:20.000Z",
            "funds": ["7"],
            "suggestion": None,
        },
        {
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
    """However many values and funds come in, a bounded number of them is kept, and known ones still count."""
    unknown = UnknownValues()
    unknown.note([violation(str(number)) for number in range(5000)], "none")
    for fund in range(100):
        unknown.note([violation("0")], str(fund))
    kept = unknown.top(10_000)
    assert len(kept) == 1000
    assert (kept[0].value, kept[0].count, len(kept[0].funds)) == ("0", 101, 10)


def test_what_is_taken_begins_anew() -> None:
    """A report carries each value once."""
    unknown = UnknownValues()
    unknown.note([violation("x")], "1")
    assert [one.value for one in unknown.take()] == ["x"]
    assert unknown.take() == unknown.top(5) == []
