"""One request and its response between client and upstream.

Rules of the room:

- The response is relayed as it comes, never collected. Once its head is out, a failure can only break it off.
- The body goes up while the response comes down; an upstream that answers early is relayed at once.
- A request is repeated only on a connection that had idled, when it is idempotent (RFC 9110, section 9.2.2),
  wholly at hand and no byte of an answer came. A POST reaches the upstream at most once.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import NamedTuple, Protocol, cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from aiohttp.web_protocol import RequestPayloadError

from gateway.proxy import tunnel
from gateway.proxy.body import Incoming, TooSlowError
from gateway.proxy.connection import Connection
from gateway.proxy.failures import UpstreamError, UpstreamTimeoutError
from gateway.proxy.headers import (
    IndexedFields,
    list_of,
    protocols_asked_for,
    request_head,
    response_head,
    switching,
    trailer_section,
)
from gateway.proxy.held import Block
from gateway.proxy.problem import Answer
from gateway.proxy.progress import while_taken
from gateway.proxy.response import ResponseHead
from gateway.proxy.service import Service
from gateway.rules.load import Upstream

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_AT_ONCE = 64 * 1024
_NEVER_WAITS = 64 * 1024  # aiohttp's writer first waits for its client past so many bytes
_LAST_CHUNK = b"0\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time


class Answered(web.StreamResponse):
    """Tells aiohttp's server that the response is on the wire already, and whether the connection lives on.

    Nothing of one response is kept in it.
    """

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do."""


_ANSWERED = Answered(keep_alive=True)
ANSWERED_LAST = Answered(keep_alive=False)


class Listener(Protocol):
    """What is told of the body on its way, and asked for fields of the response."""

    async def hear(self, chunk: bytes) -> None:
        """Take note of body bytes that go upstream."""

    async def end(self) -> list[tuple[bytes, bytes]]:
        """Take note that the body is complete; returns the fields to add to the response."""


class Call(NamedTuple):
    """A request as it will be carried.

    `new_id` is set when the gateway made the id, `host` when the target said it. `path` and `query` are the raw
    halves of the target. `is_draining` tells whether the process is about to end.
    """

    request: web.BaseRequest
    service: Service
    request_id: str
    new_id: str | None
    method: str
    target: str
    path: str
    query: str
    host: bytes | None
    fields: IndexedFields
    incoming: Incoming
    upstream: Upstream | None
    is_draining: Callable[[], bool]


class Exchange:
    """Carries one call. `inspected` says that only the gateway speaks in the X-Stage fields here."""

    def __init__(self, call: Call, *, inspected: bool) -> None:
        self._call = call
        self._inspected = inspected
        self._name = call.upstream.name if call.upstream is not None else "none"
        self._metrics = call.service.upstream_metrics[self._name]
        self._began = time.perf_counter()
        self._upgrade = None if call.incoming.exists else protocols_asked_for(call.fields)
        self._heard_all = False
        self._written = 0

    async def answer(self, answer: Answer, *, after_upstream: bool = False) -> Answered:
        """Send a response of the gateway's own; `after_upstream` says that an upstream was tried before."""
        call = self._call
        keep_alive = self._may_keep_alive() and call.incoming.read_to_end
        head = answer.head(call.request_id, self._persistence(keep_alive=keep_alive))
        call.service.upstream_metrics[self._name if after_upstream else "none"].answered(answer.status)
        try:
            await self._write(head if call.method == "HEAD" else head + answer.body)
        except TimeoutError:
            self._break_off()
            return ANSWERED_LAST
        return _ANSWERED if keep_alive else ANSWERED_LAST

    async def forward(
        self, ready: list[Block], listener: Listener | None, sent: Callable[[], None] | None = None
    ) -> Answered:
        """Send the request upstream and relay the response. Raises UpstreamError while nothing was relayed.

        `ready` are the bytes of the body that were read before; the rest is sent as it arrives. `sent` is called
        once they are on their way and let go of.
        """
        call = self._call
        pool = call.service.pools[self._name]
        incoming = call.incoming
        while incoming.exists and incoming.at_hand and not incoming.read_to_end:
            chunk = await incoming.read()
            ready.append(chunk)
            if listener is not None:
                await listener.hear(chunk)
        self._heard_all = incoming.read_to_end
        if listener is not None and self._heard_all:
            await listener.end()
        at_once = incoming.read_to_end and sum(map(len, ready)) <= _AT_ONCE
        opening = self._opening(ready) if at_once else self._opening(None)
        fresh = False
        while True:
            connection, used = await pool.acquire(fresh=fresh)
            try:
                patience = call.service.rules.limits.upstream_timeout_seconds
                interim = None if call.request.version < (1, 1) else self._relay_interim
                incoming.sent_on = True
                connection.start(call.method, opening, patience, interim, may_switch=self._upgrade is not None)
                if at_once:
                    connection.end()
                    if sent is not None:
                        sent()
                    return await self._relay(connection, listener)
                return await self._pump_and_relay(connection, self._pump(connection, ready, listener, sent), listener)
            except UpstreamError as error:
                fresh = used and at_once and call.method in _IDEMPOTENT and _is_stale(connection, error)
                if not fresh:
                    raise
            finally:
                pool.release(connection)

    def _opening(self, body: list[Block] | None) -> bytes:
        """Return the head, and the whole body after it when it is given."""
        call = self._call
        peer = call.request.remote
        head = request_head(
            call.method,
            call.target,
            call.fields,
            version=call.request.version,
            client=peer or "unknown",
            new_id=call.new_id,
            host=call.host,
            inspected=self._inspected,
            chunked=call.incoming.chunked,
            upgrade=self._upgrade,
            upstream=call.service.pools[self._name].authority,
        )
        if body is None:
            return head
        if call.incoming.chunked:
            return b"".join([head, *map(_framed, body), _LAST_CHUNK])
        return b"".join([head, *body])

    async def _pump_and_relay(
        self, connection: Connection, work: Coroutine[None, None, None], listener: Listener | None
    ) -> Answered:
        pump = asyncio.create_task(work)
        try:
            answered = await self._relay(connection, listener)
            # The upstream may answer before the body ends; what is left of it is still judged and counted.
            try:
                await pump
            except (RequestPayloadError, TooSlowError):
                return ANSWERED_LAST  # the one response is out already
            if listener is not None:
                await listener.end()
        except UpstreamError:
            if pump.done() and pump.exception() is not None:
                raise pump.exception() from None  # type: ignore[misc]  # it is the client that broke off
            raise
        finally:
            if not pump.done():
                pump.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pump
            elif not pump.cancelled():
                pump.exception()  # told above, or there is nobody left to tell
        return answered

    async def _pump(
        self,
        connection: Connection,
        ready: list[Block],
        listener: Listener | None,
        sent: Callable[[], None] | None,
    ) -> None:
        """Send the body up as it arrives, and let it be heard on the way."""
        incoming = self._call.incoming
        try:
            ready.reverse()
            while ready:
                # Let go of one by one, and others have their turn: a long body is a long copy, and much to free.
                block = ready.pop()
                connection.write(_framed(block) if incoming.chunked else block)
                del block
                await asyncio.sleep(0)
                await connection.drain()
            if sent is not None:
                sent()
            while chunk := await incoming.read():
                if listener is not None:
                    await listener.hear(chunk)
                self._heard_all = incoming.read_to_end
                connection.write(_framed(chunk) if incoming.chunked else chunk)
                await connection.drain()
        except BaseException:
            connection.abort()
            raise
        self._heard_all = True
        if incoming.chunked:
            connection.write(_LAST_CHUNK)
        connection.end()

    async def _relay(self, connection: Connection, listener: Listener | None) -> Answered:
        head = await connection.head()
        if head.status == 101 and not self._is_offered(list_of(head.headers.named.get(b"upgrade", ()))):
            raise UpstreamError("the upstream switched to a protocol that it was not offered")
        if self._metrics.duration is not None:
            self._metrics.duration.observe(time.perf_counter() - self._began)
        added = await listener.end() if listener is not None and self._heard_all else []
        try:
            if head.status == 101:
                return await self._tunnel(connection, head, added)
            return await self._send_response(connection, head, added)
        except (UpstreamError, TimeoutError):
            self._break_off()
            return ANSWERED_LAST

    def _is_offered(self, chosen: list[bytes]) -> bool:
        offered = {name.lower() for name in list_of([self._upgrade or b""])}
        return bool(chosen) and offered.issuperset(name.lower() for name in chosen)

    def _relay_interim(self, head: ResponseHead) -> None:
        """Pass an interim response on (RFC 9110, section 15.2); nothing of the response itself is out yet."""
        transport = self._call.request.transport
        if transport is not None:
            transport.write(response_head(head.status, head.reason, head.headers, added=(), inspected=self._inspected))

    async def _tunnel(self, connection: Connection, head: ResponseHead, added: list[tuple[bytes, bytes]]) -> Answered:
        """Tell the client that the upstream switched protocols, and carry bytes both ways from then on."""
        added += switching(b", ".join(head.headers.named.get(b"upgrade", ())))
        if b"x-request-id" not in head.headers.named:
            added.append((b"X-Request-Id", self._call.request_id.encode("ascii")))
        self._metrics.answered(head.status)
        connection.end()
        await self._write(response_head(head.status, head.reason, head.headers, added=added, inspected=self._inspected))
        await tunnel.carry(self._call.request, connection)
        return ANSWERED_LAST

    def _write(self, data: bytes) -> Awaitable[None]:
        """Send bytes of a response. Raises TimeoutError when the client takes none of them for too long."""
        self._written += len(data)
        if self._written <= _NEVER_WAITS and not self._is_backed_up():
            return self._call.request.writer.write(data)
        return self._write_in_time(data)

    async def _write_in_time(self, data: bytes) -> None:
        """Write once the client has taken what was written before: as slowly as it likes, but it may not stop."""
        request, seconds = self._call.request, self._call.service.rules.limits.upstream_timeout_seconds
        writer = cast("StreamWriter", request.writer)  # aiohttp makes no other
        if request.protocol.writing_paused:
            await while_taken(writer.drain(), request.transport, seconds)
        await writer.write(data, drain=False)

    def _is_backed_up(self) -> bool:
        """Whether the client has not taken the responses before: short ones too must not pile up."""
        transport = self._call.request.transport
        return transport is not None and transport.get_write_buffer_size() > _NEVER_WAITS

    def _break_off(self) -> None:
        """Reset the client's connection: an end in good order could pass for the end of the response."""
        transport = self._call.request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    async def _send_response(
        self, connection: Connection, head: ResponseHead, added: list[tuple[bytes, bytes]]
    ) -> Answered:
        call = self._call
        old_client = call.request.version < (1, 1)
        chunked = head.chunked and not old_client
        until_close = head.has_body and not chunked and head.length is None
        keep_alive = self._may_keep_alive() and not until_close
        if chunked and head.status not in {204, 304}:
            added.append((b"Transfer-Encoding", b"chunked"))
        if b"x-request-id" not in head.headers.named:
            added.append((b"X-Request-Id", call.request_id.encode("ascii")))
        added.extend(self._persistence(keep_alive=keep_alive))
        self._metrics.answered(head.status)
        out = response_head(head.status, head.reason, head.headers, added=added, inspected=self._inspected)
        if head.has_body:
            while not connection.complete:
                await self._write(out)
                data = await connection.read()
                out = _framed(data) if chunked else data
            data = connection.rest()
            out += _framed(data) if chunked else data
            if chunked:
                out += _LAST_CHUNK[:-2] + trailer_section(connection.trailers, inspected=self._inspected)
        await self._write(out)
        return _ANSWERED if keep_alive else ANSWERED_LAST

    def _may_keep_alive(self) -> bool:
        call = self._call
        if not call.request.keep_alive or call.is_draining():
            return False
        # Behind an Upgrade to anything but WebSocket aiohttp's parser loses what was pipelined.
        protocols = call.fields.named.get(b"upgrade")
        return protocols is None or all(value.lower() == b"websocket" for value in protocols)

    def _persistence(self, *, keep_alive: bool) -> list[tuple[bytes, bytes]]:
        """Return the Connection field that tells the client what becomes of its connection (RFC 9112, 9.3)."""
        if not keep_alive:
            return [(b"Connection", b"close")]
        return [(b"Connection", b"keep-alive")] if self._call.request.version < (1, 1) else []


def _framed(data: Block) -> bytes:
    """Return bytes as a chunk, nothing for none: an empty chunk would be the last."""
    return b"".join([b"%x\r\n" % len(data), data, b"\r\n"]) if data else b""


def _is_stale(connection: Connection, error: UpstreamError) -> bool:
    """Whether the upstream seems to have closed an idle connection before it saw the request."""
    return not connection.answered and not isinstance(error, UpstreamTimeoutError)
