"""Where each gateway is in a plan, and which move may be made from there. Pure.

Rules of the room:

- A gateway is at the step whose configuration it has in force. What the file on disk holds, and notes, decide nothing
  about that.
- Forward is one step, from one configuration that all gateways have in force. Back is to the step before the lowest
  one that a gateway has in force, and to that one itself where others are above it.
- What was begun is gone on with: `next` where a gateway has the file's step in force already, `back` where holds that
  an earlier one has set name the step in force.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.promotion.enforcement import Enforcement, enforcement, of, tightened, weakened
from gateway.promotion.plan import Plan, Step
from gateway.rollout.policy import Mode, Operation
from gateway.rules.load import Rules, parse

HELD_BY_US = "rollout back to "  # how the reason of a hold that `back` sets begins


class Hold(NamedTuple):
    """What holds an endpoint at a less strict mode than the file's."""

    mode: Mode
    reason: str
    by: str
    sources: tuple[str, ...]
    until: str | None

    @property
    def target(self) -> str | None:
        """The fingerprint that `back` set this hold on the way to, None for everybody else's."""
        if not self.reason.startswith(HELD_BY_US) or "person" not in self.sources:
            return None
        return self.reason.rpartition(" ")[2].strip("()") or None


@dataclass(frozen=True, slots=True)
class Standing:
    """What one gateway has in force.

    `enforcement` is the file's, `held` what overrides leave less strict than that. `note` says which step the file was
    made as, for people. `rules` are the configuration itself, None where the gateway does not show it.
    """

    address: str
    fingerprint: str
    enforcement: Mapping[str, Enforcement]
    held: Mapping[str, Hold]
    write_only: bool
    note: Mapping[str, Any] | None = None
    rules: Rules | None = field(default=None, repr=False)

    @classmethod
    def of(cls, address: str, status: Mapping[str, Any]) -> "Standing":
        """Return what a `/status` document says.

        Raises KeyError, TypeError, ValueError or ConfigurationError for that of another version.
        """
        config, write_only = status["config"], status["enforceWriteOnly"]
        found, held = {}, {}
        for pattern, endpoint in status["endpoints"].items():
            operation = None if endpoint["operation"] is None else Operation(endpoint["operation"])
            mode, percent = Mode(endpoint["configuredMode"]), endpoint["configuredPercent"]
            found[pattern] = of(mode, percent, write_only=write_only, operation=operation)
            override = endpoint["override"]
            if override is not None:
                told = (override["reason"], override["by"], tuple(override["sources"]), override["until"])
                held[pattern] = Hold(Mode(override["mode"]), *told)
        document = config.get("document")
        rules = None if document is None else _rules(address, document)
        return cls(address, config["fingerprint"], found, held, write_only, config.get("rollout"), rules)

    def falling(self, step: Step) -> list[str]:
        """Return the endpoints at which fewer requests are refused in a step than by the file in force."""
        then = enforcement(step.rules)
        nothing = Enforcement(Mode.OFF, 0.0)
        return [p for p, now in self.enforcement.items() if then.get(p, nothing).percent < now.percent]

    def refusing(self, patterns: Iterable[str]) -> list[str]:
        """Return those of some endpoints that nothing holds."""
        return [pattern for pattern in patterns if pattern not in self.held]


class Place(NamedTuple):
    """A gateway and the step that it is at, None for none. `changed`: the step's file has other contents by now."""

    gateway: Standing
    step: Step | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Standings:
    """Where all gateways are. There is at least one."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, plan: Plan, gateways: Sequence[Standing]) -> "Standings":
        """Find every gateway's step."""
        return cls(tuple(_place(plan, gateway) for gateway in gateways))

    @property
    def mixed(self) -> bool:
        """Whether the gateways have more than one configuration in force."""
        return len({place.gateway.fingerprint for place in self.places}) > 1

    @property
    def only(self) -> Place | None:
        """Where all of them are, None while they have several configurations in force."""
        return None if self.mixed else self.places[0]

    @property
    def lowest(self) -> Step | None:
        """The lowest step that one is at, None when one is at none."""
        steps = [place.step for place in self.places]
        known = [step for step in steps if step is not None]
        return min(known, key=lambda step: step.number) if len(known) == len(steps) else None

    def told(self) -> str:
        """Return where each gateway is, in words."""
        return "; ".join(f"{place.gateway.address} has {name_of(place)} in force" for place in self.places)


def name_of(place: Place) -> str:
    """Return what people call the place of a gateway."""
    if place.step is None:
        return f"configuration {place.gateway.fingerprint}, which is no step"
    return f"{place.step.name}{', from a file that was changed since' if place.changed else ''}"


class Take(NamedTuple):
    """A step that is to be taken. `again`: it is in force, from a file that was changed; `gated`: only when READY."""

    step: Step
    gated: bool = True
    again: bool = False


class GoOn(NamedTuple):
    """A step whose file is there, and in force somewhere: the other gateways are to read it."""

    step: Step


class No(NamedTuple):
    """Nothing may be done, and why. `ended`: because there is no further step."""

    why: str
    ended: bool = False


def forward(plan: Plan, standings: Standings, on_disk: Rules | None) -> Take | GoOn | No:
    """Return what comes next. `on_disk` is what the file that gateways read holds, None when nobody knows."""
    place = standings.only
    if place is None:
        return _go_on(plan, standings, None if on_disk is None else on_disk.fingerprint)
    if place.step is None:
        names = ", ".join(step.name for step in plan.steps)
        return No(
            f"configuration {place.gateway.fingerprint} is no step of {plan.source}; put the file of one in force by "
            f"hand, the first one most likely ({names})"
        )
    if place.changed:
        known = place.gateway.rules
        if known is None and on_disk is not None and on_disk.fingerprint == place.gateway.fingerprint:
            known = on_disk
        gated = known is None or any(tightened(known, place.step.rules))
        return Take(place.step, gated=gated, again=True)
    after = plan.after(place.step)
    if after is None:
        return No(f"{place.step.name} is the last step of {plan.source}", ended=True)
    return Take(after)


def backward(plan: Plan, standings: Standings, *, unfinished: bool = False) -> Step | No:
    """Return the step to go back to; it is the one in force where an earlier way back has not come to its end.

    Holds tell of such a one. `unfinished` says so where there are none: at a step that enforces as the later one does
    nothing is held, and a gateway that gives no answer now may not have it yet.
    """
    lowest = standings.lowest
    if lowest is None:
        return No(f"{standings.told()}; to hold every endpoint at warn, use stage-gateway rollback")
    if unfinished or standings.mixed or lowest.fingerprint in targets(standings):
        return lowest
    before = plan.before(lowest)
    return before or No(f"{lowest.name} is the first step of {plan.source}; to hold every endpoint, use rollback")


def targets(standings: Standings) -> set[str]:
    """Return the fingerprints that the holds of earlier ways back name."""
    found = {hold.target for place in standings.places for hold in place.gateway.held.values()}
    return {target for target in found if target is not None}


def reason_for(step: Step) -> str:
    """Return why `back` holds an endpoint on the way to a step, which tells its holds from all others."""
    return f"{HELD_BY_US}{step.name} ({step.fingerprint})"


def objections(standings: Standings, step: Step, in_force: Rules | None) -> Iterator[str]:
    """Yield each way in which a step would protect writes less than what is in force.

    `in_force` are the rules of a configuration in force, where they are known.
    """
    exact = [place.step.rules for place in standings.places if place.step is not None and not place.changed]
    shown = [place.gateway.rules for place in standings.places if place.step is None or place.changed]
    for known in (*exact, *shown, in_force):
        if known is not None:
            yield from weakened(known, step.rules)
    then = enforcement(step.rules)
    for place in standings.places:
        if place.step is not None and not place.changed:
            continue
        for pattern, now in place.gateway.enforcement.items():
            endpoint = step.rules.endpoints.endpoints.get(pattern)
            writes = endpoint is None or endpoint.operation is not Operation.READ
            if writes and then.get(pattern, Enforcement(Mode.OFF, 0.0)).falls_below(now):
                yield f"{pattern} would be enforced less than on {place.gateway.address}"


def may_replace(on_disk: str | None, standings: Standings, step: Step) -> str | None:
    """Return why the file that gateways read must not be replaced by a step's, None when it may.

    It holds what is in force, or was replaced already by a command that was interrupted.
    """
    known = {place.gateway.fingerprint for place in standings.places} | {step.fingerprint}
    if on_disk is not None and on_disk not in known:
        return f"holds configuration {on_disk}, which no gateway has in force; reload them, or put it back as it was"
    return None


def _rules(address: str, document: Mapping[str, Any]) -> Rules:
    """Return the rules of a configuration that a gateway shows, without authorities: those are files of its host."""
    upstreams = {name: {"url": given["url"]} for name, given in document["upstreams"].items()}
    return parse(json.dumps({**document, "upstreams": upstreams}), source=address)


def _place(plan: Plan, gateway: Standing) -> Place:
    step = plan.at(gateway.fingerprint)
    if step is not None:
        return Place(gateway, step, changed=False)
    like = plan.like(gateway.enforcement, write_only=gateway.write_only)
    return Place(gateway, like, changed=like is not None)


def _go_on(plan: Plan, standings: Standings, on_disk: str | None) -> GoOn | No:
    step = None if on_disk is None else plan.at(on_disk)
    begun = step is not None and any(place.gateway.fingerprint == step.fingerprint for place in standings.places)
    lowest = standings.lowest
    if step is None or not begun or lowest is None:
        return No(f"the gateways have several configurations in force: {standings.told()}; let them read one file")
    if any(place.step is not None and place.step.number > step.number for place in standings.places):
        return No(f"{standings.told()}, and the file holds {step.name}; use rollout back, or let all read one file")
    return GoOn(step)
