"""How strictly a configuration treats each endpoint, and whether another one is stricter or weaker. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.rollout.endpoints import Endpoint
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
    """Return the endpoints, of both, at which the second configuration is stricter than the first."""
    return [pattern for pattern, old, new in _pairs(before, after) if old.falls_below(new)]


def lowered(before: Rules, after: Rules) -> list[str]:
    """Return the endpoints, of both, at which the second configuration is less strict than the first."""
    return [pattern for pattern, old, new in _pairs(before, after) if new.falls_below(old)]


def weakened(before: Rules, after: Rules) -> Iterator[str]:
    """Yield one line for each way in which the second configuration protects writes less than the first."""
    for pattern, old, new in _pairs(before, after):
        endpoint = before.endpoints.endpoints.get(pattern) or _answering(before, pattern)
        if endpoint is not None and endpoint.operation is not Operation.READ and new.falls_below(old):
            yield f"{pattern} falls from {_told(old)} to {_told(new)}"
    for pattern in {**before.endpoints.endpoints, **after.endpoints.endpoints}:
        endpoint, other = _answering(before, pattern), _answering(after, pattern)
        if endpoint is not None and other is not None and endpoint.operation is not Operation.READ:
            looks, then = before.document["endpoints"][endpoint.pattern], after.document["endpoints"][other.pattern]
            for line in _overlooked(looks, then):
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


def _pairs(before: Rules, after: Rules) -> Iterator[tuple[str, Enforcement, Enforcement]]:
    """Yield for every endpoint of both what each configuration does with its requests.

    A pattern that one of them does not have may be another endpoint's there: `/a/special` is `/a/:id` where nothing
    says otherwise.
    """
    old, new = enforcement(before), enforcement(after)
    for pattern in {**old, **new}:
        yield pattern, _of_pattern(before, old, pattern), _of_pattern(after, new, pattern)


def _of_pattern(rules: Rules, found: Mapping[str, Enforcement], pattern: str) -> Enforcement:
    endpoint = _answering(rules, pattern)
    return Enforcement(Mode.OFF, 0.0) if endpoint is None else found[endpoint.pattern]


def _answering(rules: Rules, pattern: str) -> Endpoint | None:
    """Return the endpoint that takes the requests of a pattern, None when none does."""
    own = rules.endpoints.endpoints.get(pattern)
    if own is not None:
        return own
    example = "/".join("x" if segment.startswith(":") else segment for segment in pattern.split("/"))
    match = rules.endpoints.match(example)
    return None if match is None else match.endpoint


def _told(found: Enforcement) -> str:
    return f"{found.mode} at {found.percent:g} %" if found.mode is Mode.ENFORCE else str(found.mode)


def _place(location: Mapping[str, object]) -> str:
    return next(str(location[name]) for name in ("keys", "each", "value", "query") if name in location)
