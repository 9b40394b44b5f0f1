"""aiohttp's low-level server, set up to carry bytes as they come, from clients that keep to the limits.

What aiohttp's parser refuses never reaches the handler, so its answer is made here: a problem document that
echoes nothing.

The parser bounds the size of a head, not the time it takes, and nothing there bounds the number of connections:
both are seen to here.
"""

import asyncio
import logging
from typing import Any, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, http_parser, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import GatewayError
from gateway.proxy.answers import AnswerError, gateway_failed
from gateway.proxy.client import ClientWriter
from gateway.proxy.handler import Answered, Handler
from gateway.proxy.lane import Lane
from gateway.proxy.parser import parser_settings, refused_head
from gateway.proxy.plain import END
from gateway.proxy.progress import end_in_time
from gateway.proxy.request import fresh_ids
from gateway.proxy.shared_counters import SharedCounter
from gateway.rules.model import Limits
from gateway.server.open_connection import OpenConnection

KEEP_ALIVE_SECONDS = 75.0
_SWEEP_SECONDS = 5.0
_NEVER_SECONDS = 10 * 365 * 86400.0  # aiohttp's own timer does not know of the express lane
LINGER_SECONDS = 2.0  # how long the rest of a refused body is read, so that the client gets to see its answer
_TURNED_AWAY_SECONDS = 1.0  # how long a connection too many may take to read its answer

_log = logging.getLogger("gateway.proxy")


class Connection(OpenConnection):
    """A client's connection: one too many, or one that takes too long over a head, is answered and closed."""

    def __init__(self, server: "Server", **settings: Any) -> None:
        self._event_loop = asyncio.get_running_loop()
        super().__init__(server, loop=self._event_loop, **settings)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._asked = False  # whether a first head was whole; only then is aiohttp sure to wait for the next
        self._begun = False  # whether bytes of a head have come that is not whole
        self._is_unsure = False  # whether the parser may hold such bytes, for all that can be told
        self._end = b""  # of what came
        self._last_body: StreamReader = EMPTY_PAYLOAD
        self._is_counted = False  # whether the last body has a length instead of chunks
        self._finished: StreamReader = EMPTY_PAYLOAD  # the body of the request that was answered last
        self._lane: Lane | None = None
        self._idle_since = self._event_loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head, if there is room for one more connection."""
        self.writer = ClientWriter(cast("asyncio.Transport", transport))
        super().connection_made(transport)
        if self._server.has_lane:
            self._lane = Lane(self._server.handler, self, self._receive, self._end_of_lane)
        self._server.open.add(1)
        if self._server.open.total > self._server.limits.max_connections:
            self._leave(AnswerError(503, "no_room", "no room for another connection right now"))
        else:
            self._expect_head()

    async def start(self) -> None:
        """Handle requests, and see to it that the connection ends then, also when the client takes nothing."""
        try:
            await super().start()
        finally:
            end_in_time(self.writer.transport, self._server.limits.upstream_timeout_seconds)

    def data_received(self, data: bytes) -> None:
        """Carry a plain request in the express lane, and whatever else on the general way."""
        lane = self._lane
        if lane is not None and not (self._begun or self._is_unsure) and (lane.is_busy or self._is_between_requests()):
            left = lane.take(data)
            if left is None:
                self._asked = True
                self._stop_timer()
                return
            data = left
        self._receive(data)

    def _is_between_requests(self) -> bool:
        """Whether the general way has no request, and waits for one, or is about to for the first."""
        return (self.awaits_request or not self._asked) and not self.unhandled and not self.is_closing

    def _end_of_lane(self, keeps_alive: bool, behind: bytes) -> None:
        """Go on behind a request that the lane has carried."""
        self.writer.begin()
        self._end = b""
        self._idle_since = self._event_loop.time()
        if not keeps_alive:
            self.force_close()
        elif behind:
            self.data_received(behind)

    def end_if_idle(self, now: float) -> None:
        """Close the connection where its client has asked nothing for too long."""
        is_idle = self._asked and not self._begun and self._is_between_requests()
        if is_idle and now - self._idle_since >= KEEP_ALIVE_SECONDS and not (self._lane and self._lane.is_busy):
            self.force_close()

    def _receive(self, data: bytes) -> None:
        """Give bytes to the parser; a head has to be whole `headerTimeoutSeconds` after its first byte.

        Behind a request that is being handled the time begins when that is done.
        """
        body, seen = self._last_body, self._last_body.total_bytes
        super().data_received(data)
        self._note_bodies()
        if not self._is_waiting():
            self._stop_timer()
            before = seen if self._last_body is body else None
            self._is_unsure = not self._ends_surely(data, before)
            self._begun = self._has_more(data, before)
            if not self.is_handling:
                self._expect_rest()  # aiohttp is just about to wait again
        elif not self._begun:
            self._begun = True
            self._expect_head()
        self._end = (self._end + data[-4:])[-4:]

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading; where nothing was held back, which is nearly always, nothing is parsed anew for it."""
        if self.holds_back or self._begun:
            super().resume_reading(resume_parser)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Let go of a broken body, and wait for the rest of a next head that began behind the request."""
        if self.has_switched or type(resp) is not Answered:
            finished = await super().finish_response(request, resp, start_time)
        else:
            finished = resp, False  # it is on the wire already
        self.writer.begin()
        self._idle_since = self._event_loop.time()
        self._finished = request.content
        if self._finished.exception() is not None:
            self._finished.feed_eof()  # aiohttp would read on, and log what it meets as a fault of ours
        self._expect_rest()
        return finished

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature
        """Take the client's end for its leaving, but in a tunnel, where only its sending has ended."""
        if self.tunnel is None:
            return False
        self.tunnel.feed_eof()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._server.open.add(-1)
        self.writer.lose()
        if self._lane is not None:
            self._lane.lose()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Hold responses back while the client does not take them."""
        self.writer.pause()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Let responses go on."""
        self.writer.resume()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - as above; the message holds the client's bytes
    ) -> Answered:
        """Return the answer to what could not be parsed, or to a fault of ours; it ends the connection."""
        if status == 400:
            error = refused_head(exc, self.max_line_size)
        else:
            _log.error("a request failed", exc_info=exc)
            error = gateway_failed()
        if self.writer.written > 0:
            raise ConnectionError("part of a response is out already")
        return _Refusal(error)

    def _note_bodies(self) -> None:
        """Break off the body in which the parser found an error; it only reports that as one more message."""
        self._asked = self._asked or bool(self.unhandled)
        for message, body in self.unhandled:
            if isinstance(message, RawRequestMessage):
                self._last_body = body
                self._is_counted = not message.chunked
            elif self._last_body.is_eof():
                continue
            elif self._last_body is self._finished:
                self._last_body.feed_eof()  # its request is answered; aiohttp reads the rest only to drop it
                self.close()
            else:
                self._last_body.set_exception(RequestPayloadError("the body is not framed as its head says"))

    def _has_more(self, data: bytes, seen: int | None) -> bool:
        """Whether bytes came behind the last request; the parser keeps them and does not tell.

        `seen` is how much of its body there was before `data`, None when its head came with `data`. A request ends
        in an empty line (RFC 9112, sections 2.1 and 7.1) or so many bytes of body after one.
        """
        body = self._last_body
        if not body.is_eof():
            return False
        if not data and seen is not None:
            return self._begun  # aiohttp goes on with what it had put off
        counted = body.total_bytes - (seen or 0) if self._is_counted else 0
        if seen is not None and counted:
            return counted < len(data)
        window = self._end + data
        return counted + 4 <= len(window) and not window.endswith(b"\r\n\r\n", 0, len(window) - counted)

    def _ends_surely(self, data: bytes, seen: int | None) -> bool:
        """Whether the last request certainly ends where `data` does, or is still to end; `seen` as in `_has_more`.

        A body may hold an empty line, so behind one that came with its head only the first can be trusted, where the
        parser held nothing before. In the lane, what comes next would be taken for a request of its own.
        """
        body = self._last_body
        if not body.is_eof():
            return True
        if not data and seen is not None:
            return not self._is_unsure
        counted = body.total_bytes - (seen or 0) if self._is_counted else 0
        if seen is not None and counted:
            return counted == len(data)
        begun = self._end + data if self._begun else data
        return begun.find(END) + len(END) + counted == len(begun) if counted else (self._end + data).endswith(END)

    def _is_waiting(self) -> bool:
        """Whether no request is being handled and no head is complete."""
        return not self._asked or self.awaits_request

    def _expect_head(self) -> None:
        self._stop_timer()
        seconds = self._server.limits.header_timeout_seconds
        self._head_timer = self._event_loop.call_later(seconds, self._give_up_on_head)

    def _expect_rest(self) -> None:
        if self._begun and not self.unhandled:
            self._expect_head()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_on_head(self) -> None:
        self._head_timer = None
        if not self._is_waiting():
            return
        if self._begun:
            self._leave(AnswerError(408, "request_timeout", "the request head came too slowly"))
        else:
            self.force_close()  # nothing was asked, so there is nothing to answer

    def _leave(self, error: AnswerError) -> None:
        """Answer whatever comes, and close once the client had time to read that."""
        if self.transport is not None:
            self.transport.write(_Refusal(error).bytes)
            self.transport.write_eof()
        self.close()
        self._event_loop.call_later(_TURNED_AWAY_SECONDS, self.force_close)


class _Refusal(Answered):
    """Writes itself when aiohttp prepares it: no handler did. It is the last on its connection."""

    def __init__(self, error: AnswerError) -> None:
        super().__init__(keep_alive=False)
        identity = next(fresh_ids())
        self.bytes = error.answer(identity).as_last(identity)

    async def prepare(self, request: web.BaseRequest) -> None:
        await request.writer.write(self.bytes)


class Server(web.Server):
    """Makes a `Connection` for every client. `open` counts them, those of other processes too.

    `has_lane` says whether plain small requests are carried in the express lane.
    """

    def __init__(self, handler: Handler, open_connections: SharedCounter, *, has_lane: bool = True) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise GatewayError("aiohttp's C extensions are missing; install a wheel of aiohttp for this platform")
        super().__init__(handler, handler_cancellation=True)
        self.open = open_connections
        self.handler = handler
        self.has_lane = has_lane
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self.handler.service.rules.limits

    @property
    def has_unsent(self) -> bool:
        """Whether a request has come in part, or a response is written, but not all of it is on its way yet."""
        transports = (connection.transport for connection in self.connections)
        unsent = any(transport is not None and transport.get_write_buffer_size() > 0 for transport in transports)
        return unsent or self.handler.gathering.any

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        if self._sweeper is None:
            self._sweep_later()
        return Connection(
            self,
            keepalive_timeout=_NEVER_SECONDS,
            lingering_time=LINGER_SECONDS,
            access_log=None,
            **parser_settings(self.limits.max_head_bytes),
        )

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what is idle: one look at all connections costs less than a timer for each request."""
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        for connection in self.connections:
            cast("Connection", connection).end_if_idle(now)
        if self.connections:
            self._sweep_later()
