"""The way back of the modes: what is stricter than `warn` on a running gateway is held at `warn` by a person."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.commands.steps import Outcome, Result
from gateway.errors import ConfigurationError, GatewayError, UnreachableError
from gateway.server.client import fetch_status, send_mode

_ANSWER_SECONDS = 2.0  # for one that lives; one that accepts and never answers takes no longer
_STORED_SECONDS = 5.0  # it is in force at once, and the answer comes when it is stored
_LASTING = frozenset({"person", "alert"})  # what is held for damaged state ends when that is mended


@dataclass(frozen=True, slots=True)
class Way:
    """How endpoints are held: with which token, or why there is none, by whom, and why."""

    token: str | None
    lacking: ConfigurationError | None
    by: str
    reason: str
    rehearse: bool = False

    async def take(self, address: str) -> Result:
        """Hold what is stricter than `warn` on one gateway, or see whether it could be. Raises GatewayError."""
        try:
            return await (self._rehearsed(address) if self.rehearse else self._held(address))
        except (KeyError, TypeError, AttributeError) as error:
            raise UnreachableError(f"{address}: is no gateway of this version; name it with --admin") from error

    async def _held(self, address: str) -> Result:
        before = await self._endpoints(address)
        strict, kept = _to_hold(before), _held_before(before)
        answers = await self._ask(address, strict)
        status = await fetch_status(address, self.token, _ANSWER_SECONDS)  # what is in force, whatever was answered
        enforced = [pattern for pattern, endpoint in status["endpoints"].items() if endpoint["mode"] == "enforce"]
        held = [pattern for pattern in strict if pattern not in enforced]
        answers = [answer for pattern, answer in zip(strict, answers, strict=True) if pattern in status["endpoints"]]
        errors = [str(answer) for answer in answers if isinstance(answer, BaseException)]
        stored, problem = not errors and all(answer["stored"] for answer in answers), status["overrides"]["error"]
        if stored and kept and not strict and problem is not None:  # held before, and maybe not stored then
            problem = await self._store_error(address, next(iter(kept)))
            stored = problem is None
        details = {"held": held, "kept": kept, "stored": stored}
        if enforced:
            why = errors[0] if errors else "the configuration was changed meanwhile; give the same command again"
            return Result(f"in enforce still: {', '.join(enforced)}: {why}", details, outcome=Outcome.FAILED)
        if not stored:
            why = problem or (errors[0] if errors else "the gateway's log says why")
            told = f"{_told(held, kept)}; not stored: {why}; a restart now would forget it; mend that, and ask again"
            return Result(told, details, outcome=Outcome.FAILED)
        return Result(_told(held, kept), details)

    async def _rehearsed(self, address: str) -> Result:
        endpoints = await self._endpoints(address)
        strict, kept = _to_hold(endpoints), _held_before(endpoints)
        if not endpoints:
            return Result("has no endpoints, there would be nothing to hold", {"held": [], "kept": {}})
        for pattern in strict or [next(iter(endpoints))]:  # the token is needed for any other day
            problem = await self._store_error(address, pattern)
            if problem is not None:
                raise UnreachableError(f"{address}: could be held, but not stored: {problem}; mend that")
        would = f"would hold at warn: {', '.join(strict)}" if strict else "there would be nothing to hold"
        return Result(f"{would}; token and store are good", {"held": strict, "kept": kept})

    async def _endpoints(self, address: str) -> dict[str, Any]:
        endpoints: dict[str, Any] = (await fetch_status(address, self.token, _ANSWER_SECONDS))["endpoints"]
        return endpoints

    async def _ask(self, address: str, patterns: Iterable[str]) -> list[Any]:
        """Hold them all at the same time, since each is in force before it is stored; returns answers and errors."""
        asked = [send_mode(address, self.token, self._change(one), _STORED_SECONDS) for one in self._allowed(patterns)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, GatewayError):
                raise answer
        return answers

    async def _store_error(self, address: str, pattern: str) -> str | None:
        [allowed] = self._allowed([pattern])
        change = {**self._change(allowed), "rehearse": True}
        found: str | None = (await send_mode(address, self.token, change, _STORED_SECONDS))["storeError"]
        return found

    def _allowed(self, patterns: Iterable[str]) -> list[str]:
        """Return them as they are, unless there are any and the token for it cannot be had."""
        found = list(patterns)
        if found and self.lacking is not None:
            raise self.lacking
        return found

    def _change(self, pattern: str) -> dict[str, Any]:
        return {"endpoint": pattern, "mode": "warn", "reason": self.reason, "by": self.by}


def _to_hold(endpoints: Mapping[str, Any]) -> list[str]:
    kept = _held_before(endpoints)
    return [one for one, endpoint in endpoints.items() if endpoint["configuredMode"] == "enforce" and one not in kept]


def _held_before(endpoints: Mapping[str, Any]) -> dict[str, Any]:
    return {
        pattern: endpoint["override"]
        for pattern, endpoint in endpoints.items()
        if endpoint["configuredMode"] == "enforce" and endpoint["override"] and _lasts(endpoint["override"])
    }


def _lasts(override: Mapping[str, Any]) -> bool:
    return not _LASTING.isdisjoint(override["sources"])


def _told(held: list[str], kept: Mapping[str, Any]) -> str:
    parts = [f"held at warn: {', '.join(held)}"] if held else []
    for pattern, override in kept.items():
        ends = override["until"] is not None and "alert" not in override["sources"]
        until = f" until {override['until']}, and in enforce then" if ends else ""
        parts.append(f"held before at {override['mode']} by {override['by']}{until}: {pattern}")
    return "; ".join(parts) or "no endpoint is stricter than warn"
