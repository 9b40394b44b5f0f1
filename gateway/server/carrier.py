"""What carries the requests, as the process around it sees it: this process itself, or its workers."""

import gc
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from aiohttp import web

from gateway.proxy.handler import Handler
from gateway.proxy.service import Service
from gateway.proxy.shares import Shares
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.server.protocol import Server
from gateway.telemetry.metrics import Metrics

BACKLOG = 1024
_YOUNG_CONTAINERS = 20_000


class Carrier(Protocol):
    """Carries requests under the rules and modes that were applied last."""

    @property
    def in_flight(self) -> int:
        """How many requests are being carried."""

    @property
    def is_busy(self) -> bool:
        """Whether anything is still under way, once no more is accepted."""

    def describe(self) -> dict[str, int]:
        """Return how many processes are wanted, how many serve, and how often one was started again."""

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Let every request from now on be carried under these. Raises what keeps them from being applied."""

    async def settle(self) -> None:
        """Wait until what was applied is in force, and what was counted is in the metrics."""

    async def start(self, listener: socket.socket) -> None:
        """Accept connections."""

    def drain(self) -> None:
        """Make every response the last on its connection."""

    async def stop_accepting(self) -> None:
        """Close the listener, and let what is under way come to its end."""

    async def close(self) -> None:
        """End at once what is still under way."""


class InProcess:
    """Carries requests in this process."""

    def __init__(self, rules: Rules, metrics: Metrics, shares: Shares | None = None) -> None:
        shares = shares or Shares()
        self._metrics = metrics
        self._handler = Handler(Service.of(rules, metrics), metrics, shares.held)
        self.server = Server(self._handler, shares.connections)
        self._runner = web.ServerRunner(self.server, shutdown_timeout=1)
        self._site: web.SockSite | None = None

    @property
    def service(self) -> Service:
        """What a request that begins now gets."""
        return self._handler.service

    @property
    def in_flight(self) -> int:
        """How many requests are being carried."""
        return self._handler.in_flight

    @property
    def is_busy(self) -> bool:
        """Whether a request is being carried, or a response not on its way yet."""
        return self._handler.in_flight > 0 or self.server.has_unsent

    def describe(self) -> dict[str, int]:
        """Return how many processes are wanted, how many serve, and how often one was started again."""
        return {"wanted": 1, "serving": 1, "restarts": 0}

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Let every request from now on be carried under these."""
        old = self._handler.service
        service = old if rules is old.rules else Service.of(rules, self._metrics, old)
        self._handler.service = replace(service, modes=modes)

    async def settle(self) -> None:
        """Everything is in force and counted at once here."""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Accept connections; without a listener, those that are handed to `server`."""
        await self._runner.setup()
        if listener is not None:
            self._site = web.SockSite(self._runner, listener, backlog=BACKLOG)
            await self._site.start()
        _settle_garbage_collector()

    def drain(self) -> None:
        """Make every response the last on its connection."""
        self._handler.draining = True

    async def stop_accepting(self) -> None:
        """Close the listener."""
        if self._site is not None:
            await self._site.stop()

    async def close(self) -> None:
        """End at once what is still under way."""
        self._handler.service.close()
        await self._runner.cleanup()


def _settle_garbage_collector() -> None:
    """Leave what stays for good out of every collection, and collect young cycles less often.

    Requests make few cycles; parsed documents make thousands of containers that die by themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_CONTAINERS, 20, 50)
