"""The gateways that a rollout moves: what they have in force, and letting all of them do one thing at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.commands.asking import who
from gateway.errors import ConfigurationError, GatewayError, UnreachableError
from gateway.promotion.moves import Standing
from gateway.server.client import fetch_status, send_mode, send_reload

QUICK_SECONDS = 1.5  # for one that lives: holds are to be in force on the others within two seconds
_POLL_SECONDS = 0.2
_Answers = dict[str, Any]
_Errors = dict[str, GatewayError]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All gateways of a rollout, by the addresses of their admin ports."""

    addresses: tuple[str, ...]
    token: str | None

    def look(self, seconds: float = 10) -> tuple[list[Standing], _Errors]:
        """Return what each has in force, and why others gave no answer."""
        answers, errors = self._all(lambda address: self._standing(address, seconds))
        return list(answers.values()), errors

    def rehearse(self, gateways: Iterable[Standing]) -> _Errors:
        """Return why gateways would not follow a changing call; nothing is changed."""
        patterns = {gateway.address: next(iter(gateway.enforcement), "/") for gateway in gateways}

        async def ask(address: str) -> Any:
            change = {"endpoint": patterns[address], "mode": None, "by": who(), "rehearse": True}
            return await send_mode(address, self.token, change)

        return self._all(ask, patterns)[1]

    def hold(self, wanted: Mapping[str, Iterable[str]], reason: str) -> tuple[_Answers, _Errors]:
        """Hold endpoints of gateways at warn, all at the same time, where nothing holds them.

        Returns by address which of them are not refusing any more, and why others may be.
        """

        async def one(address: str) -> dict[str, Any]:
            change = {"mode": "warn", "reason": reason, "by": who(), "ifFree": True}
            asked = [
                send_mode(address, self.token, {"endpoint": pattern, **change}, QUICK_SECONDS)
                for pattern in wanted[address]
            ]
            answers = await asyncio.gather(*asked, return_exceptions=True)  # each is tried, whatever others gave
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            return {answer["endpoint"]: answer["stored"] for answer in answers if not isinstance(answer, BaseException)}

        return self._all(one, wanted)

    def let_go(self, held: Mapping[str, Mapping[str, str]]) -> _Errors:
        """Let go of endpoints that a person holds for the reason that is named, and of no others."""

        async def one(address: str) -> None:
            for pattern, reason in held[address].items():
                change = {"endpoint": pattern, "mode": None, "by": who(), "ifReason": reason}
                await send_mode(address, self.token, change)

        return self._all(one, held)[1]

    def settle(
        self, fingerprint: str, addresses: Iterable[str], timeout: float, tell: Callable[[str], None]
    ) -> dict[str, str]:
        """Let gateways read their file again, and wait until each has that configuration in force.

        Returns, when the time is over, what the others say instead.
        """
        return asyncio.run(self._settle(fingerprint, tuple(addresses), time.monotonic() + timeout, tell))

    async def _settle(
        self, fingerprint: str, addresses: tuple[str, ...], deadline: float, tell: Callable[[str], None]
    ) -> dict[str, str]:
        answers, errors = await self._gather(lambda one: send_reload(one, self.token), addresses)
        waiting = {address: str(error) for address, error in errors.items()}
        for address, document in answers.items():
            if document["config"]["fingerprint"] != fingerprint:
                waiting[address] = _not_yet(address, document)
        told = len(waiting)
        while waiting and time.monotonic() < deadline:
            if len(waiting) != told:
                told = len(waiting)
                tell(f"{len(addresses) - told} of {len(addresses)} gateways have it in force")
            await asyncio.sleep(_POLL_SECONDS)
            answers, errors = await self._gather(lambda one: fetch_status(one, self.token), tuple(waiting))
            waiting = {address: str(error) for address, error in errors.items()} | {
                address: _not_yet(address, document)
                for address, document in answers.items()
                if document["config"]["fingerprint"] != fingerprint
            }
        return waiting

    async def _standing(self, address: str, seconds: float) -> Standing:
        try:
            return Standing.of(address, await fetch_status(address, self.token, seconds))
        except (KeyError, TypeError, ValueError, AttributeError, ConfigurationError) as error:
            raise UnreachableError(f"{address}: is no gateway of this version; name it with --admin") from error

    def _all(
        self, call: Callable[[str], Awaitable[Any]], addresses: Iterable[str] | None = None
    ) -> tuple[_Answers, _Errors]:
        return asyncio.run(self._gather(call, tuple(self.addresses if addresses is None else addresses)))

    async def _gather(
        self, call: Callable[[str], Awaitable[Any]], addresses: tuple[str, ...]
    ) -> tuple[_Answers, _Errors]:
        found = await asyncio.gather(*(call(address) for address in addresses), return_exceptions=True)
        answers, errors = {}, {}
        for address, answer in zip(addresses, found, strict=True):
            if isinstance(answer, GatewayError):
                errors[address] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers[address] = answer
        return answers, errors


def _not_yet(address: str, document: Mapping[str, Any]) -> str:
    config, last = document["config"], document["lastReload"]
    if last["errors"]:
        return f"{address}: {'; '.join(last['errors'])}"
    return f"{address}: has configuration {config['fingerprint']} in force, from {config['source']}"
