"""The fast path: one decode that can only ever say "all good".

Each place that a location goes through becomes a field of a msgspec struct, every stage one of the canonical names.
So one decode reads what is guarded and skips the rest, at three times the speed of a whole parse. Whatever it refuses,
whatever is required and absent, and whatever could be read in another way (`ambiguity.py`) goes to the exact judge,
which makes the report.

`document` looks at a whole document, `elements` at a run of whole elements of the plan's array.
"""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Annotated, Any, Literal, Protocol

import msgspec
from stringzilla import count as times
from stringzilla import find

from gateway.stages.ambiguity import AmbiguityCheck
from gateway.stages.locators import Node, Plan, Role
from gateway.stages.prefix import ProvenPrefix
from gateway.stages.rulebook import add_up, fund_text, is_one
from gateway.stages.syntax import is_plain, quoted
from gateway.stages.vocabulary import Vocabulary

# Other numbers are text in more than one way; the exact judge knows which.
_FundId = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Malformed(Exception):  # noqa: N818 - a finding, not a fault
    """The bytes are no JSON."""


@dataclass(frozen=True, slots=True)
class Good:
    """A run of good elements: how many, and the sum of their weights and those before, None when not added up."""

    count: int
    total: float | None


class Seen:
    """What a good document held: stage values, the fund id, and how often each guarded name was met.

    `elements` are those of its array, containers that stand beside each other.
    """

    __slots__ = ("elements", "fund", "met", "prefix", "required", "values")

    def __init__(self, *, required: bool, prefix: ProvenPrefix | None) -> None:
        self.required = required
        self.prefix = prefix
        self.values = self.elements = 0
        self.fund: str | None = None
        self.met: dict[str, int] = {}

    def meet(self, name: str, often: int) -> None:
        """Note that so many objects held a name."""
        self.met[name] = self.met.get(name, 0) + often


class FastPath:
    """The fast path of one plan, made once per configuration."""

    def __init__(self, plan: Plan, vocabulary: Vocabulary) -> None:
        self._document = _Document.of(plan, vocabulary)
        self._elements = _Elements.of(plan, vocabulary)
        self._weight = b""
        self._unweighed: _Document | None = None
        self._unweighed_elements: _Elements | None = None
        name = None if plan.array is None else plan.locations[plan.array.location].weight
        if name is not None and plan.tolerance is None:
            # Then an element may do without a weight. Where that name stands nowhere, it need not be looked for.
            self._weight = quoted(name)
            locations = (replace(location, weight=None) for location in plan.locations)
            unweighed = Plan.of(locations, fund=plan.fund)
            self._unweighed = _Document.of(unweighed, vocabulary, also=name)
            self._unweighed_elements = _Elements.of(unweighed, vocabulary, also=name)

    @property
    def has_document(self) -> bool:
        """Whether a struct can hold what the plan's locations go through."""
        return self._document is not None

    @property
    def has_elements(self) -> bool:
        """Whether the plan has an array whose elements can be looked at run by run."""
        return self._elements is not None

    def document(self, body: bytes, *, required: bool, prefix: ProvenPrefix | None = None) -> Seen | None:
        """Return what a document holds when it is certain that all is good, else None.

        `required` says whether the absence of a required location is a violation. `prefix` is what was found in
        the one array before, whose elements were then taken out.
        """
        seen = None if self._document is None else self._document.look(body, required=required, prefix=prefix)
        if seen is None and self._unweighed is not None and find(body, self._weight) < 0:
            return self._unweighed.look(body, required=required, prefix=prefix)
        return seen

    def elements(self, data: memoryview, total: float | None, *, ascii_only: bool) -> Good | None:
        """Return what an array, its brackets included, holds when it is certain that all is good, else None.

        Raises Malformed when the bytes are no JSON. `total` is the sum of the weights before, `ascii_only` says that
        no byte is above 127.
        """
        good = None if self._elements is None else self._elements.look(data, total, ascii_only=ascii_only)
        if good is None and self._unweighed_elements is not None and find(data, self._weight) < 0:
            return self._unweighed_elements.look(data, total, ascii_only=ascii_only)
        return good


class _Document:
    """The look at a whole document; `also` is a name that no escape may spell either."""

    def __init__(self, root: "_Part", names: set[str]) -> None:
        self._root = root
        self._decoder = msgspec.json.Decoder(root.kind)
        self._check = AmbiguityCheck(names, depth=0)

    @classmethod
    def of(cls, plan: Plan, vocabulary: Vocabulary, also: str = "") -> "_Document | None":
        """Return the look of a plan, None when its locations are none that a struct can hold."""
        names = {also}
        root = None if plan.root is None else _part(plan.root, plan, vocabulary, names)
        if root is None or not all(map(is_plain, vocabulary.canonical)):
            return None
        return cls(root, names | set(vocabulary.canonical))

    def look(self, body: bytes, *, required: bool, prefix: ProvenPrefix | None) -> Seen | None:
        check = self._check
        if check.of_characters(body, ascii_only=body.isascii()):
            return None
        try:
            document = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        seen = Seen(required=required, prefix=prefix)
        if not self._root.note(document, seen) or check.of_names(body, seen.met, seen.elements):
            return None
        return seen


class _Elements:
    """The look at some elements of an array; `also` is a name that no escape may spell either."""

    def __init__(self, names: list[str], also: str, depth: int, vocabulary: Vocabulary, *, weighed: bool) -> None:
        self._names = names
        self._weighed = weighed
        self._check = AmbiguityCheck([*names, also], depth=depth)
        self._any = msgspec.json.Decoder(list[_element(names, vocabulary)])  # type: ignore[misc]  # made at run time
        # Elements with the guarded members and no others are common, and cheaper to be sure of.
        self._bare = None
        if not any(":" in text for text in (*names, *vocabulary.canonical)):
            self._bare = msgspec.json.Decoder(list[_element(names, vocabulary, bare=True)])  # type: ignore[misc]

    @classmethod
    def of(cls, plan: Plan, vocabulary: Vocabulary, also: str = "") -> "_Elements | None":
        """Return the look of a plan, None when it has no array, or names that no struct can hold."""
        array = plan.array
        if array is None:
            return None
        location = plan.locations[array.location]
        names = [location.field] if location.weight is None else [location.field, location.weight]
        if not all(map(is_plain, names)):
            return None
        return cls(names, also, len(array.path), vocabulary, weighed=plan.tolerance is not None and len(names) > 1)

    def look(self, data: memoryview, total: float | None, *, ascii_only: bool) -> Good | None:
        if self._check.of_characters(data, ascii_only=ascii_only):
            return None
        found = _decoded(self._bare, data) if self._bare is not None else None
        if found is not None:
            # Only guarded names and canonical stages are strings here, so every colon ends a guarded name.
            if times(data, b":") != len(found) * len(self._names):
                return None
        else:
            found = _decoded(self._any, data)
            if found is None or self._check.of_names(data, dict.fromkeys(self._names, len(found)), len(found)):
                return None
        return Good(len(found), _weights_of(found, total) if self._weighed else None)


def _decoded(decoder: "msgspec.json.Decoder[Any]", data: memoryview) -> Any:
    """Return what the decoder reads, None when it objects to a value. Raises Malformed when it is no JSON."""
    try:
        return decoder.decode(data)
    except (msgspec.ValidationError, RecursionError):
        return None
    except msgspec.DecodeError as error:
        raise Malformed from error


def _element(names: list[str], vocabulary: Vocabulary, *, bare: bool = False) -> Any:
    """Return the struct of an element: its stage, then its weight where there is one."""
    kinds = (Literal[vocabulary.canonical], float)
    fields = [
        (attribute, kind, msgspec.field(name=name))
        for attribute, kind, name in zip(("stage", "weight"), kinds, names, strict=False)
    ]
    return msgspec.defstruct("Element", fields, gc=False, forbid_unknown_fields=bare)


def _weights_of(elements: list[Any], begin: float | None) -> float | None:
    """Return `begin` and the weights, added one by one as `add_up` does; here all of them are floats."""
    if begin is None:
        return None
    total = begin
    for element in elements:
        total += element.weight
    return total


class _Part(Protocol):
    """One place of the document: its type for msgspec, and what a value of that type tells."""

    kind: Any

    def note(self, value: Any, seen: Seen) -> bool:
        """Add to `seen` what the value tells; returns whether all is good."""


def _part(node: Node, plan: Plan, vocabulary: Vocabulary, names: set[str]) -> _Part | None:
    """Return the part for a node, None when it asks for more than a struct can hold; adds its names to `names`."""
    if node.every is not None or node.indices:
        return None
    array = plan.array
    if array is not None and array.node is node:
        location = plan.locations[array.location]
        asked = [location.field] if location.weight is None else [location.field, location.weight]
        names.update(asked)
        return _Each(asked, vocabulary, plan.tolerance) if all(map(is_plain, asked)) else None
    if node.elements is not None or len(node.checks) > 1:
        return None
    if not node.checks:
        parts = {name: _part(below, plan, vocabulary, names) for name, below in node.members.items()}
        names.update(parts)
        inner = {name: part for name, part in parts.items() if part is not None and is_plain(name)}
        required = frozenset(absence.name for absence in node.required)
        return _Members(inner, required) if len(inner) == len(parts) else None
    if node.members:
        return None
    match node.checks[0].role:
        case Role.STAGE:
            return _Stage(vocabulary)
        case Role.FUND:
            return _Fund()
        case Role.KEYS:
            return _Keys(vocabulary, plan.tolerance)
        case _:
            return None


class _Members:
    def __init__(self, parts: dict[str, _Part], required: frozenset[str]) -> None:
        attributes = [f"at{number}" for number in range(len(parts))]
        fields = [
            (attribute, part.kind | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET))
            for attribute, (name, part) in zip(attributes, parts.items(), strict=True)
        ]
        self.kind = msgspec.defstruct("Members", fields, gc=False)
        self._parts = [
            (attrgetter(a), n, p, n in required) for a, (n, p) in zip(attributes, parts.items(), strict=True)
        ]

    def note(self, value: Any, seen: Seen) -> bool:
        met = seen.met
        for member_of, name, part, required in self._parts:
            member = member_of(value)
            if member is msgspec.UNSET:
                if required and seen.required:
                    return False
            elif part.note(member, seen):
                met[name] = met.get(name, 0) + 1
            else:
                return False
        return True


class _Stage:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self.kind = Literal[vocabulary.canonical]

    def note(self, value: Any, seen: Seen) -> bool:  # noqa: ARG002 - any value of this kind is good
        seen.values += 1
        return True


class _Fund:
    kind = _FundId

    def note(self, value: Any, seen: Seen) -> bool:
        seen.fund = fund_text(value)
        return True


class _Keys:
    def __init__(self, vocabulary: Vocabulary, tolerance: float | None) -> None:
        stage: Any = Literal[vocabulary.canonical]
        self.kind = dict[stage, msgspec.Raw if tolerance is None else float]  # type: ignore[misc]  # made at run time
        self._tolerance = tolerance

    def note(self, value: Any, seen: Seen) -> bool:
        seen.values += len(value)
        for name in value:
            seen.meet(name, 1)
        return self._tolerance is None or _sums_to_one(add_up(value.values()), self._tolerance)


class _Each:
    def __init__(self, names: list[str], vocabulary: Vocabulary, tolerance: float | None) -> None:
        self.kind = list[_element(names, vocabulary)]  # type: ignore[misc]  # made at run time
        self._names = names
        self._tolerance = tolerance if len(names) > 1 else None

    def note(self, value: Any, seen: Seen) -> bool:
        count = len(value)
        seen.values += count
        seen.elements += count
        for name in self._names:
            seen.meet(name, count)
        if self._tolerance is None:
            return True
        begin = seen.prefix.total if seen.prefix is not None else 0.0
        return _sums_to_one(_weights_of(value, begin), self._tolerance)


def _sums_to_one(total: float | None, tolerance: float) -> bool:
    return total is not None and is_one(total, tolerance)
