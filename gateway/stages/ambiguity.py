"""Whether the bytes of a document could be read in another way than they were.

orjson and msgspec keep the last of two members of one name and tell nobody, so the raw bytes are asked as well.

The fast path is as strict as orjson about what is JSON, but for three things, settled here: bytes in skipped values
that are not UTF-8, halves of surrogate pairs, and depth. A number out of range in a skipped value is no finding to
either. And a guarded name could stand twice in one object: it does not where its quoted bytes stand as often as it was
read, and no escape could spell it in others.

stringzilla searches and counts several times as fast as bytes do.
"""

import sys
from collections.abc import Iterable, Mapping

import msgspec
from stringzilla import count as times
from stringzilla import find

from gateway.stages.syntax import MAX_DEPTH, PROTOTYPE_BYTES, SURROGATE, escapes_in_names, is_utf8, quoted

_MAX_COUNTED_NAMES = 32  # more different names are not counted one by one


class AmbiguityCheck:
    """What keeps the fast path from being certain; `names` are the guarded ones.

    `depth` is the number of containers that the bytes stand in.
    """

    def __init__(self, names: Iterable[str], *, depth: int) -> None:
        self._quoted = {name: quoted(name) for name in names}
        self._escapes = escapes_in_names(self._quoted)
        self._begins = b"\\u" if self._escapes.pattern.startswith(rb"\\u") else b"\\"
        # More opening brackets than this, beside one for each element, could be a document too deep for orjson.
        self._spare_brackets = MAX_DEPTH - depth
        self._may_be_deep = _may_read_as_deep_as(self._spare_brackets)

    def of_characters(self, data: bytes | memoryview, *, ascii_only: bool) -> bool:
        """Whether there is an escape that could spell a guarded name or half a character, or what is not UTF-8.

        `ascii_only` says that no byte is above 127.
        """
        # A regular expression takes forty times as long as a search for how every such escape begins.
        if find(data, self._begins) >= 0 and (self._escapes.search(data) or SURROGATE.search(data)):
            return True
        return not ascii_only and not is_utf8(data)

    def of_names(self, data: bytes | memoryview, met: Mapping[str, int], elements: int = 0) -> bool:
        """Whether a name stands more often in the bytes than it was read, or `__proto__` does, or it is too deep.

        `met` has how often each name was read, `elements` how many containers certainly stand beside each other.
        """
        spelt = self._quoted
        for name, often in met.items():
            if times(data, spelt[name]) != often:
                return True
        if find(data, PROTOTYPE_BYTES) >= 0:
            return True
        return self._may_be_deep and bool(times(data, b"{") + times(data, b"[") >= elements + self._spare_brackets)


def may_repeat(body: bytes, met: Mapping[str, int]) -> bool:
    """Whether a name that a walk met could stand twice in one object, or `__proto__` be in the document.

    `met` counts the objects in which each name was found. Every one of them holds the name at least once in the
    raw bytes, so equal counts prove that none holds it twice. An escape could spell a name in other bytes.
    """
    if find(body, PROTOTYPE_BYTES) >= 0 or len(met) > _MAX_COUNTED_NAMES:
        return True
    if any(times(body, quoted(name)) != often for name, often in met.items()):
        return True
    return b"\\" in body and escapes_in_names(met).search(body) is not None


def _may_read_as_deep_as(depth: int) -> bool:
    """Whether msgspec may read so many containers within each other; what stops it differs between Python releases."""
    if sys.getrecursionlimit() >= depth:
        return True
    try:
        msgspec.json.decode(b"[" * depth + b"]" * depth, type=msgspec.Raw)
    except RecursionError:
        return False
    return True
