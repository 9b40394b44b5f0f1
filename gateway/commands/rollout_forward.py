"""The way forward: the next step's file, when its gate is ready, on every gateway."""

import logging
from collections.abc import Mapping
from typing import Any

from gateway.commands.rollout_way import Ended, Measured, Way, note_in_force
from gateway.errors import GatewayError
from gateway.promotion import making, replacing
from gateway.promotion.gates import Answer
from gateway.promotion.moves import GoOn, No, Standings, Take, forward, may_replace, name_of, objections
from gateway.promotion.plan import Step
from gateway.rules.load import Rules

_log = logging.getLogger("gateway.rollout")


def advance(way: Way, forced: str | None = None) -> Ended:
    """Take the next step, or go on with one that was interrupted. Raises GatewayError; then nothing was written."""
    with way.locked():
        gateways, errors = way.fleet.look()
        if errors:
            told = "nothing was written: every gateway has to be reachable to go forward"
            return Ended(3, "unreachable", (*map(str, errors.values()), told))
        standings = way.standings(gateways)
        on_disk = way.on_disk() if way.writes else way.known()
        match forward(way.plan, standings, on_disk):
            case No(why, ended):
                return Ended(1, "ended" if ended else "refused", (why,))
            case GoOn(step):
                return _go_on(way, step, standings)
            case Take() as take:
                return _take(way, take, standings, on_disk, forced)


def _go_on(way: Way, step: Step, standings: Standings) -> Ended:
    told = f"{step.name} was begun: its file is there, and in force on some gateways ({standings.told()})"
    if not way.writes:
        return Ended(1, "interrupted", (told, "go on with --write"))
    way.tell(told)
    return _wait(way, step, standings, {"step": step.name})


def _take(way: Way, take: Take, standings: Standings, on_disk: Rules | None, forced: str | None) -> Ended:
    step, place = take.step, standings.places[0]
    known = on_disk if on_disk is not None and on_disk.fingerprint == place.gateway.fingerprint else None
    weaker = list(dict.fromkeys(objections(standings, step, known)))
    if weaker:
        cure = "writes are never protected less by a step forward, whatever --force says; mend the plan"
        return Ended(1, "refused", (*weaker, cure))
    measured, ready, trouble = _asked(way, take, forced)
    text = way.file_of(step, note_in_force(standings), forced=None if ready else forced)
    changes = list(making.summary(place.gateway.enforcement, step.rules))
    old = replacing.read(way.target) if known is not None else (place.step.text if place.step is not None else None)
    diff = making.difference(old or "{}", text, name_of(place), step.name)
    more: dict[str, Any] = {
        "from": name_of(place), "step": step.name, "config": step.fingerprint, "again": take.again,
        "changes": changes, "difference": diff, "forced": None if ready else forced,
    }  # fmt: skip
    head = f"{'again, its file was changed: ' if take.again else ''}from {name_of(place)} to {step.name}"
    lines = (head, *changes, *([] if changes else ["no endpoint is treated otherwise"]), *diff, *trouble)
    if not ready and forced is None:
        told = "not taken: it is not READY; to take it all the same, give --force and a reason"
        return Ended(1, "refused", (*lines, told), more, measured)
    shown = Ended(0, "shown", lines, more, measured)
    if not ready:
        _log.warning("step is taken by force", extra={"step": step.name, "reason": forced})
        shown = shown.with_lines(f"taken by force: {forced}")
    if way.output is not None:
        way.put_out(text)
        return Ended(0, "made", (*shown.lines, f"{way.output}: written; nothing was reloaded"), more, measured)
    if not way.writes:
        return shown.with_lines("nothing was written: give --write, or --output and a file")
    return _write(way, step, standings, text, shown, on_disk, keeps=ready or forced is None)


def _asked(way: Way, take: Take, forced: str | None) -> tuple[Measured | None, bool, list[str]]:
    """Return what the gate says, whether the step may be taken, and what stood in the way of asking."""
    if not take.gated:
        return None, True, []
    try:
        measured = way.ask()
    except GatewayError as error:
        if forced is None:
            raise
        return None, False, [f"the figures could not be asked for: {error}"]
    return measured, measured[1].answer is Answer.READY, []


def _write(
    way: Way, step: Step, standings: Standings, text: str, shown: Ended, on_disk: Rules | None, *, keeps: bool
) -> Ended:
    there = None if on_disk is None else on_disk.fingerprint
    objection = may_replace(there, standings, step)
    if objection is not None:
        told = f"{way.target}: {objection}, or name the file that they read with --config"
        return Ended(1, "refused", (*shown.lines, told), shown.more, shown.measured)
    errors = way.fleet.rehearse([place.gateway for place in standings.places])
    if errors:
        lines = (*shown.lines, *map(str, errors.values()), "nothing was written: not every gateway would reload")
        code = max(error.exit_code for error in errors.values())
        return Ended(code, "unreachable", lines, shown.more, shown.measured)
    if there != step.fingerprint or not keeps:
        replacing.replace(way.target, text, keep=there != step.fingerprint)
        _log.info("step is written", extra={"step": step.name, "config": step.fingerprint, "file": str(way.target)})
    ended = _wait(way, step, standings, shown.more)
    return Ended(ended.code, ended.result, (*shown.lines, *ended.lines), ended.more, shown.measured)


def _wait(way: Way, step: Step, standings: Standings, more: Mapping[str, Any]) -> Ended:
    waiting = way.settle(step, [place.gateway for place in standings.places])
    more = {**more, "written": str(way.target), "waiting": waiting}
    if waiting:
        told = (
            f"{way.target} is written, but after {way.timeout:g} s it is not in force everywhere",
            "mend that and give the same command again, or go back with: stage-gateway rollout back",
        )
        return Ended(3, "waiting", (*waiting.values(), *told), more)
    _log.info("step is in force", extra={"step": step.name, "config": step.fingerprint})
    return Ended(0, "taken", (f"{step.name} is in force on {_count(standings)}",), more)


def _count(standings: Standings) -> str:
    number = len(standings.places)
    return "the gateway" if number == 1 else f"all {number} gateways"
