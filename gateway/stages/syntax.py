"""How JSON spells things: what every judge of the bytes has to know of names, escapes, characters and depth."""

import re
from collections.abc import Iterable

import orjson

PROTOTYPE = "__proto__"
PROTOTYPE_BYTES = PROTOTYPE.encode()
MAX_DEPTH = 1024  # orjson's; the outermost container is depth 1
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # escaped half of a character, or what looks like it

_ANY_ESCAPE = re.compile(rb"\\")
_UNICODE_ESCAPE = re.compile(rb"\\u")
ASCII_ESCAPE = re.compile(rb"\\u00[0-7]")  # of the first 128 characters


def quoted(name: str) -> bytes:
    """Return a name as it stands in a document when nothing in it is escaped."""
    return orjson.dumps(name)


def is_plain(name: str) -> bool:
    """Whether a name is spelt without escapes; msgspec takes no others as a field's name."""
    return len(quoted(name)) == len(name.encode()) + 2


def escapes_in_names(names: Iterable[str]) -> re.Pattern[bytes]:
    """Return what finds every escape that could stand in the spelling of one of the names, or of `__proto__`."""
    text = "".join(names)
    if any(character in '"\\/\b\f\n\r\t' for character in text):
        return _ANY_ESCAPE
    return ASCII_ESCAPE if text.isascii() else _UNICODE_ESCAPE


def is_utf8(data: bytes | memoryview) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
