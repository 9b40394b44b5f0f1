"""What is wrong with one value at one location: the rules that all judges of a body share.

`place` makes the JSON Pointer of the value; it is only called for findings that are listed.
"""

from collections.abc import Callable
from typing import Any

from gateway.stages.locators import Plan
from gateway.stages.verdict import MAX_VALUE_LENGTH, Findings, Reason
from gateway.stages.vocabulary import Vocabulary

Place = Callable[[], str]
_MAX_KNOWN = 256


class Assessor:
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

    def stage(self, value: Any, location: int, place: Place) -> None:
        """Judge a value that must be a stage."""
        if type(value) is not str:
            self.wrong_type(value, location, place)
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
            self.findings.add(location, reason, value, place, suggest=lambda: vocabulary.suggestion(value))

    def wrong_type(self, value: Any, location: int, place: Place) -> None:
        """Object to a value that stands in a stage's place, or holds stages, and has the wrong JSON type."""
        self.findings.values += 1
        self.findings.add(location, Reason.WRONG_TYPE, value, place)

    def missing(self, location: int, place: Place) -> None:
        """Object to a stage that is not there."""
        self.findings.values += 1
        self.findings.add(location, Reason.MISSING, None, place)

    def weight(self, value: Any, location: int, place: Place) -> bool:
        """Judge a weight; returns whether it can be added up."""
        if is_number(value):
            return True
        self.findings.add(location, Reason.WRONG_TYPE, value, place)
        return False

    def total(self, total: float, location: int, place: Place) -> None:
        """Judge a sum of weights: it must be 1 within the tolerance. A sum that is no number is not."""
        if self.tolerance is not None and not abs(total - 1.0) <= self.tolerance:
            self.findings.add(location, Reason.WEIGHT_SUM, total, place)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return type(value) is float or type(value) is int


def fund_text(value: Any) -> str | None:
    """Return a fund id found in a body as text, a number as its decimal text; None for anything else."""
    if type(value) is str:
        return value
    return str(value) if is_number(value) else None
