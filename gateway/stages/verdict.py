"""Verdicts: what the judges say of one request, and how single findings are gathered into one.

Rules of the room:

- A verdict is frozen. Its reason is that of its first violation in document order.
- A reason about the whole request ends the inspection: such a verdict has count 1 and no list.
- Equal (location, value, reason) are one `Violation` with the first pointer and the number of occurrences.
- Memory is bounded whatever the body holds: at most `MAX_VIOLATIONS` groups, values cut to `MAX_VALUE_LENGTH`.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache

import xxhash

from gateway.stages.position import Position
from gateway.stages.reasons import Reason
from gateway.stages.steps import Steps

MAX_VIOLATIONS = 20
MAX_VALUE_LENGTH = 64

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Violation:
    """One group of equal findings.

    `pointer` is the JSON Pointer (RFC 6901) of the first of them, None for a query parameter, whose name is
    then `parameter`. `value` is a scalar as found, cut to 64 characters, or a mark for a container.
    """

    pointer: str | None
    parameter: str | None
    value: Scalar
    reason: Reason
    suggestion: str | None
    occurrences: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one inspection found.

    `values` counts the stage values looked at, `count` the violating ones (1 for a reason about the whole
    request). `fund` is the fund id that stood in the body, as text. `position` is where a short body that is
    `unparseable` goes wrong; not every way to judge knows it.
    """

    reason: Reason | None = None
    count: int = 0
    values: int = 0
    violations: tuple[Violation, ...] = ()
    truncated: bool = False
    count_is_lower_bound: bool = False
    fund: str | None = None
    position: Position | None = field(default=None, compare=False)

    @property
    def valid(self) -> bool:
        """Whether nothing was found."""
        return self.reason is None


@lru_cache(256)  # nearly all requests are good, of a few values and without a fund in the body
def good(values: int, fund: str | None) -> Verdict:
    """Return the verdict on a whole body in which nothing was found."""
    return Verdict(values=values, fund=fund)


def whole_request(
    reason: Reason, *, values: int = 0, fund: str | None = None, position: Position | None = None
) -> Verdict:
    """Return the verdict for a reason about the whole request."""
    return Verdict(reason=reason, count=1, values=values, fund=fund, position=position)


def shown(value: object) -> Scalar:
    """Return what a report shows of a JSON value: scalars as they are, long strings cut, containers as a mark."""
    if isinstance(value, str):
        return value[:MAX_VALUE_LENGTH]
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, list):
        return "[…]"
    return value if isinstance(value, bool | int | float) else None


class Findings:
    """Gathers findings in document order, in bounded memory, and makes the verdict of them."""

    __slots__ = ("_groups", "count", "first", "fund", "position", "truncated", "values")

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], _Group] = {}
        self.first: Reason | None = None
        self.count = 0
        self.values = 0
        self.truncated = False
        self.fund: str | None = None
        self.position: Position | None = None

    def add(
        self,
        location: int,
        reason: Reason,
        value: object,
        place: Callable[[], str],
        *,
        suggest: Callable[[], str | None] | None = None,
        parameter: str | None = None,
    ) -> None:
        """Record one finding at the configured location number `location`.

        `place` makes the JSON Pointer, for the first finding of a group only, and `suggest` the suggestion, for a
        verdict only, so that a million findings cost little more than their count.
        """
        self.count += 1
        if self.first is None:
            self.first = reason
        key = (location, reason, *_identity(value))
        group = self._groups.get(key)
        if group is not None:
            group.occurrences += 1
        elif len(self._groups) < MAX_VIOLATIONS:
            pointer = None if parameter is not None else place()
            self._groups[key] = _Group(pointer, parameter, shown(value), reason, suggest)
        else:
            self.truncated = True

    def extend(self, later: "Findings") -> None:
        """Take over what was found further on in the document."""
        self.values += later.values
        self.count += later.count
        self.truncated = self.truncated or later.truncated
        self.first = self.first or later.first
        if later.fund is not None:
            self.fund = later.fund
        for key, group in later._groups.items():
            mine = self._groups.get(key)
            if mine is not None:
                mine.occurrences += group.occurrences
            elif len(self._groups) < MAX_VIOLATIONS:
                self._groups[key] = copy(group)
            else:
                self.truncated = True

    @property
    def distinct(self) -> int:
        """How many different findings are kept so far, at most `MAX_VIOLATIONS`."""
        return len(self._groups)

    def settle(self) -> Steps[None]:
        """Find the suggestions in steps, which a verdict has to wait for otherwise."""
        for group in self._groups.values():
            group.settle()
            yield

    def verdict(self, *, lower_bound: bool = False) -> Verdict:
        """Return what was found so far; `lower_bound` says that the body was not seen to its end."""
        if self.count == 0 and not lower_bound:
            return good(self.values, self.fund)
        return Verdict(
            reason=self.first,
            count=self.count,
            values=self.values,
            violations=tuple(group.frozen() for group in self._groups.values()),
            truncated=self.truncated,
            count_is_lower_bound=lower_bound,
            fund=self.fund,
        )


class _Group:
    """A violation whose occurrences are still being counted."""

    __slots__ = ("_suggest", "_suggestion", "_violation", "occurrences")

    def __init__(
        self,
        pointer: str | None,
        parameter: str | None,
        value: Scalar,
        reason: Reason,
        suggest: Callable[[], str | None] | None,
    ) -> None:
        self._violation = (pointer, parameter, value, reason)
        self._suggest = suggest
        self._suggestion: str | None = None
        self.occurrences = 1

    def settle(self) -> None:
        if self._suggest is not None:
            self._suggestion, self._suggest = self._suggest(), None

    def frozen(self) -> Violation:
        self.settle()
        return Violation(*self._violation, self._suggestion, self.occurrences)


def _identity(value: object) -> tuple[object, ...]:
    """Return what makes two values equal in a report, in bounded size: 1, 1.0 and true are three values."""
    if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
        return (str, len(value), xxhash.xxh3_128_digest(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, dict | list):
        return (type(value),)
    return (type(value), value)
