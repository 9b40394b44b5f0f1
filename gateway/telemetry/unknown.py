"""The stage values that came in and are not canonical: where, what they were, how often, when, and of which funds.

Each endpoint has a bounded list of its own, so that a flood of different values at one hides nothing of another. Where
a list is full, those that came least often, and longest ago, make room: what comes again and again stays.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.telemetry.logs import utc

_MOST = 200  # different ones that are kept of an endpoint; up to twice as many between two clearings
_MOST_FUNDS = 10  # that are named with each
_TOLD = frozenset({Reason.DISALLOWED_VALUE, Reason.ALIAS})


@dataclass(slots=True)
class Unknown:
    """One value at one endpoint, which is its pattern.

    `first` and `last` are when it was seen, in seconds since the epoch; `funds` are some of the funds.
    """

    endpoint: str
    value: str
    reason: str
    suggestion: str | None
    count: int
    first: float
    last: float
    funds: tuple[str, ...]

    def as_document(self) -> dict[str, Any]:
        """Return it as people are shown it."""
        return {
            "endpoint": self.endpoint,
            "value": self.value,
            "reason": self.reason,
            "count": self.count,
            "firstSeen": utc(self.first),
            "lastSeen": utc(self.last),
            "funds": list(self.funds),
            "suggestion": self.suggestion,
        }


class UnknownValues:
    """Counts them, a bounded number of different ones at each endpoint."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._seen: dict[str, dict[tuple[str, str], Unknown]] = {}

    def note(self, endpoint: str, violations: Iterable[Violation], fund: str) -> None:
        """Count the values of an invalid request of a fund, as far as its report lists them."""
        funds = () if fund == "none" else (fund,)
        for violation in violations:
            if violation.reason in _TOLD and isinstance(violation.value, str):
                now, reason, times = self._now(), str(violation.reason), violation.occurrences
                self.add(Unknown(endpoint, violation.value, reason, violation.suggestion, times, now, now, funds))

    def add(self, new: Unknown) -> None:
        """Count what was counted elsewhere, or for the first time."""
        at_endpoint = self._seen.setdefault(new.endpoint, {})
        key = new.value, new.reason
        seen = at_endpoint.get(key)
        if seen is None:
            if len(at_endpoint) >= 2 * _MOST:
                kept = sorted(at_endpoint.items(), key=lambda item: (-item[1].count, -item[1].last))[:_MOST]
                at_endpoint = self._seen[new.endpoint] = dict(kept)
            at_endpoint[key] = new
            return
        seen.count += new.count
        seen.first, seen.last = min(seen.first, new.first), max(seen.last, new.last)
        seen.suggestion = new.suggestion
        seen.funds = tuple(dict.fromkeys((*seen.funds, *new.funds)))[:_MOST_FUNDS]

    def top(self, number: int) -> list[Unknown]:
        """Return those that came most at each endpoint, so many of each at most."""
        found = [one for seen in self._seen.values() for one in sorted(seen.values(), key=_by_count)[:number]]
        return sorted(found, key=_by_count)

    def take(self) -> list[Unknown]:
        """Return all, and begin anew."""
        taken = [one for seen in self._seen.values() for one in seen.values()]
        self._seen = {}
        return taken


def _by_count(one: Unknown) -> tuple[int, str, str]:
    return -one.count, one.value, one.endpoint
