"""Where stages stand: the configured locations, and the tree a judge walks a document along.

A location in the body is a path of member names and `*`. All paths of an endpoint are laid into one tree of
`Node`s, so that a judge passes through a document once, in document order, whatever the number of locations.
Each node says by its `checks` what is expected of a value that stands there.

JSON Pointer: RFC 6901. `*` as a whole segment means every element of an array or member of an object.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType

EVERY = "*"

_STRAY_TILDE = re.compile(r"~(?![01])")


class Shape(StrEnum):
    """The four kinds of location; the values are the member names in the configuration file."""

    KEYS = "keys"
    EACH = "each"
    VALUE = "value"
    QUERY = "query"


class Role(Enum):
    """What is expected of the value at a node."""

    KEYS = "an object whose member names are stages"
    EACH = "an array of objects that each hold a stage"
    ELEMENT = "an object that holds a stage"
    STAGE = "a stage"
    WEIGHT = "a number, the weight of the stage beside it"
    FUND = "the fund id"


def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the unescaped segments of a JSON Pointer (RFC 6901, section 3 and 4).

    Raises ValueError, with what is wrong, for a text that is none.
    """
    if text == "":
        return ()
    if not text.startswith("/"):
        raise ValueError("a JSON Pointer is empty or begins with '/'")
    if _STRAY_TILDE.search(text):
        raise ValueError("in a JSON Pointer '~' is written '~0' and '/' within a name '~1'")
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in text[1:].split("/"))


def escape(segment: str) -> str:
    """Return one member name as a JSON Pointer writes it (RFC 6901, section 3)."""
    return segment.replace("~", "~0").replace("/", "~1")


class Pointer:
    """A place in a document: `step` below `above`, which is None for the whole document.

    Called, it makes the JSON Pointer, with `below` behind it. It is text only where a finding is listed: names can be
    long, and what stands below them can be a great many values.
    """

    __slots__ = ("_above", "_step")

    def __init__(self, above: "Pointer | None" = None, step: str = "") -> None:
        self._above = above
        self._step = step

    @classmethod
    def of(cls, path: Iterable[str]) -> "Pointer":
        """Return the place at a path from the root of the document."""
        pointer = cls()
        for step in path:
            pointer = cls(pointer, step)
        return pointer

    def __call__(self, below: str = "") -> str:
        """Return the JSON Pointer as text, with `below` behind it."""
        steps = []
        pointer = self
        while pointer._above is not None:
            steps.append(pointer._step)
            pointer = pointer._above
        return pointer_to(reversed(steps)) + below


@dataclass(frozen=True, slots=True)
class Location:
    """One place where stages stand, as configured.

    `path` is the path in the body (`*` for every), `field` and `weight` belong to `each`, `name` to `query`.
    `required` makes its absence a violation on POST and PUT.
    """

    shape: Shape
    path: tuple[str, ...] = ()
    field: str = ""
    weight: str | None = None
    name: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A role at a node, and the number of the location that asks for it."""

    role: Role
    location: int


@dataclass(frozen=True, slots=True)
class Absence:
    """A required location: `name` is the next step of its path, `below` its whole path from here as a pointer."""

    location: int
    name: str
    below: str


@dataclass(frozen=True, slots=True)
class Node:
    """One place of the document tree.

    In an object `members` are the names looked for and `every` stands for all others; in an array `indices`
    and `elements` do. `required` are the required locations whose path goes on from here.
    """

    checks: tuple[Check, ...] = ()
    members: Mapping[str, "Node"] = field(default_factory=dict)
    every: "Node | None" = None
    indices: Mapping[str, "Node"] = field(default_factory=dict)
    elements: "Node | None" = None
    required: tuple[Absence, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Whether no location goes on from here."""
        return not self.members and self.every is None and self.elements is None

    @property
    def plain_location(self) -> int | None:
        """The number of the location whose elements stand here, when nothing else is asked of them."""
        if len(self.checks) != 1 or self.checks[0].role is not Role.ELEMENT or self.every is not None:
            return None
        number = self.checks[0].location
        leaves = self.members.values()
        plain = all(leaf.is_leaf and all(check.location == number for check in leaf.checks) for leaf in leaves)
        return number if plain else None


@dataclass(frozen=True, slots=True)
class Array:
    """An array whose elements are asked for their stage, and its weight, and nothing else.

    `node` is its place in the tree, `location` the number of its location, `path` the names of the objects it
    stands in.
    """

    node: Node
    location: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All locations of one endpoint, ready for the judges.

    `root` is the tree for the body, None when nothing is looked for there. `tolerance` is the allowed distance
    of a sum of weights from 1, None when weights are not looked at. `fund` is the path of the fund id in the body.
    `array` is the one array of plain elements that can be judged window by window, None when there is none.
    """

    locations: tuple[Location, ...]
    root: Node | None
    queries: tuple[tuple[int, Location], ...]
    tolerance: float | None = None
    fund: tuple[str, ...] | None = None
    array: "Array | None" = None

    @classmethod
    def of(
        cls,
        locations: Iterable[Location],
        *,
        fund: tuple[str, ...] | None = None,
        tolerance: float | None = None,
    ) -> "Plan":
        """Lay the locations, and the path of the fund id in the body, into one plan."""
        numbered = tuple(locations)
        routes = [
            route
            for number, location in enumerate(numbered)
            for route in _routes(number, location, weights=tolerance is not None)
        ]
        if fund is not None:
            routes.append(_Route(fund, Check(Role.FUND, -1)))
        queries = tuple((i, location) for i, location in enumerate(numbered) if location.shape is Shape.QUERY)
        root = _lay(routes, 0) if routes else None
        return cls(numbered, root, queries, tolerance, fund, _array(numbered, root))


@dataclass(frozen=True, slots=True)
class _Field:
    """The `field` or `weight` of an `each`: a member's name, also when it reads `*` or like an index."""

    name: str


_Step = str | _Field | None  # a segment of a pointer, a field, or None: an element of the array of an `each`


@dataclass(frozen=True, slots=True)
class _Route:
    """One path to one check; `required` when a missing step of it is a violation."""

    path: tuple[_Step, ...]
    check: Check | None
    required: bool = False


def _routes(number: int, location: Location, *, weights: bool) -> list[_Route]:
    """Return the paths that a judge follows for one location."""
    path = location.path
    match location.shape:
        case Shape.QUERY:
            return []
        case Shape.VALUE:
            return [_Route(path, Check(Role.STAGE, number), location.required)]
        case Shape.KEYS:
            return [_Route(path, Check(Role.KEYS, number), location.required)]
        case Shape.EACH:
            routes = [
                _Route(path, Check(Role.EACH, number), location.required),
                _Route((*path, None), Check(Role.ELEMENT, number)),
                _Route((*path, None, _Field(location.field)), Check(Role.STAGE, number)),
            ]
            if location.weight is not None:
                # Without a tolerance nothing is asked of the weight, but standing twice it is ambiguous.
                check = Check(Role.WEIGHT, number) if weights else None
                routes.append(_Route((*path, None, _Field(location.weight)), check))
            return routes


def _lay(routes: list[_Route], depth: int) -> Node:
    """Return the tree of all routes that share their first `depth` steps."""
    going = [route for route in routes if len(route.path) > depth]
    steps = {route.path[depth] for route in going}
    segments = sorted(step for step in steps if isinstance(step, str) and step != EVERY)
    names = sorted({*segments, *(step.name for step in steps if isinstance(step, _Field))})

    def below(*steps: _Step) -> Node | None:
        follows = [route for route in going if route.path[depth] in steps]
        return _lay(follows, depth + 1) if follows else None

    return Node(
        checks=tuple(r.check for r in routes if len(r.path) == depth and r.check is not None),
        members=MappingProxyType({name: node for name in names if (node := below(name, _Field(name), EVERY))}),
        every=below(EVERY),
        indices=MappingProxyType(
            {name: node for name in segments if is_index(name) and (node := below(name, EVERY, None))}
        ),
        elements=below(EVERY, None),
        required=tuple(
            Absence(route.check.location, steps_below[0], pointer_to(steps_below))
            for route in going
            if route.required and route.check is not None
            # What is required is a whole location, whose path is a pointer.
            if (steps_below := [step for step in route.path[depth:] if isinstance(step, str)])
        ),
    )


def _array(locations: tuple[Location, ...], root: Node | None) -> Array | None:
    """Return the array that can be judged window by window: the only one, at a plain path, with plain elements."""
    found = [(i, location) for i, location in enumerate(locations) if location.shape is Shape.EACH]
    if len(found) != 1 or root is None or EVERY in found[0][1].path:
        return None
    number, location = found[0]
    node = root
    for name in location.path:
        if node.every is not None:
            return None
        node = node.members[name]
    element = node.elements
    if element is None or len(node.checks) > 1 or node.members or node.indices or node.every is not None:
        return None
    asked = {location.field, location.weight} - {None}
    if element.plain_location is None or element.indices or element.elements is not None:
        return None
    if location.field == location.weight or set(element.members) != asked:
        return None
    return Array(node, number, location.path)


def is_index(name: str) -> bool:
    """Whether a segment is an array index (RFC 6901, section 4: no leading zeros)."""
    return name.isascii() and name.isdigit() and (name == "0" or not name.startswith("0"))


def pointer_to(path: Iterable[str]) -> str:
    """Return the JSON Pointer of a path (RFC 6901, section 3)."""
    return "".join("/" + escape(segment) for segment in path)
