"""One request and its response between client and upstream.

Rules of the room:

- The response is relayed as it comes, never collected. Once its head is out, a failure can only break it off.
- The body goes up while the response comes down; an upstream that answers early is relayed at once.
- A request is repeated only on a connection that had idled, when it is idempotent (RFC 9110, section 9.2.2),
  wholly at hand and no byte of an answer came. A POST reaches the upstream at most once.
- Every way here ends in a bool: whether the client's connection may carry another request.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import NamedTuple, Protocol

from gateway.proxy import tunnel
from gateway.proxy.answers import BodyError
from gateway.proxy.body import Body
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.failures import UpstreamError, UpstreamTimeoutError
from gateway.proxy.headers import list_of, response_head, switching, trailer_section
from gateway.proxy.held import Block
from gateway.proxy.problem import Answer
from gateway.proxy.request import RequestHead, head_for_upstream
from gateway.proxy.response import ResponseHead, fields_of_ours
from gateway.proxy.routing import Route
from gateway.proxy.service import Service

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
AT_ONCE = 64 * 1024  # bytes of a body that are sent with the head, and once more where a request may be repeated
_BLOCKS_IN_A_TURN = 4  # a megabyte: a quarter of a millisecond
_LAST_CHUNK = b"0\r\n\r\n"


class Listener(Protocol):
    """What is told of the body on its way, and asked for fields of the response."""

    async def hear(self, chunk: bytes) -> None:
        """Take note of body bytes that go upstream."""

    async def end(self) -> list[tuple[bytes, bytes]]:
        """Take note that the body is complete; returns the fields to add to the response. It may be asked again."""


class Call(NamedTuple):
    """A request on its way. `wants_more` says whether the client's connection is to carry another one after it."""

    head: RequestHead
    body: Body
    client: Client
    service: Service
    wants_more: Callable[[], bool]


class Exchange:
    """Carries one call. `route` is None where there is none, and the gateway answers itself.

    `began` is when the call did, by `time.perf_counter`, where that is not now.
    """

    def __init__(self, call: Call, route: Route | None, began: float | None = None) -> None:
        self._call = call
        self._head = call.head
        self._inspected = route is not None and route.inspected is not None
        self._name = "none" if route is None else route.upstream.name
        self._metrics = call.service.upstream_metrics[self._name]
        self._began = time.perf_counter() if began is None else began
        self._timeout = call.service.rules.limits.upstream_timeout_seconds
        self._protocols = self._head.protocols
        self._heard_all = call.body.read_to_end

    async def answer(self, answer: Answer, *, after_upstream: bool = False) -> bool:
        """Send a response of the gateway's own; `after_upstream` says that an upstream was tried before."""
        out, keeps_alive = self.own_response(answer, after_upstream=after_upstream)
        try:
            await self._write(out)
        except TimeoutError:
            self._call.client.writer.break_off()
            return False
        return keeps_alive

    def own_response(self, answer: Answer, *, after_upstream: bool = False) -> tuple[bytes, bool]:
        """Return a response of the gateway's own, counted, and whether the connection may carry another request."""
        keeps_alive = self._call.wants_more() and self._call.body.read_to_end
        self._call.service.upstream_metrics[self._name if after_upstream else "none"].answered(answer.status)
        out = answer.head(self._head.request_id, self._persistence(keeps_alive=keeps_alive))
        return out if self._head.method == "HEAD" else out + answer.body, keeps_alive

    async def forward(
        self,
        ready: list[Block],
        listener: Listener | None,
        sent: Callable[[], None] | None = None,
        *,
        fresh: bool = False,
    ) -> bool:
        """Send the request upstream and relay the response. Raises UpstreamError while nothing was relayed.

        `ready` are the bytes of the body that were read before; the rest is sent as it arrives. `sent` is called
        once they are on their way and let go of. `fresh` asks for a connection that did not idle.
        """
        body = self._call.body
        while body.exists and body.at_hand and not body.read_to_end:
            chunk = await body.read()
            ready.append(chunk)
            if listener is not None:
                await listener.hear(chunk)
        if listener is not None and body.read_to_end:
            await listener.end()
        at_once = body.read_to_end and sum(map(len, ready)) <= AT_ONCE
        opening = self.opening(ready if at_once else None)
        pool = self._call.service.pools[self._name]
        while True:
            connection, used = await pool.acquire(fresh=fresh)
            try:
                self.start(connection, opening)
                if at_once:
                    connection.end()
                    if sent is not None:
                        sent()
                    return await self.relay(connection, listener)
                return await self._pump_and_relay(connection, self._pump(connection, ready, listener, sent), listener)
            except UpstreamError as error:
                fresh = used and at_once and self.may_repeat(connection, error)
                if not fresh:
                    raise
            finally:
                pool.release(connection)

    def start(self, connection: Connection, opening: bytes) -> None:
        """Send the request's head, and what is sent with it."""
        interim = None if self._head.version < (1, 1) else self.relay_interim
        self._call.body.sent_on = True
        self._heard_all = self._call.body.read_to_end
        connection.start(self._head.method, opening, self._timeout, interim, may_switch=self._protocols is not None)

    def may_repeat(self, connection: Connection, error: UpstreamError) -> bool:
        """Whether the upstream seems to have closed an idle connection before it saw an idempotent request."""
        if self._head.method not in _IDEMPOTENT or isinstance(error, UpstreamTimeoutError):
            return False
        return not connection.reader.has_begun

    def opening(self, body: list[Block] | None) -> bytes:
        """Return the head, and the whole body after it when it is given."""
        authority = self._call.service.pools[self._name].authority
        head = head_for_upstream(self._head, authority, inspected=self._inspected)
        if body is None:
            return head
        if self._call.body.chunked:
            return b"".join([head, *map(_framed, body), _LAST_CHUNK])
        return b"".join([head, *body])

    async def _pump_and_relay(
        self, connection: Connection, work: Coroutine[None, None, None], listener: Listener | None
    ) -> bool:
        pump = asyncio.create_task(work)
        try:
            keeps_alive = await self.relay(connection, listener)
            # The upstream may answer before the body ends; what is left of it is still judged and counted.
            try:
                await pump
            except BodyError:
                return False  # the one response is out already
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
        return keeps_alive

    async def _pump(
        self,
        connection: Connection,
        ready: list[Block],
        listener: Listener | None,
        sent: Callable[[], None] | None,
    ) -> None:
        """Send the body up as it arrives. It is judged before it is sent: the verdict is there with the last byte."""
        body = self._call.body
        try:
            ready.reverse()
            while ready:
                # Let go of one by one, and others have their turn: a long body is a long copy, and much to free.
                block = ready.pop()
                connection.write(_framed(block) if body.chunked else block)
                del block
                if not ready and body.read_to_end:
                    self._end(connection)
                if len(ready) % _BLOCKS_IN_A_TURN == 0:
                    await asyncio.sleep(0)
                await connection.drain()
            if sent is not None:
                sent()
            while chunk := await body.read():
                if listener is not None:
                    await listener.hear(chunk)
                self._heard_all = body.read_to_end
                connection.write(_framed(chunk) if body.chunked else chunk)
                if self._heard_all:
                    self._end(connection)
                await connection.drain()
        except BaseException:
            connection.abort()
            raise
        self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Say that the request is wholly sent, as soon as it is: an answer to less is the last on its connection."""
        if not connection.is_ended:
            self._heard_all = True
            if self._call.body.chunked:
                connection.write(_LAST_CHUNK)
            connection.end()

    async def relay(self, connection: Connection, listener: Listener | None) -> bool:
        """Relay the response. Raises UpstreamError while nothing of it is out."""
        head = await connection.head()
        if head.status == 101 and not self._is_offered(list_of(head.headers.named.get(b"upgrade", ()))):
            raise UpstreamError("the upstream switched to a protocol that it was not offered")
        self.observe_head()
        added = await listener.end() if listener is not None and self._heard_all else []
        try:
            if head.status == 101:
                return await self._tunnel(connection, head, added)
            return await self.send_response(connection, head, added)
        except (UpstreamError, TimeoutError):
            self._call.client.writer.break_off()
            return False

    def observe_head(self) -> None:
        """Count how long the upstream took to begin its response."""
        if self._metrics.duration is not None:
            self._metrics.duration.observe(time.perf_counter() - self._began)

    def _is_offered(self, chosen: list[bytes]) -> bool:
        offered = {name.lower() for name in list_of([self._protocols or b""])}
        return bool(chosen) and offered.issuperset(name.lower() for name in chosen)

    def relay_interim(self, head: ResponseHead) -> None:
        """Pass an interim response on (RFC 9110, section 15.2); nothing of the response itself is out yet."""
        transport = self._call.client.writer.transport
        transport.write(response_head(head.status, head.reason, head.headers, added=(), inspected=self._inspected))

    async def _tunnel(self, connection: Connection, head: ResponseHead, added: list[tuple[bytes, bytes]]) -> bool:
        """Tell the client that the upstream switched protocols, and carry bytes both ways from then on."""
        added += switching(b", ".join(head.headers.named.get(b"upgrade", ())))
        if b"x-request-id" not in head.headers.named:
            added.append((b"X-Request-Id", self._head.request_id.encode("ascii")))
        self._metrics.answered(head.status)
        connection.end()
        await self._write(response_head(head.status, head.reason, head.headers, added=added, inspected=self._inspected))
        await tunnel.carry(self._call.client, connection)
        return False

    async def _write(self, data: bytes) -> None:
        """Send bytes of a response. Raises TimeoutError when the client takes none of them for too long."""
        await self._call.client.writer.write(data, self._timeout)

    async def send_response(self, connection: Connection, head: ResponseHead, added: list[tuple[bytes, bytes]]) -> bool:
        """Relay a response whose head has come, its body as it comes; `added` are fields of the gateway's own."""
        out, keeps_alive = self.response_opening(head, added)
        chunked = self._is_chunked(head)
        if head.has_body:
            while not connection.reader.is_whole:
                await self._write(out)
                data = await connection.read()
                out = _framed(data) if chunked else data
            out += self.response_end(connection, head)
        await self._write(out)
        return keeps_alive

    def response_opening(self, head: ResponseHead, added: list[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
        """Return the head that goes to the client, and whether its connection may carry another request after it."""
        chunked = self._is_chunked(head)
        until_close = head.has_body and not chunked and head.length is None
        keeps_alive = not until_close and self._call.wants_more()
        added.extend(fields_of_ours(head, chunked=chunked, request_id=self._head.request_id))
        added.extend(self._persistence(keeps_alive=keeps_alive))
        self._metrics.answered(head.status)
        out = response_head(head.status, head.reason, head.headers, added=added, inspected=self._inspected)
        return out, keeps_alive

    def response_end(self, connection: Connection, head: ResponseHead) -> bytes:
        """Return what is left of a response that has come to its end."""
        data = connection.rest()
        if not self._is_chunked(head):
            return data
        trailers = trailer_section(connection.reader.trailers, inspected=self._inspected)
        return b"".join([_framed(data), _LAST_CHUNK[:-2], trailers])

    def _is_chunked(self, head: ResponseHead) -> bool:
        return head.chunked and self._head.version >= (1, 1)

    def _persistence(self, *, keeps_alive: bool) -> Iterable[tuple[bytes, bytes]]:
        """Return the Connection field that tells the client what becomes of its connection (RFC 9112, 9.3)."""
        if not keeps_alive:
            return ((b"Connection", b"close"),)
        return ((b"Connection", b"keep-alive"),) if self._head.version < (1, 1) else ()


def _framed(data: Block) -> bytes:
    """Return bytes as a chunk, nothing for none: an empty chunk would be the last."""
    return b"".join([b"%x\r\n" % len(data), data, b"\r\n"]) if data else b""
