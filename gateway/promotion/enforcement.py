"""How strictly a configuration treats each endpoint, and whether another one is stricter or weaker. Pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

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
    for pattern, endpoint in before.endpoints.endpoints.items():
        if endpoint.operation is Operation.READ or pattern not in after.endpoints.endpoints:
            continue
        looked_at = after.document["endpoints"][pattern]["stages"]
        for location in before.document["endpoints"][pattern]["stages"]:
            if location not in looked_at:
                yield f"{pattern} is no longer inspected at {_place(location)}"


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
