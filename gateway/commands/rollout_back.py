"""The way back: holds on every gateway at once, then the file of the step before, then the holds go."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway.commands.fleet import QUICK_SECONDS
from gateway.commands.rollout_way import Ended, Way, note_in_force
from gateway.errors import GatewayError, RefusedError
from gateway.promotion import making, replacing
from gateway.promotion.moves import No, Standing, Standings, backward, reason_for
from gateway.promotion.plan import Step

_log = logging.getLogger("gateway.rollout")
_LOCK_SECONDS = 0.2
_SAME = "then give the same command again; it goes on from there"


def retreat(way: Way, stopped: str | None = None) -> Ended:
    """Go to the step before, by no figure. `stopped` is why `run` does so, and waits for a person afterwards."""
    gateways, errors = way.fleet.look(QUICK_SECONDS)
    away = [str(error) for error in errors.values()]
    if not gateways:
        return Ended(3, "unreachable", (*away, "nothing was changed: no gateway gave an answer"))
    standings = way.standings(gateways)
    lowest = standings.lowest
    unfinished = bool(away) and lowest is not None and way.came_back_to(lowest)
    step = backward(way.plan, standings, unfinished=unfinished)
    if isinstance(step, No):
        return Ended(1, "refused", (*away, step.why))
    if way.output is not None and all(gateway.fingerprint == step.fingerprint for gateway in gateways):
        way.put_out(None)
        return let_go(way, step) if not away else Ended(3, "waiting", (*away, "what is held stays held"))
    lines, faults = _hold(way, gateways, step)
    lines += list(_changes(standings, step))
    away += faults
    try:
        _put(way, step, standings, stopped)
    except GatewayError as error:
        told = f"the file was not written; what is held stays held. Mend that, {_SAME}"
        return Ended(error.exit_code, "held", (*lines, *away, str(error), told), _more(step, gateways))
    if way.output is not None:
        told = f"{way.output}: written; put it in force, and give the same command again to let go of what is held"
        return Ended(3 if away else 0, "made", (*lines, *away, told), _more(step, gateways))
    waiting = way.settle(step, gateways)
    if waiting or away:
        told = f"what is held stays held, until every gateway has {step.name} in force. Mend that, {_SAME}"
        return Ended(
            3, "waiting", (*lines, *waiting.values(), *away, told), {**_more(step, gateways), "waiting": waiting}
        )
    ended = let_go(way, step)
    return Ended(ended.code, ended.result, (*lines, *ended.lines), {**_more(step, gateways), **ended.more})


def let_go(way: Way, step: Step) -> Ended:
    """Let go of what ways back to this step, or to one above it, have held; only when all gateways are at it."""
    gateways, errors = way.fleet.look()
    late = [f"{g.address}: has {g.fingerprint} in force" for g in gateways if g.fingerprint != step.fingerprint]
    if errors or late:
        told = f"what is held stays held: not every gateway has {step.name} in force. Mend that, {_SAME}"
        return Ended(3, "waiting", (*map(str, errors.values()), *late, told))
    ours = {gateway.address: dict(_ours(way, gateway, step)) for gateway in gateways}
    ours = {address: held for address, held in ours.items() if held}
    errors = way.fleet.let_go(ours)
    if errors:
        told = f"{step.name} is in force, but not all that was held was let go of; give the same command again"
        return Ended(3, "waiting", (*map(str, errors.values()), told))
    _log.info("step is in force", extra={"step": step.name, "config": step.fingerprint, "letGo": ours})
    others = [
        f"{gateway.address}: {pattern} is still held at {hold.mode} by {hold.by}: {hold.reason}"
        for gateway in gateways
        for pattern, hold in gateway.held.items()
        if pattern not in ours.get(gateway.address, {})
    ]
    told = f"{step.name} is in force on {'the gateway' if len(gateways) == 1 else f'all {len(gateways)} gateways'}"
    return Ended(0, "taken", (told, *others), {"letGo": ours})


def _hold(way: Way, gateways: list[Standing], step: Step) -> tuple[list[str], list[str]]:
    """Hold what falls with the step at warn, everywhere at once; returns what to tell, and what stood in the way."""
    wanted = {gateway.address: gateway.refusing(gateway.falling(step)) for gateway in gateways}
    wanted = {address: patterns for address, patterns in wanted.items() if patterns}
    answers, errors = way.fleet.hold(wanted, reason_for(step))
    lines = []
    for address, stored in answers.items():
        _log.warning("endpoints are held", extra={"gateway": address, "endpoints": list(stored), "step": step.name})
        unsaved = "" if all(stored.values()) else "; in force, but not stored yet: a restart now would forget it"
        lines.append(f"{address}: held at warn: {', '.join(stored)}{unsaved}")
    return lines, [f"{error} (not held: {', '.join(wanted[address])})" for address, error in errors.items()]


def _changes(standings: Standings, step: Step) -> Iterator[str]:
    yield f"back to {step.name}; {standings.told()}"
    yield from dict.fromkeys(
        line for place in standings.places for line in making.summary(place.gateway.enforcement, step.rules)
    )


def _put(way: Way, step: Step, standings: Standings, stopped: str | None) -> None:
    """Put the step's file where it belongs. Raises GatewayError."""
    text = way.file_of(step, note_in_force(standings), forced=None, stopped=stopped)
    if way.output is not None:
        way.put_out(text)
        return
    with _patiently(way):
        on_disk = way.on_disk()
        if on_disk is None or on_disk.fingerprint != step.fingerprint:
            replacing.replace(way.target, text)
            _log.info("step is written", extra={"step": step.name, "config": step.fingerprint, "file": str(way.target)})


@contextmanager
def _patiently(way: Way) -> Iterator[None]:
    """Hold the file's lock; who has it may be waiting for gateways. Raises RefusedError when that takes too long."""
    deadline = time.monotonic() + way.timeout
    while True:
        lock = way.locked()
        try:
            lock.__enter__()
            break
        except RefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_SECONDS)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _ours(way: Way, gateway: Standing, step: Step) -> Iterator[tuple[str, str]]:
    for pattern, hold in gateway.held.items():
        target = None if hold.target is None else way.plan.at(hold.target)
        if target is not None and target.number >= step.number:
            yield pattern, hold.reason


def _more(step: Step, gateways: list[Standing]) -> Mapping[str, object]:
    return {"step": step.name, "config": step.fingerprint, "gateways": [gateway.address for gateway in gateways]}
