"""Puts the process together: two ports, signals, and the way out.

On SIGTERM: not ready at once; for a moment still accepting, every response the last on its connection, so that
whoever balances the load can turn away; then the listener closes and what is under way gets `drainSeconds`.
A second SIGTERM ends the wait.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
from collections.abc import Callable

from aiohttp import web

from gateway import __version__
from gateway.errors import GatewayError
from gateway.proxy.handler import Handler
from gateway.proxy.service import Service
from gateway.rules.load import Rules, warnings
from gateway.server.admin import Admin
from gateway.server.control import Control
from gateway.server.keeper import Keeper
from gateway.server.protocol import Server
from gateway.server.reload import Reloader
from gateway.server.steering import Steering
from gateway.server.store import store_of
from gateway.server.token import ensure_token
from gateway.settings import PREFIX, Settings
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger("gateway.server")
_BACKLOG = 1024
_YOUNG_CONTAINERS = 20_000
_STILL_ACCEPTING_SHARE = 1 / 6  # of drainSeconds: 5 s of the default 30


class App:
    """One gateway process. `rules` are those that `settings.config` held at the start."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._interrupted = False
        metrics = Metrics()
        self._handler = Handler(Service.of(rules, metrics), metrics)
        steering = Steering(self._handler, metrics)
        self._keeper = Keeper(steering.overrides, store_of(settings))
        steering.put_in_force(self._handler.service)
        self._reloader = Reloader(settings.config, settings.dry_run, steering, metrics)
        control = Control(steering, self._keeper)
        self._admin = Admin(self._handler, self._reloader, control, metrics, ensure_token(settings))
        self._server = Server(self._handler)
        for warning in warnings(rules, dry_run=settings.dry_run):
            _log.warning("%s", warning)

    async def run(self, ready: Callable[[int, int], None] | None = None) -> None:
        """Serve until told to stop, then drain. `ready` is called with the two ports once both listen.

        Raises KeyboardInterrupt after the drain when it was SIGINT that ended it.
        """
        settings = self._settings
        public = _listen(settings.host, settings.port, "PORT")
        admin = _listen(settings.admin_host, settings.admin_port, "ADMIN_PORT")
        proxy_runner = web.ServerRunner(self._server, shutdown_timeout=1)
        admin_runner = web.AppRunner(self._admin.application(), access_log=None, shutdown_timeout=1)
        for runner in (proxy_runner, admin_runner):
            await runner.setup()
        await self._keeper.begin()
        proxy_site = web.SockSite(proxy_runner, public, backlog=_BACKLOG)
        await proxy_site.start()
        await web.SockSite(admin_runner, admin).start()
        self._catch_signals()
        watching = asyncio.create_task(self._reloader.watch()) if settings.watch_config else None
        ports = (public.getsockname()[1], admin.getsockname()[1])
        rules = self._handler.service.rules
        _log.info(
            "serving",
            extra={
                "version": __version__,
                "port": ports[0],
                "adminPort": ports[1],
                "config": rules.fingerprint,
                "vocabulary": rules.policy.vocabulary.fingerprint,
            },
        )
        _settle_garbage_collector()
        if ready is not None:
            ready(*ports)
        try:
            await self._stop.wait()
            await self._drain(proxy_site)
        finally:
            if watching is not None:
                watching.cancel()
            self._handler.service.close()
            await self._keeper.close()
            await proxy_runner.cleanup()
            await admin_runner.cleanup()
        if self._interrupted:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Begin to drain; a second call ends the wait."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reloader.reload)
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _interrupt(self) -> None:
        self._interrupted = True
        self.stop()

    async def _drain(self, site: web.SockSite) -> None:
        seconds = self._handler.service.rules.limits.drain_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        _log.info("draining", extra={"seconds": seconds, "inFlight": self._handler.in_flight})
        self._handler.draining = True
        await self._pause(seconds * _STILL_ACCEPTING_SHARE)
        await site.stop()
        while self._busy() and asyncio.get_running_loop().time() < deadline:
            if self._hurry.is_set():
                break
            await self._pause(0.02)
        _log.info("stopped", extra={"inFlight": self._handler.in_flight})

    def _busy(self) -> bool:
        return self._handler.in_flight > 0 or self._server.has_unsent

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)


def _settle_garbage_collector() -> None:
    """Leave what stays for good out of every collection, and collect young cycles less often.

    Requests make few cycles; parsed documents make thousands of containers that die by themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_CONTAINERS, 20, 50)


def _listen(host: str, port: int, variable: str) -> socket.socket:
    """Return a listening socket. Raises GatewayError that names the address and the variable to change."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on: {error}"
        cure = f"stop the other process or set {PREFIX}{variable}"
        raise GatewayError(f"{host}:{port} {what}; {cure}") from error
    listener.setblocking(False)
    return listener
