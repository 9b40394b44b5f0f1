"""The exact judge: one whole JSON document, orjson being the reference for what is JSON.

Rules of the room:

- What orjson refuses is `unparseable`: a failed parse is a finding, never a pass.
- Findings come in document order. Members that an object holds in another order than the locations are
  configured are taken as they stand.
- A name on a location's path that stands twice in one object makes the document `ambiguous_json`, since readers
  differ on which one counts. orjson keeps the last and tells nobody, so the raw bytes are asked as well: when a
  name's quoted bytes are as often in the body as the walk met it, it stands nowhere twice. Only when they are
  not is the document read again by the slower reader that sees every name (`duplicates.py`).
- Weights are added in document order, one by one, as floats.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import orjson

from gateway.stages.duplicates import is_ambiguous
from gateway.stages.locators import Absence, Node, Plan, Role, escape, is_index
from gateway.stages.verdict import Findings, Reason
from gateway.stages.vocabulary import Vocabulary

# More different names than this are not counted one by one in the raw bytes.
_MAX_COUNTED_NAMES = 32

_PROTOTYPE = b"__proto__"


def judge_document(
    body: bytes, plan: Plan, vocabulary: Vocabulary, findings: Findings, *, required: bool = False
) -> Reason | None:
    """Add to `findings` what is wrong in a whole body at the locations of `plan`.

    Returns a reason about the whole body when there is one; what was found besides then counts for nothing.
    `required` says whether the absence of a required location is a violation (it is on POST and PUT).
    """
    if plan.root is None:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Reason.UNPARSEABLE
    walk = _Walk(plan, vocabulary, findings, required=required)
    walk.visit(document, plan.root, "")
    if not _may_repeat(body, walk.met):
        return None
    try:
        return Reason.AMBIGUOUS_JSON if is_ambiguous(body, plan.root) else None
    except ValueError:
        return Reason.UNPARSEABLE


def _may_repeat(body: bytes, met: dict[str, int]) -> bool:
    """Whether a name that the walk met could stand twice in one object, or `__proto__` be in the document.

    `met` counts the objects in which each name was found. Every one of them holds the name at least once in the
    raw bytes, so equal counts prove that none holds it twice. An escape could spell a name in other bytes.
    """
    if _PROTOTYPE in body or b"\\u" in body or len(met) > _MAX_COUNTED_NAMES:
        return True
    return any(body.count(orjson.dumps(name)) != times for name, times in met.items() if times) or (
        # Short escapes such as \/ spell names too, but only names that hold such a character.
        b"\\" in body and any(_escapable(name) for name in met)
    )


def _escapable(name: str) -> bool:
    return any(character in '"\\/\b\f\n\r\t' for character in name)


class _Walk:
    """One pass along the tree, filling `findings` and counting in `met` the objects that hold each name."""

    def __init__(self, plan: Plan, vocabulary: Vocabulary, findings: Findings, *, required: bool) -> None:
        self.findings = findings
        self.met: dict[str, int] = {}
        self._vocabulary = vocabulary
        self._tolerance = plan.tolerance
        self._locations = plan.locations
        self._required = required

    def visit(self, value: Any, node: Node, pointer: str) -> None:
        """Judge `value`, which stands at `node`, and all that is configured below it."""
        if type(value) is list:
            self._visit_array(value, node, pointer)
        elif type(value) is dict:
            self._visit_object(value, node, pointer)
        else:
            self._meet_duties(value, node, pointer)
            self._report_absent(node.required, pointer)

    def _visit_array(self, array: list[Any], node: Node, pointer: str) -> None:
        self._meet_duties(array, node, pointer)
        if node.elements is not None and not (not node.indices and self._all_canonical(array, node.elements)):
            indices = node.indices
            for index, element in enumerate(array):
                below = indices.get(str(index), node.elements) if indices else node.elements
                self.visit(element, below, f"{pointer}/{index}")
        elif node.elements is None:
            for name, below in sorted(node.indices.items(), key=lambda item: int(item[0])):
                if int(name) < len(array):
                    self.visit(array[int(name)], below, f"{pointer}/{name}")
        self._report_absent(
            (a for a in node.required if not (is_index(a.name) and int(a.name) < len(array)) and a.name != "*"),
            pointer,
        )
        self._sum_weights(array, node, pointer)

    def _all_canonical(self, array: list[Any], node: Node) -> bool:
        """Whether an array of plain elements is wholly canonical: the short way of nearly every request.

        It only ever says yes to what the long way would find nothing in, and then counts what it saw.
        """
        if len(node.duties) != 1 or node.duties[0].role is not Role.ELEMENT or node.every is not None:
            return False
        location = self._locations[node.duties[0].location]
        weighed = self._tolerance is not None and location.weight is not None
        below = node.members.values()
        # One duty below is that of the stage itself: nothing else is asked of an element.
        if weighed or not all(member.is_leaf for member in below) or sum(len(member.duties) for member in below) != 1:
            return False
        try:
            if not self._vocabulary.names.issuperset(map(itemgetter(location.field), array)):
                return False
        except (KeyError, TypeError, IndexError):
            return False
        self.findings.values += len(array)
        self._meet(location.field, len(array))
        if location.weight is not None:
            self._meet(location.weight, sum(location.weight in element for element in array))
        return True

    def _visit_object(self, members: dict[str, Any], node: Node, pointer: str) -> None:
        self._meet_duties(members, node, pointer)
        keyed = [duty.location for duty in node.duties if duty.role is Role.KEYS]
        for name, below in self._followed(members, node, whole=bool(keyed)):
            self._meet(name)
            place = f"{pointer}/{escape(name)}"
            for location in keyed:
                self._judge_key(name, members[name], location, place)
            if below is not None:
                self.visit(members[name], below, place)
        self._report_missing_in_element(members, node, pointer)
        self._report_absent((a for a in node.required if a.name not in members and a.name != "*"), pointer)
        self._sum_weights(members, node, pointer)

    @staticmethod
    def _followed(members: dict[str, Any], node: Node, *, whole: bool) -> Iterator[tuple[str, Node | None]]:
        """Yield the members that a location goes through, all when `whole`, in document order."""
        if whole or node.every is not None:
            for name in members:
                yield name, node.members.get(name, node.every)
            return
        found = [name for name in node.members if name in members]
        if len(found) > 1:
            wanted = frozenset(found)
            found = [name for name in members if name in wanted]
        for name in found:
            yield name, node.members[name]

    def _meet(self, name: str, times: int = 1) -> None:
        self.met[name] = self.met.get(name, 0) + times

    def _meet_duties(self, value: Any, node: Node, pointer: str) -> None:
        for duty in node.duties:
            match duty.role:
                case Role.STAGE:
                    self._judge_stage(value, duty.location, pointer)
                case Role.WEIGHT:
                    if not is_number(value):
                        self._object_to(duty.location, Reason.WRONG_TYPE, value, pointer)
                case Role.KEYS if type(value) is dict:
                    pass  # its members are judged one by one, each before what stands below it
                case Role.EACH if type(value) is list:
                    pass
                case Role.ELEMENT if type(value) is dict:
                    pass
                case Role.FUND:
                    self.findings.fund = fund_text(value)
                case _:
                    self.findings.values += 1
                    self._object_to(duty.location, Reason.WRONG_TYPE, value, pointer)

    def _judge_stage(self, value: Any, location: int, pointer: str) -> None:
        self.findings.values += 1
        if type(value) is not str:
            self._object_to(location, Reason.WRONG_TYPE, value, pointer)
        elif (reason := self._vocabulary.objection(value)) is not None:
            self._object_to(location, reason, value, pointer)

    def _judge_key(self, name: str, weight: Any, location: int, place: str) -> None:
        self.findings.values += 1
        if (reason := self._vocabulary.objection(name)) is not None:
            self._object_to(location, reason, name, place)
        if self._tolerance is not None and not is_number(weight):
            self._object_to(location, Reason.WRONG_TYPE, weight, place)

    def _report_missing_in_element(self, members: dict[str, Any], node: Node, pointer: str) -> None:
        for duty in node.duties:
            if duty.role is not Role.ELEMENT:
                continue
            location = self._locations[duty.location]
            if location.field not in members:
                self.findings.values += 1
                self._object_to(duty.location, Reason.MISSING, None, f"{pointer}/{escape(location.field)}")
            if self._tolerance is not None and location.weight and location.weight not in members:
                self._object_to(duty.location, Reason.WRONG_TYPE, None, f"{pointer}/{escape(location.weight)}")

    def _report_absent(self, absent: "Iterator[Absence] | tuple[Absence, ...]", pointer: str) -> None:
        if not self._required:
            return
        for absence in absent:
            self.findings.values += 1
            self._object_to(absence.location, Reason.MISSING, None, pointer + absence.rest)

    def _sum_weights(self, value: Any, node: Node, pointer: str) -> None:
        """Compare the sum of the weights below a container with 1; unreadable weights were reported before."""
        if self._tolerance is None:
            return
        for duty in node.duties:
            weights = self._weights(value, duty.role, self._locations[duty.location].weight)
            if weights is None or not all(map(is_number, weights)):
                continue
            total = add_up(weights)
            if not within(total, self._tolerance):
                self._object_to(duty.location, Reason.WEIGHT_SUM, total, pointer)

    @staticmethod
    def _weights(value: Any, role: Role, weight: str | None) -> list[Any] | None:
        if role is Role.KEYS and type(value) is dict:
            return list(value.values())
        if role is Role.EACH and type(value) is list and weight is not None:
            return [element.get(weight) if type(element) is dict else None for element in value]
        return None

    def _object_to(self, location: int, reason: Reason, value: Any, pointer: str) -> None:
        suggest = None
        if isinstance(value, str) and reason in (Reason.ALIAS, Reason.DISALLOWED_VALUE):

            def suggest() -> str | None:
                return self._vocabulary.suggestion(value)

        self.findings.add(location, reason, value, lambda: pointer, suggest=suggest)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return type(value) is float or type(value) is int


def add_up(weights: list[Any]) -> float:
    """Return the sum of the weights, added in document order one by one.

    Not `sum()`: since Python 3.12 it compensates, and would differ from a sum made window by window.
    """
    total = 0.0
    for weight in weights:
        total += weight
    return total


def within(total: float, tolerance: float) -> bool:
    """Whether a sum of weights is 1 within the tolerance; a sum that is no number is not."""
    return abs(total - 1.0) <= tolerance


def fund_text(value: Any) -> str | None:
    """Return a fund id found in a body as text, a number as its decimal text; None for anything else."""
    if type(value) is str:
        return value
    return str(value) if is_number(value) else None
