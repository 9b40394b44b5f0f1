"""The fast look at a whole short document: like the one at an array's elements, it can only ever say "all good".

Every place that a location goes through becomes a field of a msgspec struct, every stage one of the canonical
names, so that one decode reads what is guarded and skips the rest. Whatever it refuses, whatever is required and
absent, and whatever looks suspicious goes to the exact judge, which makes the report.

That no guarded name stands twice in an object is proven as the exact judge does it: its quoted bytes stand in the
document as often as it was read.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Protocol

import msgspec
from stringzilla import count as times

from gateway.stages.assessor import fund_text
from gateway.stages.document import add_up
from gateway.stages.incremental import PROTOTYPE_BYTES
from gateway.stages.locators import Node, Plan, Role
from gateway.stages.projection import Doubt, is_plain, quoted
from gateway.stages.splice import Splice
from gateway.stages.vocabulary import Vocabulary

# Other numbers are text in more than one way; the exact judge knows which.
_FundId = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Seen:
    """What a good document held: stage values, the fund id, and how often each guarded name was met."""

    __slots__ = ("fund", "met", "proven", "required", "values")

    def __init__(self, *, required: bool, proven: Splice | None) -> None:
        self.required = required
        self.proven = proven
        self.values = 0
        self.fund: str | None = None
        self.met: dict[str, int] = {}

    def meet(self, name: str, often: int = 1) -> None:
        """Note that so many objects held a name."""
        self.met[name] = self.met.get(name, 0) + often


class _Part(Protocol):
    """One place of the document: its type for msgspec, and what a value of that type tells."""

    kind: Any

    def note(self, value: Any, seen: Seen) -> bool:
        """Add to `seen` what the value tells; returns whether all is good."""


class Outline:
    """The fast look at the documents of one plan, made once per configuration."""

    def __init__(self, root: _Part, names: Iterable[str]) -> None:
        self._root = root
        self._decoder = msgspec.json.Decoder(root.kind)
        self._quoted = {name: quoted(name) for name in names}
        self._doubt = Doubt(self._quoted, depth=0)

    @classmethod
    def of(cls, plan: Plan, vocabulary: Vocabulary) -> "Outline | None":
        """Return the outline of a plan, None when its locations are none that a struct can hold."""
        names: set[str] = set()
        root = None if plan.root is None else _part(plan.root, plan, vocabulary, names)
        if root is None or not all(map(is_plain, vocabulary.canonical)):
            return None
        return cls(root, names | set(vocabulary.canonical))

    def look(self, body: bytes | bytearray, *, required: bool, proven: Splice | None = None) -> Seen | None:
        """Return what a document holds when it is certain that all is good, else None.

        `required` says whether the absence of a required location is a violation. `proven` is what was found in
        the one array before, whose elements were then taken out.
        """
        if PROTOTYPE_BYTES in body or self._doubt.arises(body, len(body), ascii_only=body.isascii()):
            return None
        try:
            document = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        seen = Seen(required=required, proven=proven)
        if not self._root.note(document, seen) or self._doubt.of_brackets(body, 0):
            return None
        for name, met in seen.met.items():
            if times(body, self._quoted[name]) != met:
                return None
        return seen


def _part(node: Node, plan: Plan, vocabulary: Vocabulary, names: set[str]) -> "_Part | None":
    """Return the part for a node, None when it asks for more than a struct can hold; adds its names to `names`."""
    if node.every is not None or node.indices:
        return None
    array = plan.array
    if array is not None and array.node is node:
        location = plan.locations[array.location]
        asked = [location.field] if location.weight is None else [location.field, location.weight]
        names.update(asked)
        return _Each(asked, vocabulary, plan.tolerance) if all(map(is_plain, asked)) else None
    if node.elements is not None or len(node.duties) > 1:
        return None
    if not node.duties:
        parts = {name: _part(below, plan, vocabulary, names) for name, below in node.members.items()}
        names.update(parts)
        inner = {name: part for name, part in parts.items() if part is not None and is_plain(name)}
        required = frozenset(absence.name for absence in node.required)
        return _Members(inner, required) if len(inner) == len(parts) else None
    if node.members:
        return None
    match node.duties[0].role:
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
        fields = [
            (f"at{number}", part.kind | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET))
            for number, (name, part) in enumerate(parts.items())
        ]
        self.kind = msgspec.defstruct("Members", fields, gc=False)
        self._parts = [
            (f"at{number}", name, part, name in required) for number, (name, part) in enumerate(parts.items())
        ]

    def note(self, value: Any, seen: Seen) -> bool:
        for attribute, name, part, required in self._parts:
            member = getattr(value, attribute)
            if member is msgspec.UNSET:
                if required and seen.required:
                    return False
            elif part.note(member, seen):
                seen.meet(name)
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
            seen.meet(name)
        return self._tolerance is None or _is_one(add_up(value.values()), self._tolerance)


class _Each:
    def __init__(self, asked: list[str], vocabulary: Vocabulary, tolerance: float | None) -> None:
        kinds = (Literal[vocabulary.canonical], float)
        fields = [
            (f"at{number}", kind, msgspec.field(name=name))
            for number, (name, kind) in enumerate(zip(asked, kinds, strict=False))
        ]
        self.kind = list[msgspec.defstruct("Element", fields, gc=False)]  # type: ignore[misc]  # made at run time
        self._names = asked
        self._tolerance = tolerance if len(asked) > 1 else None

    def note(self, value: Any, seen: Seen) -> bool:
        seen.values += len(value)
        for name in self._names:
            seen.meet(name, len(value))
        if self._tolerance is None:
            return True
        begin = seen.proven.total if seen.proven is not None else 0.0
        return _is_one(add_up((element.at1 for element in value), begin), self._tolerance)


def _is_one(total: float | None, tolerance: float) -> bool:
    return total is not None and abs(total - 1.0) <= tolerance
