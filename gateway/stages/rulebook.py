"""The rule book: what is asked of the values at a node, and what is wrong with them. The judges of a body only walk.

`where` makes the JSON Pointer of the value that is judged, with `below` behind it; it is only called for findings that
are listed.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from gateway.stages.locators import Absence, Check, Node, Plan, Role, escape, is_index
from gateway.stages.reasons import Reason
from gateway.stages.verdict import MAX_VALUE_LENGTH, Findings
from gateway.stages.vocabulary import Vocabulary

_MAX_KNOWN = 256
# A name of the module is looked up in a third of the time, and every value of a body asks.
_STAGE, _WEIGHT, _FUND, _EACH = Role.STAGE, Role.WEIGHT, Role.FUND, Role.EACH


class Where(Protocol):
    """Makes the JSON Pointer of a value."""

    def __call__(self, below: str = "") -> str:
        """Return the pointer as text, with `below` behind it."""


class RuleBook:
    """Adds to `findings` what the values of one document are guilty of.

    `required` says whether the absence of a required location is a violation here (it is on POST and PUT).
    """

    __slots__ = ("_known", "_vocabulary", "findings", "locations", "names", "required", "tolerance")

    def __init__(self, plan: Plan, vocabulary: Vocabulary, findings: Findings, *, required: bool) -> None:
        self.findings = findings
        self.locations = plan.locations
        self.tolerance = plan.tolerance
        self.required = required
        self._vocabulary = vocabulary
        # Wrong spellings repeat: what is wrong with one is looked up once.
        self._known: dict[str, Reason | None] = {}
        self.names = vocabulary.names

    @property
    def looked_at(self) -> int:
        """How many values were judged and findings made so far: what the work went into."""
        return self.findings.values + self.findings.count

    # A value that stands at a node.

    def apply(self, check: Check, value: Any, where: Where) -> bool:
        """Judge a value by one check of its node; returns whether it is of the type that is asked for.

        Of a container nothing but its type counts here.
        """
        role = check.role
        if role is _STAGE:
            self.stage(value, check.location, where)
        elif role is _WEIGHT:
            return self.weight(value, check.location, where)
        elif role is _FUND:
            self.findings.fund = fund_text(value)
        elif type(value) is not (list if role is _EACH else dict):
            self._wrong_type(value, check.location, where)
            return False
        return True

    def stage(self, value: Any, location: int, where: Where) -> None:
        """Judge a value, or the name of a member, that must be a stage."""
        if type(value) is not str:
            self._wrong_type(value, location, where)
            return
        self.findings.values += 1
        if value in self.names:
            return
        vocabulary, known = self._vocabulary, self._known
        if value in known:
            reason = known[value]
        else:
            reason = vocabulary.objection(value)
            if len(known) < _MAX_KNOWN and len(value) <= MAX_VALUE_LENGTH:
                known[value] = reason
        if reason is not None:
            self.findings.add(location, reason, value, where, suggest=lambda: vocabulary.suggestion(value))

    def weight(self, value: Any, location: int, where: Callable[[], str]) -> bool:
        """Judge a weight that is to be added up; returns whether it can be."""
        if is_number(value):
            return True
        self.findings.add(location, Reason.WRONG_TYPE, value, where)
        return False

    def _wrong_type(self, value: Any, location: int, where: Where) -> None:
        self.findings.values += 1
        self.findings.add(location, Reason.WRONG_TYPE, value, where)

    # What is not there, once a value has been seen to its end.

    def element(self, members: Container[str | bytes], location: int, where: Where) -> bool:
        """Object to the stage, and to the weight that is to be added up, that an element of an `each` lacks.

        Returns whether there is a weight, where one is asked for.
        """
        asked = self.locations[location]
        if asked.field not in members:
            self._missing(location, lambda: where("/" + escape(asked.field)))
        weight = asked.weight
        if self.tolerance is None or weight is None or weight in members:
            return True
        return self.weight(None, location, lambda: where("/" + escape(weight)))

    def absent_members(self, node: Node, members: Container[str | bytes], where: Where) -> None:
        """Object to the required locations that an object at the node does not go on to."""
        if node.required and self.required:
            self._absent((a for a in node.required if a.name != "*" and a.name not in members), where)

    def absent_elements(self, node: Node, length: int, where: Where) -> None:
        """Object to the required locations that an array of this length at the node does not go on to."""
        if node.required and self.required:
            self._absent(
                (a for a in node.required if a.name != "*" and not (is_index(a.name) and int(a.name) < length)), where
            )

    def absent_below(self, node: Node, where: Where) -> None:
        """Object to the required locations that go on from the node, where a scalar stands."""
        if node.required and self.required:
            self._absent(node.required, where)

    def _absent(self, absences: Iterable[Absence], where: Where) -> None:
        for absence in absences:
            self._missing(absence.location, partial(where, absence.below))

    def _missing(self, location: int, where: Callable[[], str]) -> None:
        self.findings.values += 1
        self.findings.add(location, Reason.MISSING, None, where)

    # Sums.

    def sums(self, node: Node, *, of_object: bool) -> list[int]:
        """Return the locations whose weights are added up in a container at the node; none without a tolerance."""
        if self.tolerance is None:
            return []
        role = Role.KEYS if of_object else Role.EACH
        return [
            check.location
            for check in node.checks
            if check.role is role and (of_object or self.locations[check.location].weight is not None)
        ]

    def weights(self, elements: Iterable[Any], location: int) -> Iterator[Any]:
        """Yield the weights of the elements of an `each`, None where there is none."""
        name = self.locations[location].weight
        return (element.get(name) if type(element) is dict else None for element in elements)

    def total(self, total: float | None, location: int, where: Where) -> None:
        """Judge a sum of weights. One that could not be added up, None, was reported where the weights stand."""
        if total is not None and self.tolerance is not None and not is_one(total, self.tolerance):
            self.findings.add(location, Reason.WEIGHT_SUM, total, where)


def is_one(total: float, tolerance: float) -> bool:
    """Whether a sum of weights is 1 within the tolerance. A sum that is no number is not."""
    return abs(total - 1.0) <= tolerance


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return type(value) is float or type(value) is int


def add_up(weights: Iterable[Any], begin: float | None = 0.0) -> float | None:
    """Return `begin` and the weights, added in document order one by one; None when one is no number.

    Not `sum()`: since Python 3.12 it compensates, and would differ from a sum made window by window.
    """
    total = begin
    for weight in weights:
        if total is None or not is_number(weight):
            return None
        total += weight
    return total


def fund_text(value: Any) -> str | None:
    """Return a fund id found in a body as text, a number as its decimal text; None for anything else."""
    if type(value) is str:
        return value
    return str(value) if is_number(value) else None
