"""Endpoints: the configured patterns, and which of them a request's path is.

Rules of the room:

- A path is matched as Express does: letters of either case, one trailing slash ignored, `:name` any one segment
  that is not empty, percent-escapes left as they are. The leftmost literal segment decides between patterns.
- Another server may read the same path differently. A path that is an endpoint only after normalising (`//`,
  `/./`, `%2e`, `%73`, `;x`, `#x`, a backslash) is that endpoint, but ambiguous. One that is two different
  endpoints by the two readings is ambiguous too, at the stricter of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote

from gateway.rollout.policy import READ_METHODS, Mode, Operation, stricter
from gateway.stages.judge import Judge

# Only paths with one of these can mean something else after normalising.
_SUSPICIOUS = re.compile(r"[%;#\\]|//|/\.|\.$")
_SEGMENT = re.compile(r"[A-Za-z0-9_~!$&'*+,=@.-]+")
_NAME = re.compile(r":[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class FundSource:
    """Where a request's fund id stands: a `:name` of the path, a query parameter, or a path in the body."""

    path: str | None = None
    query: str | None = None
    body: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint, compiled.

    `mode` is the file's, `judge` knows where its stages stand, `percent` is its own enforcement percentage or the
    global one.
    """

    pattern: str
    mode: Mode
    judge: Judge
    operation: Operation | None = None
    fund: FundSource = FundSource()
    percent: float = 100.0
    auto_demote: bool = False

    def operation_of(self, method: str) -> Operation:
        """Return whether a request of this method reads or writes here."""
        if self.operation is not None:
            return self.operation
        return Operation.READ if method in READ_METHODS else Operation.WRITE

    def percent_at(self, mode: Mode) -> float:
        """Return the percentage that is in force when `mode` is: only `enforce` has one."""
        return self.percent if mode is Mode.ENFORCE else 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """An endpoint that a path is. `ambiguous` when not every server would read the path so."""

    endpoint: Endpoint
    parameters: Mapping[str, str]
    ambiguous: bool = False


def pattern_problem(pattern: str) -> str | None:
    """Return what is wrong with an endpoint pattern, None when it can be matched."""
    if not pattern.startswith("/"):
        return "a pattern begins with '/'"
    segments = split(pattern)
    for segment in segments:
        if segment.startswith(":"):
            if not _NAME.fullmatch(segment):
                return f"{segment!r} is no parameter, expected ':' and a name such as ':id'"
        elif not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
            return f"segment {segment!r} cannot stand in a path, expected letters, digits, '-', '_', '.' or '~'"
    names = [segment for segment in segments if segment.startswith(":")]
    return "a parameter name stands twice" if len(set(names)) != len(names) else None


def shape_of(pattern: str) -> str:
    """Return the pattern as matching sees it: two patterns of the same shape match the same paths."""
    return "/".join(":" if segment.startswith(":") else segment.lower() for segment in split(pattern))


def split(path: str) -> list[str]:
    """Return the segments of a path, one trailing slash ignored; the root has none."""
    inner = path[1:-1] if len(path) > 1 and path.endswith("/") else path[1:]
    return inner.split("/") if len(path) > 1 else []


def normalised(path: str) -> str:
    """Return the path as the most generous server might read it.

    A fragment cut (Node's parser takes one in a request target), percent-escapes opened (also doubled ones),
    backslashes turned, `;parameters` cut, `.` and `..` resolved (RFC 3986, section 5.2.4), empty segments dropped.
    """
    path = path.partition("#")[0]
    for _ in range(3):
        opened = unquote(path, errors="replace")
        if opened == path:
            break
        path = opened
    kept: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = segment.partition(";")[0].strip()
        if name == "..":
            del kept[-1:]
        elif name not in {"", "."}:
            kept.append(name)
    return "/" + "/".join(kept)


class EndpointTable:
    """All endpoints of one configuration, ready to be matched."""

    __slots__ = ("_by_length", "_literal", "endpoints")

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints: Mapping[str, Endpoint] = MappingProxyType({e.pattern: e for e in endpoints})
        by_length: dict[int, list[tuple[tuple[str, ...], Endpoint]]] = {}
        for endpoint in self.endpoints.values():
            segments = tuple(s if s.startswith(":") else s.lower() for s in split(endpoint.pattern))
            by_length.setdefault(len(segments), []).append((segments, endpoint))
        for patterns in by_length.values():
            patterns.sort(key=lambda entry: [segment.startswith(":") for segment in entry[0]])
        self._by_length = by_length
        # Patterns without a parameter, found at one look: nothing is left of them to be read in two ways.
        self._literal = {
            "/" + "/".join(segments): Match(endpoint, MappingProxyType({}))
            for patterns in by_length.values()
            for segments, endpoint in patterns
            if not any(segment.startswith(":") for segment in segments)
        }

    def match(self, path: str, mode_of: Callable[[Endpoint], Mode] = lambda e: e.mode) -> Match | None:
        """Return the endpoint that a raw path (no query) is, None when it is none.

        `mode_of` gives the mode in force, which decides between two readings of one path.
        """
        literal = self._literal.get(path.lower())
        if literal is not None:
            return literal
        plain = self._find(path)
        if _SUSPICIOUS.search(path) is None:
            return plain
        other = self._find(normalised(path))
        if other is None or (plain is not None and other.endpoint is plain.endpoint):
            return plain
        if plain is not None:
            mode = mode_of(plain.endpoint)
            if stricter(mode, mode_of(other.endpoint)) is mode:
                return Match(plain.endpoint, plain.parameters, ambiguous=True)
        return Match(other.endpoint, other.parameters, ambiguous=True)

    def _find(self, path: str) -> Match | None:
        segments = split(path)
        lowered = [segment.lower() for segment in segments]
        for pattern, endpoint in self._by_length.get(len(segments), ()):
            for expected, given in zip(pattern, lowered, strict=True):
                if expected != given and not (expected.startswith(":") and given):
                    break
            else:
                parameters = {
                    name[1:]: unquote(value)
                    for name, value in zip(pattern, segments, strict=True)
                    if name.startswith(":")
                }
                return Match(endpoint, parameters)
        return None
