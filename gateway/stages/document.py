"""The exact judge: one whole JSON document, orjson being the reference for what is JSON.

Rules of the room:

- What orjson refuses is `unparseable`: a failed parse is a finding, never a pass.
- Findings come in document order. Members that an object holds in another order than the locations are
  configured are taken as they stand.
- A name on a location's path that stands twice in one object makes the document `ambiguous_json`, since readers
  differ on which one counts. orjson keeps the last and tells nobody, so the raw bytes are asked as well: when a
  name's quoted bytes are as often in the body as the walk met it, it stands nowhere twice. Only when they are
  not is the document read again by the slower reader that sees every name (`incremental.py`).
- Weights are added in document order, one by one, as floats.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from gateway.stages.ambiguity import may_repeat
from gateway.stages.incremental import judge_name_by_name
from gateway.stages.locators import Node, Plan, Pointer, Role
from gateway.stages.prefix import ProvenPrefix
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook, add_up, is_number
from gateway.stages.steps import Steps
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import Vocabulary

# So many values are looked at in one stretch; the dearest, each its own finding, cost some microseconds.
_STRETCH = 100


def judge_document(
    body: bytes,
    plan: Plan,
    vocabulary: Vocabulary,
    findings: Findings,
    *,
    required: bool = False,
    prefix: ProvenPrefix | None = None,
) -> Steps[Reason | None]:
    """Add to `findings` what is wrong in a whole body at the locations of `plan`, in steps.

    Returns a reason about the whole body when there is one; what was found besides then counts for nothing.
    `required` says whether the absence of a required location is a violation (it is on POST and PUT).
    `prefix` is what was proven of an array before, in whose place the body has one `null`.
    """
    if plan.root is None:
        return None
    own = Findings()
    walk = Walk(RuleBook(plan, vocabulary, own, required=required), prefix)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not _is_only_too_large_a_number(error):
            return Reason.UNPARSEABLE
    else:
        yield from walk.visit(document, plan.root, Pointer())
        if not may_repeat(body, walk.met):
            findings.extend(own)
            return None
    rules = RuleBook(plan, vocabulary, findings, required=required)
    return (yield from judge_name_by_name(body, plan.root, rules, prefix))


def _is_only_too_large_a_number(error: orjson.JSONDecodeError) -> bool:
    """Whether orjson refused a number that a float cannot hold, which is JSON all the same (RFC 8259, section 6)."""
    return "infinity" in error.msg


class Walk:
    """One pass along the tree, in document order and in steps. `met` counts the objects that hold each name."""

    def __init__(self, rules: RuleBook, prefix: ProvenPrefix | None = None) -> None:
        self.met: dict[str, int] = {}
        self._rules = rules
        self._prefix = prefix
        self._left = _STRETCH
        self._due = _STRETCH

    def visit(self, value: Any, node: Node, pointer: Pointer) -> Steps[None]:
        """Judge `value`, which stands at `node`, and all that is configured below it."""
        for check in node.checks:
            self._rules.apply(check, value, pointer)
        if type(value) is list:
            yield from self._visit_array(value, node, pointer)
        elif type(value) is dict:
            yield from self._visit_object(value, node, pointer)
        else:
            self._rules.absent_below(node, pointer)

    def _is_due(self) -> bool:
        """Count one more value; returns whether others should have their turn.

        What is asked of a value counts as well: there may be hundreds of locations.
        """
        self._left -= 1
        looked_at = self._rules.looked_at
        if self._left > 0 and looked_at < self._due:
            return False
        self._left, self._due = _STRETCH, looked_at + _STRETCH
        return True

    def _visit_array(self, array: list[Any], node: Node, pointer: Pointer) -> Steps[None]:
        prefix = self._prefix
        if prefix is not None and node is prefix.node and array[:1] == [None]:
            self._prefix = None
            self._rules.findings.extend(prefix.findings)
            yield from self.visit_elements(array[1:], node, pointer, prefix.count)
            yield from self._sum_array(array[1:], node, pointer, prefix)
        else:
            yield from self.visit_elements(array, node, pointer)
            yield from self._sum_array(array, node, pointer)

    def visit_elements(self, array: list[Any], node: Node, pointer: Pointer, base: int = 0) -> Steps[None]:
        """Judge the elements of an array at `node`, whose first one here has index `base`."""
        elements, indices = node.elements, node.indices
        plain = elements.plain_location if elements is not None and not indices else None
        if plain is not None and elements is not None:
            for start in range(0, len(array), _STRETCH):
                yield from self._visit_plain(array[start : start + _STRETCH], elements, plain, pointer, base + start)
                yield
        elif elements is not None:
            for index, element in enumerate(array, base):
                below = indices.get(str(index), elements) if indices else elements
                yield from self.visit(element, below, Pointer(pointer, str(index)))
                if self._is_due():
                    yield
        else:
            for name, below in sorted(indices.items(), key=lambda item: int(item[0])):
                if int(name) < len(array):
                    yield from self.visit(array[int(name)], below, Pointer(pointer, name))
        self._rules.absent_elements(node, base + len(array), pointer)

    def _visit_plain(self, array: list[Any], node: Node, number: int, pointer: Pointer, base: int) -> Steps[None]:
        """Judge elements of which only their stage, and its weight, is asked: the way of nearly every request.

        What is not as it should be in any other way than its stage goes the long way.
        """
        rules = self._rules
        location, names, findings = rules.locations[number], rules.names, rules.findings
        name, weight = location.field, location.weight
        weighed = rules.tolerance is not None and weight is not None
        met_name = met_weight = 0
        for index, element in enumerate(array, base):
            if type(element) is not dict:
                rules.apply(node.checks[0], element, Pointer(pointer, str(index)))
                continue
            if name not in element and weight not in element:
                rules.element(element, number, Pointer(pointer, str(index)))
                continue
            if name not in element or (weighed and not is_number(element.get(weight))):
                yield from self.visit(element, node, Pointer(pointer, str(index)))
                continue
            met_name += 1
            met_weight += weight in element
            stage = element[name]
            if type(stage) is str and stage in names:
                findings.values += 1
            else:
                rules.stage(stage, number, Pointer(Pointer(pointer, str(index)), name))
        self._meet(name, met_name)
        if weight is not None:
            self._meet(weight, met_weight)

    def _visit_object(self, members: dict[str, Any], node: Node, pointer: Pointer) -> Steps[None]:
        rules = self._rules
        keys = [check.location for check in node.checks if check.role is Role.KEYS]
        sums = rules.sums(node, of_object=True)
        for name, below in self._followed(members, node, every=bool(keys)):
            self._meet(name)
            where = Pointer(pointer, name)
            for location in keys:
                rules.stage(name, location, where)
            for location in sums:
                rules.weight(members[name], location, where)
            if below is not None:
                yield from self.visit(members[name], below, where)
            if self._is_due():
                yield
        for check in node.checks:
            if check.role is Role.ELEMENT:
                rules.element(members, check.location, pointer)
        rules.absent_members(node, members, pointer)
        for location in sums:
            yield from self._sum(members.values(), location, pointer)

    @staticmethod
    def _followed(members: dict[str, Any], node: Node, *, every: bool) -> Iterator[tuple[str, Node | None]]:
        """Yield the members that a location goes through, in document order."""
        if every or node.every is not None:
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
        if times:
            self.met[name] = self.met.get(name, 0) + times

    def _sum_array(
        self, array: list[Any], node: Node, pointer: Pointer, prefix: ProvenPrefix | None = None
    ) -> Steps[None]:
        for location in self._rules.sums(node, of_object=False):
            begin = prefix.total if prefix is not None and prefix.location == location else 0.0
            yield from self._sum(self._rules.weights(array, location), location, pointer, begin)

    def _sum(self, weights: Iterable[Any], location: int, pointer: Pointer, begin: float | None = 0.0) -> Steps[None]:
        total, left = begin, iter(weights)
        while total is not None and (some := list(islice(left, 10 * _STRETCH))):
            total = add_up(some, total)
            yield
        self._rules.total(total, location, pointer)
