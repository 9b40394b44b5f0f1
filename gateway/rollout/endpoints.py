"""Endpoints: the configured patterns, and which of them a request's path is.

Rules of the room:

- A path is matched as Express does: letters of either case, one trailing slash ignored, `:name` any one segment
  that is not empty, percent-escapes left as they are. The leftmost literal segment decides between patterns.
- Another server may read the same path differently (`readings.py`). A path that is an endpoint only by such a
  reading is that endpoint, but ambiguous. One that is several endpoints by its readings is ambiguous too, at the
  strictest of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote

from gateway.rollout.policy import READ_METHODS, Mode, Operation, stricter
from gateway.rollout.readings import SUSPICIOUS, full_decoding, readings
from gateway.stages.compiled import CompiledPlan
from gateway.stages.query import parameters

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
    compiled: CompiledPlan
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


def matched_form(pattern: str) -> str:
    """Return the pattern as matching sees it: two patterns of the same shape match the same paths."""
    return "/".join(":" if segment.startswith(":") else segment.lower() for segment in split(pattern))


def split(path: str) -> list[str]:
    """Return the segments of a path, one trailing slash ignored; the root has none."""
    inner = path[1:-1] if len(path) > 1 and path.endswith("/") else path[1:]
    return inner.split("/") if len(path) > 1 else []


class EndpointTable:
    """All endpoints of one configuration, ready to be matched."""

    __slots__ = ("_by_length", "_literal", "_literals", "endpoints")

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints: Mapping[str, Endpoint] = MappingProxyType({e.pattern: e for e in endpoints})
        by_length: dict[int, list[tuple[tuple[str, ...], Endpoint]]] = {}
        for endpoint in self.endpoints.values():
            segments = tuple(s if s.startswith(":") else s.lower() for s in split(endpoint.pattern))
            by_length.setdefault(len(segments), []).append((segments, endpoint))
        for patterns in by_length.values():
            patterns.sort(key=lambda entry: [segment.startswith(":") for segment in entry[0]])
        self._by_length = by_length
        # No reading of a path is an endpoint whose words the path does not hold.
        self._literals = [
            (endpoint, [segment for segment in segments if not segment.startswith(":")])
            for patterns in by_length.values()
            for segments, endpoint in patterns
        ]
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
        if SUSPICIOUS.search(path) is None:
            return plain
        found = self._all(path, plain)
        if not found:
            return None
        _, *others = found
        chosen = strictest(found, mode_of)
        ambiguous = bool(others) or plain is None or _may_be_query(path, chosen.endpoint)
        return Match(chosen.endpoint, chosen.parameters, ambiguous)

    def all_of(self, path: str) -> list[Match]:
        """Return every endpoint that a raw path could be, in the order in which `match` looks at them."""
        return self._all(path, self._find(path))

    def _all(self, path: str, plain: Match | None) -> list[Match]:
        found = {} if plain is None else {plain.endpoint.pattern: plain}
        for match in self._read_otherwise(path, plain):
            found.setdefault(match.endpoint.pattern, match)
        return list(found.values())

    def _read_otherwise(self, path: str, plain: Match | None) -> list[Match]:
        """Return the endpoints that a path is by the readings of other servers; `plain` is what it is as it stands."""
        text = full_decoding(path).lower()
        named = [endpoint for endpoint, literals in self._literals if all(literal in text for literal in literals)]
        if not named or (plain is not None and named == [plain.endpoint]):
            return []
        others = readings(path)
        if others is None:  # too many to follow; it could be any of these
            return [Match(endpoint, MappingProxyType({})) for endpoint in named]
        # To some, Fastify among them, a parameter may be empty.
        found = (self._find(other, empty=True) for other in (*others, path))
        return [match for match in found if match is not None]

    def _find(self, path: str, *, empty: bool = False) -> Match | None:
        segments = split(path)
        lowered = [segment.lower() for segment in segments]
        for pattern, endpoint in self._by_length.get(len(segments), ()):
            for expected, given in zip(pattern, lowered, strict=True):
                if expected != given and not (expected.startswith(":") and (given or empty)):
                    break
            else:
                parameters = {
                    name[1:]: unquote(value)
                    for name, value in zip(pattern, segments, strict=True)
                    if name.startswith(":")
                }
                return Match(endpoint, parameters)
        return None


def strictest(matches: Sequence[Match], mode_of: Callable[[Endpoint], Mode]) -> Match:
    """Return the first of the matches whose mode is the strictest."""
    chosen, *others = matches
    for match in others:
        mode = mode_of(chosen.endpoint)
        if stricter(mode, mode_of(match.endpoint)) is not mode:
            chosen = match
    return chosen


def _may_be_query(path: str, endpoint: Endpoint) -> bool:
    """Whether what follows a semicolon would be a stage if it were taken for the query."""
    names = {location.name for _, location in endpoint.compiled.plan.queries}
    behind = path.partition(";")[2]
    return bool(names and behind) and any(name in names for name, _ in parameters(behind))
