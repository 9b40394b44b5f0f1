"""Requests carried in this process."""

import asyncio
import gc
import socket
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from gateway.proxy.handler import Handler
from gateway.proxy.recorder import Recorder
from gateway.proxy.service import Service
from gateway.proxy.shared_counters import SharedCounters
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.server.protocol import Server
from gateway.server.request_server import BACKLOG
from gateway.telemetry.metrics import Metrics

_YOUNG_CONTAINERS = 20_000
_LARGEST_IN_HEAP = 4 * 1024 * 1024


class InProcessServer:
    """The request server that is this process; as a worker it is handed connections that another one accepted."""

    def __init__(
        self,
        rules: Rules,
        metrics: Metrics,
        counters: SharedCounters | None = None,
        *,
        has_lane: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        counters = counters or SharedCounters()
        self._metrics = metrics
        self._handler = Handler(Service.of(rules, metrics), metrics, counters.held, recorder)
        self.server = Server(self._handler, counters.connections, has_lane=has_lane)
        self._runner = web.ServerRunner(self.server, shutdown_timeout=1)
        self._site: web.SockSite | None = None

    @property
    def service(self) -> Service:
        """What a request that begins now gets."""
        return self._handler.service

    @property
    def in_flight(self) -> int:
        """How many requests its handler has."""
        return self._handler.in_flight

    @property
    def is_busy(self) -> bool:
        """Whether its handler has a request, or a response is not on its way yet."""
        return self._handler.in_flight > 0 or self.server.has_unsent

    def describe(self) -> dict[str, int]:
        """Say that one process was wanted, and is there."""
        return {"wanted": 1, "serving": 1, "restarts": 0}

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Give the handler another service, in which what did not change is kept."""
        old = self._handler.service
        service = old if rules is old.rules else Service.of(rules, self._metrics, old)
        self._handler.service = replace(service, modes=modes)

    async def settle(self) -> None:
        """Wait for nothing: all is in force and counted at once here."""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Accept connections; without a listener, only those that `take` is given."""
        await self._runner.setup()
        if listener is not None:
            self._site = web.SockSite(self._runner, listener, backlog=BACKLOG)
            await self._site.start()
        _settle_garbage_collector()
        _settle_heap()

    async def take(self, connection: socket.socket) -> None:
        """Carry what comes over a connection that another process accepted."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self.server, connection)
        except OSError:  # the client is gone
            connection.close()

    def drain(self) -> None:
        """Let the handler say so in every response from now on."""
        self._handler.draining = True

    async def stop_accepting(self) -> None:
        """Close the listener, where there is one."""
        if self._site is not None:
            await self._site.stop()

    async def close(self) -> None:
        """Close the connections to clients and upstreams."""
        self._handler.service.close()
        await self._runner.cleanup()
        if self._handler.recorder is not None:
            self._handler.recorder.finish()


def _settle_garbage_collector() -> None:
    """Leave what stays for good out of every collection, and collect young cycles less often.

    Requests make few cycles; parsed documents make thousands of containers that die by themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_CONTAINERS, 20, 50)


def _settle_heap() -> None:
    """Keep up to 8 MiB of the heap for the chunks of the next bodies, where the C library is glibc.

    It gives the end of the heap back where that is twice as long as the longest mapping that was freed (mallopt(3),
    M_MMAP_THRESHOLD), so nearly after each long body, and the system clears every page of it for the next.
    """
    bytes(_LARGEST_IN_HEAP)
