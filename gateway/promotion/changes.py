"""What a new configuration would change on running gateways, and what of that a person is warned of. Pure.

Rules of the room:

- Everything that differs is told; a write that is less protected is warned of, too.
- Whether more may be refused is a matter of figures, which others ask for. Here is only where more would be.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.faults import path_of
from gateway.promotion.enforcement import Enforcement, enforcement, raised, weakened
from gateway.rollout.policy import Operation
from gateway.rules.load import Rules, parse


class Kind(StrEnum):
    """What a person is warned of."""

    RAISES = "raises"
    LOWERS = "lowers"
    VOCABULARY = "vocabulary"
    DROPS = "drops"
    KEY = "enforcementKey"
    DIFFER = "differ"
    HIDDEN = "hidden"


class Caution(NamedTuple):
    """One reason not to put a configuration in force. `endpoint` None: it is about no single one."""

    kind: Kind
    endpoint: str | None
    why: str


class Change(NamedTuple):
    """A setting that differs, by its place in the file; None where it is missing."""

    place: str
    now: Any
    then: Any


class EndpointChange(NamedTuple):
    """An endpoint at which requests are treated otherwise; None where it is no endpoint."""

    pattern: str
    now: Enforcement | None
    then: Enforcement | None


@dataclass(frozen=True, slots=True)
class Running:
    """What a gateway says that it has in force.

    `document` is its configuration file with all defaults; `dry_run` is in force whatever that says. `totals` are the
    requests at each endpoint since the start, `held` the modes at which overrides hold endpoints.
    """

    address: str
    fingerprint: str
    document: Mapping[str, Any] = field(repr=False)
    rules: Rules = field(repr=False)
    dry_run: bool
    totals: Mapping[str, int]
    held: Mapping[str, str]

    @classmethod
    def of(cls, address: str, status: Mapping[str, Any]) -> "Running":
        """Read a `/status` that shows its configuration.

        Raises KeyError, TypeError, AttributeError or ConfigurationError for one of another version.
        """
        document = dict(status["config"]["document"])
        # Authorities are files of the gateway's host, and decide nothing here.
        upstreams = {name: {"url": given["url"]} for name, given in document["upstreams"].items()}
        rules = parse(json.dumps({**document, "upstreams": upstreams}), source=address)
        endpoints = {pattern: status["endpoints"][pattern] for pattern in rules.endpoints.endpoints}
        held = {pattern: one["override"]["mode"] for pattern, one in endpoints.items() if one["override"] is not None}
        totals = {pattern: sum(one["totals"].values()) for pattern, one in endpoints.items()}
        return cls(address, status["config"]["fingerprint"], document, rules, status["dryRun"], totals, held)

    @property
    def environment_decides(self) -> bool:
        """Whether the gateway's environment decides on dry run, and no file does."""
        return self.dry_run is not self.document["dryRun"]


def changes(running: Running, after: Rules) -> list[Change]:
    """Return every setting that differs, in the order of the file."""
    before, then = dict(running.document), dict(after.document)
    if running.environment_decides:
        before.pop("dryRun"), then.pop("dryRun")
    return list(_differences(before, then))


def endpoint_changes(before: Rules, after: Rules) -> list[EndpointChange]:
    """Return every endpoint at which requests are treated otherwise."""
    now, then = enforcement(before), enforcement(after)
    found = (EndpointChange(pattern, now.get(pattern), then.get(pattern)) for pattern in {**now, **then})
    return [change for change in found if change.now != change.then]


def refusing_more(before: Rules, after: Rules) -> list[str]:
    """Return the endpoints, of both, at which a larger share of requests may be refused."""
    then = enforcement(after)
    return [pattern for pattern in raised(before, after) if pattern not in then or then[pattern].percent > 0]


def cautions(gateways: Sequence[Running], after: Rules) -> list[Caution]:
    """Return what is to be said against a configuration, whatever the figures are, each thing once for all gateways."""
    found = [*_differing(gateways), *_dropped(gateways, after)]
    for running in gateways:
        found += _lowered(running.rules, after)
        found += _chosen_otherwise(running.rules, after)
    return list(dict.fromkeys(found))


def _differences(now: Mapping[str, Any], then: Mapping[str, Any], steps: tuple[str, ...] = ()) -> Iterator[Change]:
    for name in {**now, **then}:
        old, new, place = now.get(name), then.get(name), (*steps, name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, place)
        elif old != new:
            yield Change(path_of(place), old, new)


def _lowered(before: Rules, after: Rules) -> Iterator[Caution]:
    for line in weakened(before, after):
        yield Caution(Kind.LOWERS, None, f"protects writes less: {line}")
    if after.policy.vocabulary.accept_aliases and not before.policy.vocabulary.accept_aliases:
        for pattern, found in enforcement(before).items():
            if found.percent > 0 and before.endpoints.endpoints[pattern].operation is not Operation.READ:
                why = f"protects writes less: {pattern} lets aliases pass (vocabulary.acceptAliases)"
                yield Caution(Kind.LOWERS, pattern, why)


def _dropped(gateways: Sequence[Running], after: Rules) -> Iterator[Caution]:
    for pattern in dict.fromkeys(pattern for running in gateways for pattern in running.totals):
        if pattern in after.endpoints.endpoints:
            continue
        total = sum(running.totals.get(pattern, 0) for running in gateways)
        if total:
            why = f"drops {pattern}, which has had {total:,} inspected {'request' if total == 1 else 'requests'}"
            yield Caution(Kind.DROPS, pattern, why)
        held = [f"{running.held[pattern]} on {running.address}" for running in gateways if pattern in running.held]
        if held:
            why = f"drops {pattern}, which is held at {', '.join(held)}; let go of it first"
            yield Caution(Kind.DROPS, pattern, why)


def _chosen_otherwise(before: Rules, after: Rules) -> Iterator[Caution]:
    """Yield where a percentage would choose other requests than it does now."""
    old, new = before.policy.enforcement_key, after.policy.enforcement_key
    if old != new:
        yield Caution(Kind.KEY, None, f"changes the enforcementKey from {old!r} to {new!r}: other requests are chosen")
    elif new == "fundId":
        then = enforcement(after)
        for pattern, found in enforcement(before).items():
            if pattern not in then or not (0 < found.percent < 100 or 0 < then[pattern].percent < 100):
                continue
            if before.endpoints.endpoints[pattern].fund != after.endpoints.endpoints[pattern].fund:
                why = f"looks for the fund id of {pattern} elsewhere: other requests are chosen"
                yield Caution(Kind.KEY, pattern, why)


def _differing(gateways: Sequence[Running]) -> Iterator[Caution]:
    """Yield what gateways differ in among themselves."""
    told: dict[str, dict[str, str]] = {"configuration": {}, "dry run": {}}
    for running in gateways:
        told["configuration"][running.address] = running.fingerprint
        told["dry run"][running.address] = "on" if running.dry_run else "off"
        for pattern in running.totals:
            override = running.held.get(pattern, "none")
            told.setdefault(f"override of {pattern}", {})[running.address] = override
    for what, values in told.items():
        if len(set(values.values())) > 1:
            different = ", ".join(f"{value} at {address}" for address, value in values.items())
            yield Caution(Kind.DIFFER, None, f"the gateways differ in their {what}: {different}")
