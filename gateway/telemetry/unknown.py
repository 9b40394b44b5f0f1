"""The stage values that came in and are not canonical: what they were, how often, when, and of which funds."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
from gateway.telemetry.logs import utc

_MOST = 1000  # different ones that are kept
_MOST_FUNDS = 10  # that are named with each
_TOLD = frozenset({Reason.DISALLOWED_VALUE, Reason.ALIAS})


@dataclass(slots=True)
class Unknown:
    """One value. `first` and `last` are when it was seen, in seconds since the epoch; `funds` are some of the funds."""

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
            "value": self.value,
            "reason": self.reason,
            "count": self.count,
            "firstSeen": utc(self.first),
            "lastSeen": utc(self.last),
            "funds": list(self.funds),
            "suggestion": self.suggestion,
        }


class UnknownValues:
    """Counts them, a bounded number of different ones."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._seen: dict[tuple[str, str], Unknown] = {}

    def note(self, violations: Iterable[Violation], fund: str) -> None:
        """Count the values of an invalid request of a fund, as far as its report lists them."""
        for violation in violations:
            if violation.reason in _TOLD and isinstance(violation.value, str):
                now, times = self._now(), violation.occurrences
                funds = () if fund == "none" else (fund,)
                self.add(Unknown(violation.value, str(violation.reason), violation.suggestion, times, now, now, funds))

    def add(self, new: Unknown) -> None:
        """Count what was counted elsewhere, or for the first time."""
        key = new.value, new.reason
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) < _MOST:
                self._seen[key] = new
            return
        seen.count += new.count
        seen.first, seen.last = min(seen.first, new.first), max(seen.last, new.last)
        seen.suggestion = new.suggestion
        seen.funds = tuple(dict.fromkeys((*seen.funds, *new.funds)))[:_MOST_FUNDS]

    def top(self, number: int) -> list[Unknown]:
        """Return those that came most, so many at most."""
        return sorted(self._seen.values(), key=lambda one: (-one.count, one.value))[:number]

    def take(self) -> list[Unknown]:
        """Return all, and begin anew."""
        taken, self._seen = list(self._seen.values()), {}
        return taken
