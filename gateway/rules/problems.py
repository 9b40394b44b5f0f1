"""Everything that is wrong with a configuration file, all at once, each fault with its JSON path.

A line reads: `$.endpoints["/api/x"].operation: got "reed", expected 'read' or 'write'`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway import faults
from gateway.faults import did_you_mean, path_of, shown
from gateway.rollout.endpoints import matched_form, pattern_problem, split
from gateway.rules import model
from gateway.stages.vocabulary import DEFAULT_CANONICAL, default_aliases, vocabulary_problems


def type_problems(error: ValidationError) -> Iterator[str]:
    """Yield one line for each fault that the model found."""
    parts = [part for part in vars(model).values() if isinstance(part, type) and issubclass(part, BaseModel)]
    return faults.type_problems(error, faults.members_of(*parts), steps_of=_without_tags)


def _without_tags(loc: Sequence[str | int]) -> list[str | int]:
    """Drop what pydantic adds to a path that the file does not have: the tag of a location, `[key]`."""
    steps: list[str | int] = []
    for index, step in enumerate(loc):
        follows_location = index >= 2 and loc[index - 2] == "stages" and isinstance(loc[index - 1], int)
        if not follows_location and step != "[key]":
            steps.append(step)
    return steps


def contradictions(raw: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each member that contradicts another one.

    Works on the raw document, so that these faults are told together with wrong types elsewhere.
    """
    yield from _in_routes(raw)
    yield from _in_endpoints(raw)
    yield from _in_vocabulary(raw)


def _members(raw: dict[str, Any], name: str, default: dict[str, Any]) -> dict[str, Any]:
    value = raw.get(name, default)
    return value if isinstance(value, dict) else {}


def _in_routes(raw: dict[str, Any]) -> Iterator[str]:
    upstreams = _members(raw, "upstreams", {})
    names = ", ".join(map(repr, upstreams)) or "none is configured"
    routes = raw.get("routes")
    if routes is None and len(upstreams) > 1 and not {"portfolio", "monteCarlo"} <= set(upstreams):
        yield f"$.routes: missing, expected routes that say which of the upstreams ({names}) takes which paths"
    seen: dict[str, int] = {}
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        if not isinstance(route, dict):
            continue
        target, prefix = route.get("upstream"), route.get("prefix")
        if isinstance(target, str) and target not in upstreams:
            yield f"$.routes[{index}].upstream: got {shown(target)}, expected one of the upstreams: {names}"
        if isinstance(prefix, str) and seen.setdefault(prefix.lower(), index) != index:
            other = f"routes[{seen[prefix.lower()]}]"
            yield f"$.routes[{index}].prefix: got {shown(prefix)}, expected another prefix than that of {other}"


def _in_endpoints(raw: dict[str, Any]) -> Iterator[str]:
    endpoints = _members(raw, "endpoints", model.default_endpoints())
    shapes: dict[str, str] = {}
    for pattern, endpoint in endpoints.items():
        place = path_of(["endpoints", pattern])
        problem = pattern_problem(pattern)
        if problem is not None:
            yield f"{place}: got a pattern that cannot be matched: {problem}"
            continue
        first = shapes.setdefault(matched_form(pattern), pattern)
        if first != pattern:
            yield f"{place}: matches the same paths as {first!r}, expected one of the two"
        fund = endpoint.get("fundId") if isinstance(endpoint, dict) else None
        name = fund.get("path") if isinstance(fund, dict) else None
        if isinstance(name, str) and f":{name}" not in split(pattern):
            yield f"{place}.fundId.path: got {shown(name)}, expected the name of a ':name' in the pattern"
    for pattern in _members(raw, "endpointMode", {}):
        if pattern not in endpoints:
            hint = did_you_mean(pattern, endpoints)
            place = path_of(["endpointMode", pattern])
            yield f"{place}: got a pattern that is no endpoint, expected one of {', '.join(endpoints)}{hint}"


def _in_vocabulary(raw: dict[str, Any]) -> Iterator[str]:
    vocabulary = _members(raw, "vocabulary", {})
    canonical = vocabulary.get("canonical", list(DEFAULT_CANONICAL))
    if not isinstance(canonical, list) or not all(isinstance(value, str) for value in canonical):
        return
    aliases = vocabulary.get("aliases", default_aliases(canonical))
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        aliases = {}
    for place, problem in vocabulary_problems(canonical, aliases):
        yield f"$.vocabulary{place}: {problem}"
