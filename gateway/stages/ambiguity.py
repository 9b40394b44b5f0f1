"""Whether the bytes of a document could be read in another way than they were.

orjson and msgspec keep the last of two members of one name and tell nobody, so the raw bytes are asked as well.

The fast path is as strict as orjson about what is JSON, but for three things, settled here: bytes in skipped values
that are not UTF-8, halves of surrogate pairs, and depth. A number out of range in a skipped value is no finding to
either. And a guarded name could stand twice in one object: it does not where its quoted bytes stand as often as it was
read, and no escape could spell it in others.

stringzilla searches and counts several times as fast as bytes do.
"""

import re
import sys
from collections.abc import Iterable, Mapping

import msgspec
from stringzilla import count as times
from stringzilla import find

from gateway.stages.syntax import (
    ASCII_ESCAPE,
    MAX_DEPTH,
    PROTOTYPE_BYTES,
    SURROGATE,
    escapes_in_names,
    is_utf8,
    quoted,
)

_ASCII_ESCAPES = tuple(b"\\u00%d" % digit for digit in range(8))
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")  # both halves of a character
_MOST_PAIRED = 128 * 1024  # bytes in which halves are paired at once: of nothing else they take a millisecond
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
        if find(data, self._begins) >= 0 and (self._may_spell_a_name(data) or _has_half_a_character(data)):
            return True
        return not ascii_only and not is_utf8(data)

    def _may_spell_a_name(self, data: bytes | memoryview) -> bool:
        # A regular expression takes forty times as long as a search; languages that escape all but ASCII are common.
        if self._escapes is ASCII_ESCAPE:
            return any(find(data, escape) >= 0 for escape in _ASCII_ESCAPES)
        return self._escapes.search(data) is not None

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


def _has_half_a_character(data: bytes | memoryview) -> bool:
    """Whether there may be an escaped half of a character without its other half (RFC 8259, section 7)."""
    if (find(data, b"\\ud") < 0 and find(data, b"\\uD") < 0) or SURROGATE.search(data) is None:
        return False
    # Only where no backslash is escaped does each of them begin an escape.
    if len(data) > _MOST_PAIRED or find(data, b"\\\\") >= 0:
        return True
    return SURROGATE.search(_PAIR.sub(b".", data)) is not None


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
