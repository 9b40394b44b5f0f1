"""What `rollout status` shows: the whole plan, where the gateways are in it, and what stands in the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from gateway.commands.rollout_way import Way, note_in_force
from gateway.errors import GatewayError
from gateway.promotion.gates import Gates
from gateway.promotion.moves import No, Place, Standing, Standings, forward, name_of
from gateway.promotion.plan import Step, concerned


@dataclass(frozen=True, slots=True)
class Overview:
    """The plan and all that is known of where it stands."""

    way: Way
    standings: Standings | None
    on_disk: str

    @classmethod
    def of(cls, way: Way, gateways: Sequence[Standing]) -> "Overview":
        """Gather it; no gateway may have answered."""
        standings = way.standings(gateways) if gateways else None
        return cls(way, standings, _on_disk(way, standings))

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        places = self._places()
        following = self._next()
        return {
            "plan": self.way.plan.source,
            "steps": [
                {
                    "number": step.number, "name": step.name, "phase": step.phase, "percent": step.percent,
                    "config": step.fingerprint, "state": self._state(step),
                }
                for step in self.way.plan.steps
            ],
            "gateways": {
                place.gateway.address: {
                    "config": place.gateway.fingerprint,
                    "step": None if place.step is None else place.step.name,
                    "number": None if place.step is None else place.step.number,
                    "changed": place.changed,
                    "rollout": place.gateway.note,
                    "held": {
                        pattern: {"mode": hold.mode, "reason": hold.reason, "by": hold.by, "sources": hold.sources}
                        for pattern, hold in place.gateway.held.items()
                    },
                }
                for place in places
            },
            "mixed": self.standings is not None and self.standings.mixed,
            "next": None if following is None else {"name": following.name, "gates": list(_told(following.gates))},
            "forced": list(self._forced()),
            "file": self.on_disk,
        }  # fmt: skip

    def parts(self) -> Iterator[RenderableType]:
        """Yield it for people."""
        table = Table("", "step", "name", "configuration", "in force on")
        for step in self.way.plan.steps:
            here = [place.gateway.address for place in self._places() if place.step is step]
            changed = any(place.changed for place in self._places() if place.step is step)
            told = ", ".join(here) + (" (from a file that was changed since)" if changed else "")
            table.add_row(self._state(step), str(step.number), step.name, step.fingerprint, told)
        yield table
        for place in self._places():
            if place.step is None:
                yield f"{place.gateway.address}: {name_of(place)}"
        if self.standings is not None and self.standings.mixed:
            yield "the gateways have several configurations in force"
        following = self._next()
        if following is not None:
            yield f"next is {following.name}, when: {'; '.join(_told(following.gates))}"
            yield f"by the figures of {', '.join(self._concerned(following)) or 'no endpoint'}"
        yield self.on_disk
        for place in self._places():
            for pattern, hold in place.gateway.held.items():
                yield f"{place.gateway.address}: {pattern} is held at {hold.mode} by {hold.by}: {hold.reason}"
        yield from self._notes()

    def _notes(self) -> Iterator[str]:
        for forced in self._forced():
            yield f"{forced['step']} was taken by force, by {forced['by']} at {forced['at']}: {forced['reason']}"
        note = self._note()
        if note.get("stopped"):
            yield f"rollout run went back and waits for a person: {note['stopped']}"

    def _places(self) -> tuple[Place, ...]:
        return () if self.standings is None else self.standings.places

    def _note(self) -> dict[str, Any]:
        return dict((note_in_force(self.standings) if self.standings is not None else None) or {})

    def _forced(self) -> Sequence[dict[str, Any]]:
        return list(self._note().get("forced", ()))

    def _state(self, step: Step) -> str:
        numbers = [place.step.number for place in self._places() if place.step is not None]
        if step.number in numbers:
            return "here"
        return "done" if numbers and step.number < max(numbers) else "to come"

    def _next(self) -> Step | None:
        only = self.standings.only if self.standings is not None else None
        return None if only is None or only.step is None else self.way.plan.after(only.step)

    def _concerned(self, following: Step) -> list[str]:
        before = self.way.plan.before(following)
        return [] if before is None else concerned(before.rules, following.rules)


def _on_disk(way: Way, standings: Standings | None) -> str:
    """Return what the file holds that gateways read, compared with what is in force."""
    try:
        found = way.on_disk()
    except GatewayError as error:
        return str(error)
    if found is None:
        return f"{way.target}: no such file here"
    step = way.plan.at(found.fingerprint)
    held = f"{way.target} holds {step.name if step is not None else f'configuration {found.fingerprint}, no step'}"
    if standings is None:
        return held
    late = [p.gateway.address for p in standings.places if p.gateway.fingerprint != found.fingerprint]
    if not late:
        return f"{held}, which is in force"
    begun = ""
    if step is not None and not isinstance(forward(way.plan, standings, found), No):
        begun = "; the next command goes on from there"
    return f"{held}, which is not in force on {', '.join(late)}{begun}"


def _told(gates: Gates) -> Iterator[str]:
    """Yield the thresholds of a gate in words."""
    yield f"at least {gates.min_validations:,} validations at every endpoint"
    for pattern, least in gates.min_validations_of.items():
        yield f"at least {least:,} at {pattern}"
    yield f"at most {gates.max_refused_percent:g} % refused"
    yield f"p99 of judging at most {1000 * gates.p99_floor_seconds:g} ms or {gates.p99_factor:g} times its baseline"
    yield "no internal error"
    unknown = f"{gates.unknown_floor_percent:g} % or {gates.unknown_factor:g} times their share before"
    yield f"unknown values at most {unknown}"
    yield f"none firing of {', '.join(gates.alerts)}" if gates.alerts else "no alert is looked at"
    if gates.verified:
        yield "the last report of verify passed, under this vocabulary, after the last run"
