"""A body reduced to what decides: the way to its stages, the guarded fields, the fund, weights that are added up.

Nothing else of it is left: other members go with their names, scalars on the way become null, names that a `*` stands
for become numbers. What judges the rest comes to the same findings as it does over the whole.

The notation, since an array is not kept element by element: `{"o": {name: value}}` is an object, `{"a": [[times,
value]]}` an array, anything else the scalar itself. Equal elements are one, with their number, in the order of the
first of each, unless their order or place counts.
"""

import math
from typing import Any, NamedTuple

import orjson

from gateway.stages.locators import Node, Plan, Role
from gateway.stages.steps import Steps
from gateway.stages.verdict import MAX_VALUE_LENGTH

_STRETCH = 100  # values between two steps


class Pruned(NamedTuple):
    """What is left of a body, in the notation; `cut` says that a text in it was longer than it is shown."""

    body: Any
    cut: bool


class TooMuchError(Exception):
    """More of a body decides than may be left."""


def prune(document: Any, plan: Plan, most: float = math.inf) -> Steps[Pruned]:
    """Return in steps what decides in a parsed body.

    Raises TooMuchError where that is certain to be more than `most` bytes as JSON.
    """
    if plan.root is None:
        return Pruned(None, False)
    pruner = _Pruner(plan, most)
    body = yield from pruner.visit(document, plan.root)
    return Pruned(body, pruner.cut)


def restored(notation: Any) -> Any:
    """Return the JSON value that stands in the notation. Raises ValueError for what is none."""
    if not isinstance(notation, dict):
        if isinstance(notation, list):
            raise ValueError("an array without its mark")
        return notation
    match notation:
        case {"o": dict(members), **rest} if not rest:
            return {name: restored(value) for name, value in members.items()}
        case {"a": list(groups), **rest} if not rest:
            array = []
            for group in groups:
                if not (isinstance(group, list) and len(group) == 2 and type(group[0]) is int and group[0] > 0):
                    raise ValueError("an array whose elements are not counted")
                array += [restored(group[1])] * group[0]
            return array
    raise ValueError("neither an object nor an array")


class _Pruner:
    def __init__(self, plan: Plan, most: float) -> None:
        self._locations = plan.locations
        self._weighs = plan.tolerance is not None
        self._most = most
        self._size = 0  # of what is left, at the least
        self._left = _STRETCH
        self.cut = False

    def _step(self) -> Steps[None]:
        self._left -= 1
        if self._left <= 0:
            self._left = _STRETCH
            yield
        if self._size > self._most:
            raise TooMuchError

    def visit(self, value: Any, node: Node) -> Steps[Any]:
        yield from self._step()
        if type(value) is dict:
            return (yield from self._object(value, node))
        if type(value) is list:
            return (yield from self._array(value, node))
        return self._scalar(value) if node.checks else None

    def _object(self, members: dict[str, Any], node: Node) -> Steps[Any]:
        keys = any(check.role is Role.KEYS for check in node.checks)
        kept: dict[str, Any] = {}
        if not keys and node.every is None:
            members = {name: value for name, value in members.items() if name in node.members}
        for name, value in members.items():
            yield from self._step()
            below = node.members.get(name, node.every)
            if below is None and not keys:
                continue
            shown = self._text(name) if keys else name if name in node.members else self._number(kept, node)
            self._size += len('"":0,') + (0 if keys else len(shown))  # a text has counted its length
            if keys and self._weighs and not isinstance(value, dict | list):
                kept[shown] = self._scalar(value)
            elif below is None:
                kept[shown] = {"o": {}} if isinstance(value, dict) else {"a": []} if isinstance(value, list) else None
            else:
                kept[shown] = yield from self.visit(value, below)
        return {"o": kept}

    @staticmethod
    def _number(kept: dict[str, Any], node: Node) -> str:
        number = len(kept)
        while (name := f"*{number}") in node.members or name in kept:
            number += 1
        return name

    def _array(self, array: list[Any], node: Node) -> Steps[Any]:
        elements, indices = node.elements, node.indices
        if elements is None:
            array = array[: max(map(int, indices), default=-1) + 1]
        in_order = bool(indices) or self._adds_up(node)
        groups: list[list[Any]] = []
        known: dict[bytes, list[Any]] = {}
        for index, element in enumerate(array):
            below = indices.get(str(index), elements) if indices else elements
            size = self._size
            kept = None if below is None else (yield from self.visit(element, below))
            if in_order:
                groups.append([1, kept])
                self._size += len("[1,0],")
                continue
            group = known.setdefault(orjson.dumps(kept), [0, kept])
            if group[0] == 0:
                groups.append(group)
                self._size += len("[1,0],")
            else:
                self._size = size  # nothing new is left of this one
            group[0] += 1
        return {"a": groups}

    def _adds_up(self, node: Node) -> bool:
        """Whether the weights of the elements are added up, in their order."""
        return self._weighs and any(
            check.role is Role.EACH and self._locations[check.location].weight is not None for check in node.checks
        )

    def _scalar(self, value: Any) -> Any:
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        self._size += min(len(text), MAX_VALUE_LENGTH)
        if len(text) <= MAX_VALUE_LENGTH:
            return text
        self.cut = True
        return text[:MAX_VALUE_LENGTH] + "…"
