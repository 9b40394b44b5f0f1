"""The connections to one upstream, kept for a while between requests."""

import asyncio
import time
from collections import deque

from gateway.errors import cause_of
from gateway.proxy.connection import Connection
from gateway.proxy.failures import UpstreamRefusedError, UpstreamTimeoutError
from gateway.rules.load import Upstream

IDLE_SECONDS = 3.0  # Node closes idle connections after 5 s; a request must not meet that moment


class Pool:
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream, connect_timeout: float) -> None:
        self.upstream = upstream
        host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
        self.authority = f"{host}:{upstream.port}".encode("ascii", "replace")
        self.connect_timeout = connect_timeout
        self._idle: deque[Connection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._retired = False

    async def acquire(self, *, fresh: bool = False) -> tuple[Connection, bool]:
        """Return an open connection and whether it is a used one. Raises UpstreamError.

        `fresh` asks for a new one.
        """
        if not fresh and self.has_idle:
            return self.take(), True
        return await self._connect(), False

    @property
    def has_idle(self) -> bool:
        """Whether a used connection can be taken; those that cannot be used any more are let go of."""
        now = time.monotonic()
        while self._idle:
            if self._idle[-1].usable and now - self._idle[-1].idle_since < IDLE_SECONDS:
                return True
            self._idle.pop().abort()
        return False

    def take(self) -> Connection:
        """Return a used connection where `has_idle` says that there is one."""
        return self._idle.pop()

    async def _connect(self) -> Connection:
        """Return a new connection.

        It is ours before it is made: whatever ends the wait, also at the moment in which it is made, ends it too.
        """
        upstream, loop = self.upstream, asyncio.get_running_loop()
        connection = Connection()
        try:
            async with asyncio.timeout(self.connect_timeout):
                await loop.create_connection(
                    lambda: connection,
                    upstream.host,
                    upstream.port,
                    ssl=upstream.tls,
                    server_hostname=upstream.host if upstream.tls else None,
                )
        except TimeoutError as error:
            connection.abort()
            message = f"no connection to upstream {upstream.name!r} within {self.connect_timeout:g} s"
            raise UpstreamTimeoutError(message) from error
        except OSError as error:
            connection.abort()
            raise UpstreamRefusedError(f"no connection to upstream '{upstream.name}': {cause_of(error)}") from error
        except BaseException:
            connection.abort()
            raise
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back after its exchange; it is kept only when it can carry another one."""
        if not connection.finish():
            return
        if self._retired:
            connection.abort()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def retire(self) -> None:
        """Close what is idle, and from now on whatever comes back."""
        self._retired = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._idle:
            self._idle.pop().abort()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and time.monotonic() - self._idle[0].idle_since >= IDLE_SECONDS:
            self._idle.popleft().abort()
        self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep) if self._idle else None
