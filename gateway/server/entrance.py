"""The admin port's connections: each is served within bounds, or ended.

A request's head has to be whole in time, its body too, and its answer has to be taken; what cannot be parsed gets an
answer that echoes nothing. Whoever may ask nothing here cannot use up what answers those who may.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from gateway.proxy.parser import parser_settings, refused_head
from gateway.server.open_connection import OpenConnection

HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later head
BODY_SECONDS = 10.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 75.0
_LINGER_SECONDS = 1.0
_MAX_HEAD_BYTES = 8192

_log = logging.getLogger("gateway.admin")


def answer_json(document: dict[str, Any], status: int = 200, content_type: str = "application/json") -> web.Response:
    """Return a document as a response."""
    return web.Response(body=orjson.dumps(document), status=status, content_type=content_type)


def problem(status: int, detail: str) -> web.Response:
    """Return a problem document (RFC 9457) as a response."""
    title = HTTPStatus(status).phrase
    return answer_json({"title": title, "status": status, "detail": detail}, status, "application/problem+json")


async def read_body(request: web.BaseRequest) -> bytes:
    """Return the body of a request, asking for it where the client waits for that. Raises TimeoutError.

    Raises HTTPRequestEntityTooLarge past the bound of aiohttp's requests, 1 MiB.
    """
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    async with asyncio.timeout(BODY_SECONDS):
        return await request.read()


class AdminConnection(OpenConnection):
    """One connection to the admin port."""

    def __init__(self, server: "AdminServer", **settings: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False  # whether bytes of a head have come that is not whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give bytes to the parser."""
        super().data_received(data)
        if self.unhandled or self.is_handling:
            self._stop()
        elif not self._begun:
            self._begun = True
            self._wait(HEAD_SECONDS)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, to a client that takes it."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.force_close()
            return resp, True
        finally:
            self._begun = False
            self._wait(IDLE_SECONDS)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; the message holds the client's bytes
    ) -> web.StreamResponse:
        """Return the answer to what could not be parsed, or to a fault of ours; it ends the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is out already")
        if status == 400:
            refused = refused_head(exc, self.max_line_size)
            answer = problem(refused.status, refused.detail)
        else:
            _log.error("a call failed", exc_info=exc)
            answer = problem(500, "the gateway failed; its log says why")
        answer.force_close()
        return answer

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.force_close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AdminServer(web.Server):
    """Makes an `AdminConnection` for every client; `handler` answers its requests."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(handler)

    def __call__(self) -> AdminConnection:
        """Return the protocol of a new connection."""
        return AdminConnection(
            self,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            **parser_settings(_MAX_HEAD_BYTES),
        )
