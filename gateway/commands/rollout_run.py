"""`rollout run`: step by step while the gate is ready, back when a named alert fires, and to a person otherwise.

What it did is in the log. After it has gone back it goes forward no more until a person has taken a step: the note in
the file says so, which can only keep it from a step, never lead to one.
"""

import logging
import time
from dataclasses import dataclass
from enum import Enum, auto

from gateway.commands.rollout_back import retreat
from gateway.commands.rollout_forward import advance
from gateway.commands.rollout_way import Ended, Way, note_in_force
from gateway.errors import GatewayError, UnreachableError
from gateway.promotion.gates import Answer, Readiness
from gateway.promotion.moves import Standings, targets

_log = logging.getLogger("gateway.rollout")


class _Look(Enum):
    """What one look came to."""

    TAKEN = auto()
    WAIT = auto()


@dataclass(frozen=True, slots=True)
class Runner:
    """Takes the steps of a way, looking every `interval` seconds."""

    way: Way
    interval: float

    def run(self, *, once: bool) -> int:
        """Go on until the end of the plan, or until a person has to look; returns the exit code."""
        while True:
            try:
                found = self._look()
            except UnreachableError as error:
                _log.warning("the figures cannot be had", extra={"error": str(error)})
                found = 3 if once else _Look.WAIT
            if found is _Look.WAIT and once:
                self._nothing()
            if isinstance(found, int):
                return found
            if once:
                return 0
            if found is _Look.WAIT:
                time.sleep(self.interval)

    def _look(self) -> _Look | int:
        """Look once, and do what there is to do; returns an exit code when that was the last. Raises GatewayError."""
        gateways, errors = self.way.fleet.look()
        if errors:
            raise UnreachableError("; ".join(map(str, errors.values())))
        standings = self.way.standings(gateways)
        only = standings.only
        if only is not None and only.gateway.fingerprint in targets(standings):
            return self._done(retreat(self.way))  # an earlier way back has not come to its end
        if only is None:
            return self._mixed(standings)
        if only.step is not None and not only.changed and self.way.plan.after(only.step) is None:
            _log.info("the last step of the plan is in force", extra={"step": only.step.name})
            self._nothing()
            return 0
        stopped = (note_in_force(standings) or {}).get("stopped")
        if stopped is not None:
            _log.error("went back, and waits for a person: stage-gateway rollout next", extra={"because": stopped})
            self._nothing()
            return 1
        return self._by_figures()

    def _by_figures(self) -> _Look | int:
        position, readiness = self.way.ask()
        _log.info("looked", extra={"answer": readiness.answer, "about": position.told, "figures": _told(readiness)})
        alerts = _firing(readiness)
        if alerts is not None:
            _log.error("an alert fires: going back", extra={"alerts": alerts})
            ended = self._say(retreat(self.way, f"alerts fire: {alerts}"))
            made = ended.code == 0 and self.way.output is not None  # which is to be put in force; the next look says no
            return _Look.TAKEN if made else max(1, ended.code)
        if readiness.answer is Answer.INSUFFICIENT_DATA:
            return _Look.WAIT
        if readiness.answer is Answer.NOT_READY:
            _log.error("not ready: a person has to look", extra={"figures": _told(readiness)})
            self._nothing()
            return 1
        ended = advance(self.way)
        asked_again = ended.measured is not None and ended.measured[1].answer is Answer.INSUFFICIENT_DATA
        return _Look.WAIT if ended.result == "refused" and asked_again else self._done(ended)

    def _mixed(self, standings: Standings) -> _Look | int:
        _log.info("gateways have several configurations in force", extra={"where": standings.told()})
        return self._done(advance(self.way)) if self.way.writes else _Look.WAIT

    def _done(self, ended: Ended) -> _Look | int:
        return _Look.TAKEN if self._say(ended).code == 0 else ended.code

    def _say(self, ended: Ended) -> Ended:
        level = logging.INFO if ended.code == 0 else logging.ERROR
        _log.log(level, ended.result, extra={"lines": list(ended.lines), "step": ended.more.get("step")})
        return ended

    def _nothing(self) -> None:
        """Leave a patch that changes nothing, where a patch is what is looked for."""
        if self.way.config_map is not None:
            try:
                self.way.put_out(None)
            except GatewayError as error:
                _log.error("%s", error)


def _firing(readiness: Readiness) -> str | None:
    """Return the named alerts that fire, None when none does."""
    found = [one.value for one in readiness.findings if one.figure == "alerts" and one.answer is Answer.NOT_READY]
    return found[0] if found else None


def _told(readiness: Readiness) -> list[str]:
    """Return what keeps a gate from being ready."""
    figures = [
        f"{one.figure} {one.endpoint or ''}: {one.value}, {one.threshold}: {one.answer} {one.why}".strip()
        for one in readiness.findings
        if one.answer not in {None, Answer.READY}
    ]
    return [*figures, *readiness.doubts]
