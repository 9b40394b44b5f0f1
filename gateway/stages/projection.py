"""The fast look: a projection of the guarded fields that can only ever say "all good".

msgspec reads the guarded members of every element into a struct whose stage is one of the canonical names, and
skips the rest, at three times the speed of a whole parse. Whatever it refuses, and whatever looks suspicious, goes
to the exact judge, which makes the report.

It is as strict as orjson about what is JSON, but for three things, settled here: bytes in skipped values that are
not UTF-8, halves of surrogate pairs, and depth. A number out of range in a skipped value is no finding to either.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import orjson
from stringzilla import count as times
from stringzilla import find

from gateway.stages.document import escapes_in_names
from gateway.stages.incremental import PROTOTYPE_BYTES
from gateway.stages.locators import Array, Plan
from gateway.stages.strict import MAX_DEPTH, SURROGATE
from gateway.stages.vocabulary import Vocabulary


class Malformed(Exception):  # noqa: N818 - a finding, not a fault
    """The bytes are no JSON."""


@dataclass(frozen=True, slots=True)
class Good:
    """What a fast look saw: so many elements, and their weights where those are added up."""

    count: int
    weights: list[float] | None


class Projection:
    """The fast look of one plan's array, made once per configuration."""

    def __init__(self, array: Array, plan: Plan, vocabulary: Vocabulary) -> None:
        location = plan.locations[array.location]
        names = [location.field] if location.weight is None else [location.field, location.weight]
        kinds = (Literal[vocabulary.canonical], float)
        fields = [
            (n, k, msgspec.field(name=name)) for n, k, name in zip(("stage", "weight"), kinds, names, strict=False)
        ]
        self._names = [quoted(name) for name in names]
        self._weighed = plan.tolerance is not None and location.weight is not None
        self._doubt = Doubt(names, depth=len(array.path))
        # Elements with the guarded members and no others are common, and cheaper to be sure of.
        bare = not any(":" in text for text in (*names, *vocabulary.canonical))
        self._looks = [_Look(fields, bare=True)] if bare else []
        self._looks.append(_Look(fields, bare=False))

    def elements(self, data: bytearray, end: int, *, ascii_only: bool) -> Good | None:
        """Look at the elements of the array in `data[:end]`, its brackets included.

        None when it is not certain that all is good. Raises Malformed when the bytes are no JSON. `ascii_only`
        says that no byte there is above 127.
        """
        if self._doubt.arises(data, end, ascii_only=ascii_only):
            return None
        with memoryview(data) as whole, whole[:end] as window:
            for look in self._looks:
                found = _decoded(look.elements, window)
                if found is not None:
                    break
            else:
                return None
            if not self._is_plain(window, len(found), bare=look.bare):
                return None
        return Good(len(found), [element.weight for element in found] if self._weighed else None)

    def _is_plain(self, window: memoryview, count: int, *, bare: bool) -> bool:
        """Whether every guarded name stands as often in the bytes as it was read, and nothing else is suspicious.

        stringzilla counts several times as fast as bytes.count, which took as long as the projection itself.
        """
        if bare:
            # Only guarded names and canonical stages are strings here, so every colon ends a guarded name.
            return bool(times(window, b":") == count * len(self._names))
        if times(window, PROTOTYPE_BYTES) or self._doubt.of_brackets(window, count):
            return False
        return all(times(window, name) == count for name in self._names)


class Doubt:
    """What in the bytes of an array, or of a document, keeps a projection from being certain of what it read.

    `names` are the guarded ones, `depth` is the number of containers that the array stands in.
    """

    def __init__(self, names: Iterable[str], *, depth: int) -> None:
        self._escapes = escapes_in_names(names)
        self._begins = b"\\u" if self._escapes.pattern.startswith(rb"\\u") else b"\\"
        # More opening brackets than this, beside one for each element, could be a document too deep for orjson.
        self._spare_brackets = MAX_DEPTH - depth
        self._may_be_deep = _may_read_as_deep_as(self._spare_brackets)

    def arises(self, data: bytes | bytearray, end: int, *, ascii_only: bool) -> bool:
        """Whether `data[:end]` has an escape that could spell a guarded name or half a character, or is not UTF-8."""
        with memoryview(data) as whole, whole[:end] as window:
            # A regular expression takes forty times as long as a search for how every such escape begins.
            if find(window, self._begins) >= 0 and (self._escapes.search(window) or SURROGATE.search(window)):
                return True
            return not ascii_only and not _is_utf8(window)

    def of_brackets(self, data: bytes | bytearray | memoryview, elements: int) -> bool:
        """Whether there are so many brackets, beside one for each element, that orjson could find it too deep."""
        if not self._may_be_deep:
            return False
        return bool(times(data, b"{") + times(data, b"[") >= elements + self._spare_brackets)


class _Look:
    """The decoder of one kind of element: `bare` ones have the guarded members and no others."""

    def __init__(self, fields: list[Any], *, bare: bool) -> None:
        element = msgspec.defstruct("Element", fields, gc=False, forbid_unknown_fields=bare)
        self.bare = bare
        self.elements = msgspec.json.Decoder(list[element])  # type: ignore[valid-type]  # made at run time


def _decoded(decoder: "msgspec.json.Decoder[Any]", data: bytes | memoryview) -> Any:
    """Return what the decoder reads, None when it objects to a value. Raises Malformed when it is no JSON."""
    try:
        return decoder.decode(data)
    except (msgspec.ValidationError, RecursionError):
        return None
    except msgspec.DecodeError as error:
        raise Malformed from error


def _is_utf8(data: bytes | memoryview) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _may_read_as_deep_as(depth: int) -> bool:
    """Whether msgspec may read so many containers within each other; what stops it differs between Python releases."""
    if sys.getrecursionlimit() >= depth:
        return True
    try:
        msgspec.json.decode(b"[" * depth + b"]" * depth, type=msgspec.Raw)
    except RecursionError:
        return False
    return True


def quoted(name: str) -> bytes:
    """Return a name as it stands in a document when nothing in it is escaped."""
    return orjson.dumps(name)


def is_plain(name: str) -> bool:
    """Whether a name is spelt without escapes; msgspec takes no others as a field's name."""
    return len(quoted(name)) == len(name.encode()) + 2
