"""How strictly a configuration treats each endpoint, and whether another one is stricter or weaker. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, product
from typing import Any, NamedTuple

from gateway.rollout.endpoints import Endpoint, matched_form, split
from gateway.rollout.policy import Mode, Operation, stricter
from gateway.rules.load import Rules


class Enforcement(NamedTuple):
    """What happens to invalid requests of an endpoint that are no reads.

    `percent` is the share that is refused: 0 unless the mode is enforce, and while `enforceWriteOnly` spares an
    endpoint that only reads.
    """

    mode: Mode
    percent: float

    def falls_below(self, other: "Enforcement") -> bool:
        """Whether this treats them less strictly than the other does."""
        milder = self.mode is not other.mode and stricter(self.mode, other.mode) is other.mode
        return milder or self.percent < other.percent


def enforcement(rules: Rules) -> dict[str, Enforcement]:
    """Return what a configuration does at every endpoint, by its pattern."""
    write_only = rules.policy.enforce_write_only
    return {
        pattern: of(endpoint.mode, endpoint.percent, write_only=write_only, operation=endpoint.operation)
        for pattern, endpoint in rules.endpoints.endpoints.items()
    }


def of(mode: Mode, percent: float, *, write_only: bool, operation: Operation | None) -> Enforcement:
    """Return what a mode and a percentage mean at an endpoint."""
    spared = mode is not Mode.ENFORCE or (write_only and operation is Operation.READ)
    return Enforcement(mode, 0.0 if spared else percent)


def raised(before: Rules, after: Rules) -> list[str]:
    """Return the endpoints of the second configuration at which it is stricter than the first."""
    old, new = enforcement(before), enforcement(after)
    shared = _shared(before, after)
    found = (now for _, was, now in shared if now is not None and _of(was, old).falls_below(_of(now, new)))
    return list(dict.fromkeys(endpoint.pattern for endpoint in found))


def weakened(before: Rules, after: Rules) -> Iterator[str]:
    """Yield one line for each way in which the second configuration protects writes less than the first."""
    old, new = enforcement(before), enforcement(after)
    for pattern, endpoint, other in _shared(before, after):
        if endpoint is None or endpoint.operation is Operation.READ:
            continue
        was, then = old[endpoint.pattern], _of(other, new)
        if then.falls_below(was):
            yield f"{pattern} falls from {_told(was)} to {_told(then)}"
        if other is not None:
            looks = before.document["endpoints"][endpoint.pattern], after.document["endpoints"][other.pattern]
            for line in _overlooked(*looks):
                yield f"{pattern} {line}"


def tightened(before: Rules, after: Rules) -> Iterator[str]:
    """Yield one line for each way in which the second configuration refuses what the first did not."""
    for pattern in raised(before, after):
        yield f"{pattern} is enforced more"
    for pattern, found in enforcement(after).items():
        if found.percent > 0 and pattern in before.endpoints.endpoints:
            old, new = before.document["endpoints"][pattern], after.document["endpoints"][pattern]
            for _ in _overlooked(new, old):
                yield f"{pattern} is inspected more"
    was, now = before.policy.vocabulary, after.policy.vocabulary
    if set(was.canonical) - set(now.canonical):
        yield "the vocabulary has fewer canonical values"
    if was.accept_aliases and (not now.accept_aliases or was.aliases.items() - now.aliases.items()):
        yield "the vocabulary accepts fewer aliases"


def _overlooked(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the second look at an endpoint's requests no longer finds."""
    looked_at = [{**location, "required": False} for location in after["stages"]]
    for location in before["stages"]:
        if {**location, "required": False} not in looked_at:
            yield f"is no longer inspected at {_place(location)}"
        elif location["required"] and location not in after["stages"]:
            yield f"no longer requires {_place(location)}"
    old, new = before["weightTolerance"], after["weightTolerance"]
    if old is not None and (new is None or new > old):
        tolerated = "are no longer looked at" if new is None else f"may differ by {new:g}, not {old:g}"
        yield f"is inspected less: its weights {tolerated}"


def _of(endpoint: Endpoint | None, found: Mapping[str, Enforcement]) -> Enforcement:
    return Enforcement(Mode.OFF, 0.0) if endpoint is None else found[endpoint.pattern]


def _shared(before: Rules, after: Rules) -> Iterator[tuple[str, Endpoint | None, Endpoint | None]]:
    """Yield the patterns of both, and what one of each have in common, with the endpoint that each makes of it.

    That is every pair of endpoints there can be. A path that is p before and q after is among what p and q have in
    common; and what stands for all of that is matched by no pattern that the path is not matched by, so it is p
    before and q after too.
    """
    patterns = list(dict.fromkeys([*before.endpoints.endpoints, *after.endpoints.endpoints]))
    shared = {matched_form(pattern): pattern for pattern in reversed(patterns)}
    for first, second in product(before.endpoints.endpoints, after.endpoints.endpoints):
        common = _common(first, second)
        if common is not None:
            shared.setdefault(matched_form(common), common)
    stand_in = _no_literal_of(patterns)
    for pattern in sorted(shared.values(), key=lambda one: patterns.index(one) if one in patterns else len(patterns)):
        path = "/" + "/".join(stand_in if segment.startswith(":") else segment for segment in split(pattern))
        old, new = before.endpoints.match(path), after.endpoints.match(path)
        yield pattern, None if old is None else old.endpoint, None if new is None else new.endpoint


def _common(first: str, second: str) -> str | None:
    """Return the pattern of the paths that two patterns both match, None when there are none."""
    ours, theirs = split(first), split(second)
    if len(ours) != len(theirs):
        return None
    common = []
    for one, other in zip(ours, theirs, strict=True):
        if not one.startswith(":") and not other.startswith(":") and one.lower() != other.lower():
            return None
        common.append(other if one.startswith(":") else one)
    return "/" + "/".join(common)


def _no_literal_of(patterns: Iterable[str]) -> str:
    """Return a segment that stands for any value of a parameter: no pattern has it."""
    taken = {segment.lower() for pattern in patterns for segment in split(pattern)}
    return next(segment for length in count(1) if (segment := "x" * length) not in taken)


def _told(found: Enforcement) -> str:
    return f"{found.mode} at {found.percent:g} %" if found.mode is Mode.ENFORCE else str(found.mode)


def _place(location: Mapping[str, object]) -> str:
    return next(str(location[name]) for name in ("keys", "each", "value", "query") if name in location)
