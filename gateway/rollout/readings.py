"""The paths that servers may take one path for.

Servers agree on plain paths alone. What they do about the others are the steps here: each is what some server or
library does, and a chain of servers does several of them, in any order. So the readings of a path are all that any
number of steps makes of it.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote

DECODINGS = 3  # how often escapes are opened: once by each server of a chain
# What all readings of one path may cost, each a constant, its length, and more for every escape. That is for some
# dozens of readings of a usual path; one that has more was made to have them.
_AFFORDABLE = 40_000
_READING = 200
_ESCAPE = 5

# Only paths with one of these are read in more ways than one.
SUSPICIOUS = re.compile(r"[%;#?\\\s]|//|/\.|\.$")
# What RFC 3986, section 2.2, reserves, as far as find-my-way (Fastify) leaves it escaped.
_RESERVED = re.compile(r"(%(?:2[346BCF]|3[ABDF]|40))", re.IGNORECASE)
_SLASH_OR_PERCENT = re.compile(r"(%2(?:5|F))", re.IGNORECASE)
_ESCAPED_DOT = re.compile(r"%2e", re.IGNORECASE)
_AUTHORITY = re.compile(r"[/\\]{2,}[^/\\]*")
_STRICT_AUTHORITY = re.compile(r"//[^/]*")
_PARAMETERS = re.compile(r";[^/]*")
_LAST_PARAMETERS = re.compile(r";[^/]*\Z")
_SLASHES = re.compile(r"//+")
_SPACE = re.compile(r"(?:(?<=/)\s+|\s+(?=/|\Z))")


def full_decoding(path: str) -> str:
    """Return the path with every escape opened that any reading opens."""
    for _ in range(DECODINGS):
        opened = _decoded(path)
        if opened == path:
            break
        path = opened
    return path


def readings(path: str) -> list[str] | None:
    """Return every path that some server may read instead of this one, None when there are too many to follow."""
    left = {path: DECODINGS}  # the decodings that may still be done, by reading
    todo = [path]
    spent = 0
    while todo:
        text = todo.pop()
        spent += _READING + len(text) + _ESCAPE * text.count("%")
        if spent > _AFFORDABLE:
            return None
        if SUSPICIOUS.search(text) is None:
            continue
        for step, decodes in _STEPS:
            other, decodings = step(text), left[text] - decodes
            if decodings > left.get(other, -1):
                left[other] = decodings
                todo.append(other)
    del left[path]
    return list(left)


def _without_query_and_fragment(path: str) -> str:
    """Cut what an opened escape makes a query, or a fragment, to whoever parses the target again."""
    return path.partition("#")[0].partition("?")[0]


def _behind_authority(path: str) -> str:
    r"""Take a path that begins with `//` or `/\` for an authority and a path (WHATWG URL, section 4.4)."""
    match = _AUTHORITY.match(path)
    return path if match is None else path[match.end() :] or "/"


def _behind_strict_authority(path: str) -> str:
    """Take a path that begins with `//` for an authority, which may be empty, and a path (RFC 3986, section 4.2)."""
    match = _STRICT_AUTHORITY.match(path)
    return path if match is None else path[match.end() :] or "/"


def _decoded(path: str) -> str:
    return unquote(path, errors="replace") if "%" in path else path


def _decoded_but_reserved(path: str) -> str:
    """Open the escapes of all but reserved characters, as Fastify's router does."""
    return _decoded_but(_RESERVED, path)


def _decoded_but_slashes(path: str) -> str:
    """Open the escapes of all but `/` and `%`, as yarl does."""
    return _decoded_but(_SLASH_OR_PERCENT, path)


def _decoded_but(kept: re.Pattern[str], path: str) -> str:
    if "%" not in path:
        return path
    return "".join(part if number % 2 else _decoded(part) for number, part in enumerate(kept.split(path)))


def _with_plain_dots(path: str) -> str:
    """Open escaped dots alone (WHATWG URL, section 4.1: a double-dot segment)."""
    return _ESCAPED_DOT.sub(".", path) if "%" in path else path


def _with_slashes(path: str) -> str:
    """Turn backslashes (WHATWG URL, section 4.4)."""
    return path.replace("\\", "/")


def _without_parameters(path: str) -> str:
    """Cut `;parameters` of each segment, as servlet containers do."""
    return _PARAMETERS.sub("", path) if ";" in path else path


def _without_last_parameters(path: str) -> str:
    """Cut `;parameters` of the last segment alone, as Python's urlparse does (RFC 1808, section 2.1)."""
    return _LAST_PARAMETERS.sub("", path) if ";" in path else path


def _up_to_semicolon(path: str) -> str:
    """Take everything behind a semicolon for a query, as Fastify does when told to."""
    return path.partition(";")[0]


def _without_dots(path: str) -> str:
    """Resolve `.` and `..` (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    *inner, last = path.split("/")[1:]
    for segment in inner:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    kept.append("" if last in {".", ".."} else last)
    return "/" + "/".join(kept)


def _without_empty_segments(path: str) -> str:
    """Make runs of slashes one, as nginx does (merge_slashes)."""
    return _SLASHES.sub("/", path) if "//" in path else path


def _without_space(path: str) -> str:
    """Trim the segments."""
    return _SPACE.sub("", path)


_STEPS: tuple[tuple[Callable[[str], str], bool], ...] = (
    (_without_query_and_fragment, False),
    (_behind_authority, False),
    (_behind_strict_authority, False),
    (_decoded, True),
    (_decoded_but_reserved, True),
    (_decoded_but_slashes, True),
    (_with_plain_dots, False),
    (_with_slashes, False),
    (_without_parameters, False),
    (_without_last_parameters, False),
    (_up_to_semicolon, False),
    (_without_dots, False),
    (_without_empty_segments, False),
    (_without_space, False),
)
