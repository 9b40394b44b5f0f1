"""What every way through a plan is given, and what it comes to."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from gateway.commands.asking import who
from gateway.commands.fleet import Fleet
from gateway.errors import ConfigurationError, GatewayError, RefusedError
from gateway.promotion import making, replacing
from gateway.promotion.gates import Readiness
from gateway.promotion.moves import Standing, Standings
from gateway.promotion.plan import Plan, Step
from gateway.promotion.position import Position
from gateway.rules.load import Rules, parse

Measured: TypeAlias = tuple[Position, Readiness]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a way came to: the exit code, one word for machines, lines for people, and more for machines.

    `measured` is what the gate said, where it was asked.
    """

    code: int
    result: str
    lines: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None

    def with_lines(self, *lines: str) -> "Ended":
        """Return it with more to tell."""
        return replace(self, lines=(*self.lines, *lines))


@dataclass(frozen=True, slots=True)
class Way:
    """The plan, its gateways, the file that they read, and what is to become of a step's file.

    `writes`: it is put in the place of `target`. `output`: it is written there instead, as a patch of the ConfigMap
    `config_map` when that is named. `ask` gives what the gate of the next step says; `tell` takes lines of progress.
    """

    plan: Plan
    fleet: Fleet
    target: Path
    ask: Callable[[], Measured]
    tell: Callable[[str], None]
    writes: bool = False
    output: Path | None = None
    config_map: str | None = None
    timeout: float = 30

    def locked(self) -> AbstractContextManager[None]:
        """Be the only one who changes the file, where it is to be written. Raises RefusedError, UnreachableError."""
        return replacing.locked(self.target, who()) if self.writes else nullcontext()

    def on_disk(self) -> Rules | None:
        """Return what the file holds that gateways read, None without one. Raises RefusedError for anything else."""
        text = replacing.read(self.target)
        if text is None:
            return None
        try:
            return parse(text, source=str(self.target))
        except ConfigurationError as error:
            cure = "put the file of a step there, or name another with --config"
            raise RefusedError(f"{error}\n{self.target}: is no configuration; {cure}") from error

    def known(self) -> Rules | None:
        """Return what the file holds, None also when it is no configuration."""
        try:
            return self.on_disk()
        except GatewayError:
            return None

    def came_back_to(self, step: Step) -> bool:
        """Whether the file holds this step, and took the place of a later one's."""
        on_disk = self.known()
        try:
            text = replacing.read(replacing.kept(self.target))
            replaced = None if text is None else self.plan.at(parse(text).fingerprint)
        except GatewayError:
            return False
        is_there = on_disk is not None and on_disk.fingerprint == step.fingerprint
        return is_there and replaced is not None and replaced.number > step.number

    def file_of(
        self, step: Step, before: Mapping[str, Any] | None, *, forced: str | None, stopped: str | None = None
    ) -> str:
        """Return the file of a step; `before` is the note of the file in force."""
        note = making.note_of(self.plan, step, before, by=who(), at=datetime.now(UTC), forced=forced)
        if stopped is not None:
            note["stopped"] = stopped
        if self.config_map is not None:
            return making.made(step, note, None)
        return making.made(step, note, (self.output or self.target).resolve().parent)

    def put_out(self, text: str | None) -> None:
        """Write what `--output` names; None is no change. Raises UnreachableError."""
        if self.output is None:
            return
        if self.config_map is not None:
            text = making.patch(self.config_map, self.target.name, text)
        if text is not None:
            replacing.replace(self.output, text, keep=False)

    def settle(self, step: Step, gateways: Sequence[Standing]) -> dict[str, str]:
        """Let gateways take a step's file in; returns what those say that have not done so in time."""
        addresses = [gateway.address for gateway in gateways]
        self.tell(f"{len(addresses)} gateways are to have {step.name} ({step.fingerprint}) in force")
        return self.fleet.settle(step.fingerprint, addresses, self.timeout, self.tell)

    def standings(self, gateways: Sequence[Standing]) -> Standings:
        """Return where gateways are in the plan."""
        return Standings.of(self.plan, gateways)


def note_in_force(standings: Standings) -> Mapping[str, Any] | None:
    """Return the note of the file that is in force, None where it has none."""
    return next((place.gateway.note for place in standings.places if place.gateway.note is not None), None)
