"""How findings become a verdict."""

from functools import partial
from typing import Any

import pytest

from gateway.stages.reasons import Reason
from gateway.stages.verdict import (
    MAX_VALUE_LENGTH,
    MAX_VIOLATIONS,
    Findings,
    Violation,
    shown,
    whole_request,
)


def gathered(*found: tuple[int, Reason, Any, str]) -> Findings:
    findings = Findings()
    for location, reason, value, pointer in found:
        findings.add(location, reason, value, partial(str, pointer))
    return findings


def test_nothing_found_is_valid() -> None:
    """A verdict without findings is valid."""
    verdict = Findings().verdict()
    assert verdict.valid
    assert (verdict.count, verdict.violations, verdict.truncated) == (0, (), False)


def test_equal_findings_are_one_violation_with_the_first_pointer() -> None:
    """Equal location, value and reason are one entry with the first pointer and the number of occurrences."""
    verdict = gathered(*((0, Reason.ALIAS, "Seed", f"/{i}") for i in range(7))).verdict()
    assert verdict.violations == (Violation("/0", None, "Seed", Reason.ALIAS, None, 7),)
    assert verdict.count == 7


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, Reason.ALIAS, "Seed"), (1, Reason.ALIAS, "Seed")),
        ((0, Reason.ALIAS, "Seed"), (0, Reason.ALIAS, "SEED")),
        ((0, Reason.WRONG_TYPE, None), (0, Reason.MISSING, None)),
        ((0, Reason.WRONG_TYPE, 1), (0, Reason.WRONG_TYPE, 1.0)),
        ((0, Reason.WRONG_TYPE, 1), (0, Reason.WRONG_TYPE, True)),
        ((0, Reason.WRONG_TYPE, 0), (0, Reason.WRONG_TYPE, False)),
        ((0, Reason.WRONG_TYPE, 1.0), (0, Reason.WRONG_TYPE, True)),
        ((0, Reason.WRONG_TYPE, {}), (0, Reason.WRONG_TYPE, [])),
        ((0, Reason.DISALLOWED_VALUE, "x" * 64 + "a"), (0, Reason.DISALLOWED_VALUE, "x" * 64 + "b")),
    ],
)
def test_different_findings_are_different_violations(
    first: tuple[int, Reason, Any], second: tuple[int, Reason, Any]
) -> None:
    """Another location, reason, value or type of value is another entry."""
    verdict = gathered((*first, "/a"), (*second, "/b")).verdict()
    assert [violation.pointer for violation in verdict.violations] == ["/a", "/b"]


def test_the_reason_is_that_of_the_first_finding() -> None:
    """The reason of a request is that of its first violation."""
    verdict = gathered((0, Reason.WRONG_TYPE, 1, "/a"), (0, Reason.ALIAS, "Seed", "/b")).verdict()
    assert verdict.reason is Reason.WRONG_TYPE


def test_at_most_twenty_entries_are_kept() -> None:
    """The twenty-first different finding is counted and makes the list truncated; the known ones still grow."""
    many = [(0, Reason.DISALLOWED_VALUE, f"x{i}", f"/{i}") for i in range(20)]
    full = gathered(*many)
    assert not full.verdict().truncated
    full.add(0, Reason.DISALLOWED_VALUE, "x3", lambda: "/20")
    assert not full.verdict().truncated
    full.add(0, Reason.DISALLOWED_VALUE, "new", lambda: "/21")
    verdict = full.verdict()
    assert verdict.truncated
    assert (verdict.count, len(verdict.violations), full.distinct) == (22, MAX_VIOLATIONS, 20)
    assert verdict.violations[3].occurrences == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 65, "x" * MAX_VALUE_LENGTH),
        ("é" * 64, "é" * 64),
        (None, None),
        (1.5, 1.5),
        (True, True),
        ({"a": 1}, "{…}"),
        ([1], "[…]"),
    ],
)
def test_what_a_report_shows(value: object, expected: object) -> None:
    """Scalars are shown as found, texts cut to 64 characters, containers as a mark."""
    assert shown(value) == expected


def test_a_reason_about_the_whole_request_counts_one() -> None:
    """A verdict about the whole request has count 1 and no list."""
    verdict = whole_request(Reason.UNPARSEABLE, values=12)
    assert (verdict.reason, verdict.count, verdict.violations, verdict.values) == (Reason.UNPARSEABLE, 1, (), 12)


def test_a_verdict_can_be_a_lower_bound() -> None:
    """A verdict given before the end of the body says so."""
    findings = gathered((0, Reason.ALIAS, "Seed", "/a"))
    assert findings.verdict(lower_bound=True).count_is_lower_bound
    assert not findings.verdict().count_is_lower_bound
