"""Puts the process together: two ports, signals, and the way out.

On SIGTERM: not ready at once; for a moment still accepting, every response the last on its connection, so that
whoever balances the load can turn away; then the listener closes and what is under way gets `drainSeconds`.
A second SIGTERM ends the wait.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable

from aiohttp import web

from gateway import __version__
from gateway.errors import GatewayError, cause_of
from gateway.proxy.recorder import Recorder
from gateway.rules.load import Rules, warnings
from gateway.server.active_configuration import ActiveConfiguration, Steps
from gateway.server.admin import Admin
from gateway.server.entrance import AdminServer
from gateway.server.in_process_server import InProcessServer
from gateway.server.override_service import OverrideService
from gateway.server.override_sync import OverrideSync
from gateway.server.record_file import RecordFile, Recording, RecordingOptions
from gateway.server.reload import Reloader
from gateway.server.request_server import BACKLOG, RequestServer
from gateway.server.store import store_of
from gateway.server.token import ensure_token
from gateway.server.worker_pool import WorkerPool
from gateway.settings import PREFIX, Settings, unread_variables
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger("gateway.server")
_STILL_ACCEPTING_SHARE = 1 / 6  # of drainSeconds: 5 s of the default 30


class App:
    """One gateway process. `rules` are those that `settings.config` held at the start.

    `record` is where and how much of the requests is recorded, None for not at all; `steps` reads the plan, None where
    there is none to be followed. Raises GatewayError.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        record: RecordingOptions | None = None,
        steps: Callable[[], Steps] | None = None,
    ) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._interrupted = False
        metrics = Metrics()
        self._recording: Recording | None = None
        if record is not None:
            self._recording = Recording(RecordFile(record.file, record.total_bytes, metrics), record.per_second)
        self.request_server = _request_server(settings, rules, metrics, self._recording)
        self._active = active = ActiveConfiguration(self.request_server, rules, metrics)
        self._sync = OverrideSync(active.overrides, store_of(settings))
        self._reloader = Reloader(settings.config, settings.dry_run, active, metrics, steps)
        overrides = OverrideService(active, self._sync)
        token = ensure_token(settings)
        self._admin = Admin(self.request_server, active, self._reloader, overrides, metrics, token, settings.admin_host)
        for warning in (*warnings(rules, dry_run=settings.dry_run), *unread_variables(os.environ)):
            _log.warning("%s", warning)

    async def run(self, ready: Callable[[int, int], None] | None = None) -> None:
        """Serve until told to stop, then drain. `ready` is called with the two ports once both listen.

        Raises KeyboardInterrupt after the drain when it was SIGINT that ended it.
        """
        settings = self._settings
        public = _listen(settings.host, settings.port, "PORT")
        admin = _listen(settings.admin_host, settings.admin_port, "ADMIN_PORT")
        admin_runner = web.ServerRunner(AdminServer(self._admin.answer), shutdown_timeout=1)
        await admin_runner.setup()
        await self._sync.begin()
        # Workers take seconds to start; SIGTERM may end us meanwhile, SIGHUP may not.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reloader.reload)
        await self.request_server.start(public)
        await web.SockSite(admin_runner, admin).start()
        self._catch_signals()
        self._reloader.read_plan()
        watching = asyncio.create_task(self._reloader.watch()) if settings.watch_config else None
        ports = (public.getsockname()[1], admin.getsockname()[1])
        rules = self._active.rules
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
        if ready is not None:
            ready(*ports)
        try:
            await self._stop.wait()
            await self._drain()
        finally:
            if watching is not None:
                watching.cancel()
            await self._sync.close()
            await self.request_server.close()
            if self._recording is not None:
                await self._recording.file.close()
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
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _interrupt(self) -> None:
        self._interrupted = True
        self.stop()

    async def _drain(self) -> None:
        seconds = self._active.rules.limits.drain_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        _log.info("draining", extra={"seconds": seconds, "inFlight": self.request_server.in_flight})
        self._admin.draining = True
        self.request_server.drain()
        await self._pause(seconds * _STILL_ACCEPTING_SHARE)
        await self.request_server.stop_accepting()
        while self.request_server.is_busy and asyncio.get_running_loop().time() < deadline:
            if self._hurry.is_set():
                break
            await self._pause(0.02)
        _log.info("stopped", extra={"inFlight": self.request_server.in_flight})

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)


def _request_server(settings: Settings, rules: Rules, metrics: Metrics, recording: Recording | None) -> RequestServer:
    if settings.workers == 1:
        recorder = None if recording is None else Recorder(recording.per_second, recording.file.add, metrics)
        return InProcessServer(rules, metrics, has_lane=settings.lane, recorder=recorder)
    words = settings.log_level, settings.log_format
    return WorkerPool(settings.workers, rules, metrics, *words, has_lane=settings.lane, recording=recording)


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
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on: {cause_of(error)}"
        cure = f"stop the other process or set {PREFIX}{variable}"
        raise GatewayError(f"{host}:{port} {what}; {cure}") from error
    listener.setblocking(False)
    return listener
