"""The express lane: small plain requests, carried in callbacks, without a task, a future or a timer of their own.

Rules of the room:

- The lane may only say "mine". Whatever is not plain, or not to be had at once, goes the general way with the very
  same bytes, before any of them was acted on: nothing is sent, counted or logged until the lane is sure.
- It means what the general way means, by the same functions: route, inspection, decision, heads, refusals. What
  turns out to be long or goes wrong on its way is brought to its end by the general way's own exchange.
- One request at a time: what a client sends behind one waits, unread.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from gateway.proxy.answers import AnswerError
from gateway.proxy.body import Arrived
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.exchange import Call, Exchange
from gateway.proxy.failures import UpstreamError
from gateway.proxy.handler import Handler, Told, judging_of
from gateway.proxy.held import SMALL
from gateway.proxy.judging import Judging, stage_fields
from gateway.proxy.plain import PlainRequest, plain_request
from gateway.proxy.problem import refusal
from gateway.proxy.request import RequestHead
from gateway.proxy.response import ResponseHead
from gateway.proxy.routing import Route, route

_GATHERING_SECONDS = 0.05  # how long the rest of a request is waited for; a slower one is the general way's
_log = logging.getLogger("gateway.proxy")


class Lane:
    """The lane of one client's connection.

    `leave` is called with bytes that turned out not to be the lane's, `done` when a request was carried: with
    whether the connection may carry another, and what came behind.
    """

    __slots__ = (
        "_behind",
        "_carried",
        "_client",
        "_done",
        "_gathered",
        "_handler",
        "_leave",
        "_peer",
        "_timer",
        "_wanted",
        "_wants_more",
    )

    def __init__(
        self,
        handler: Handler,
        client: Client,
        leave: Callable[[bytes], None],
        done: Callable[[bool, bytes], None],
    ) -> None:
        self._handler = handler
        self._client = client
        self._leave = leave
        self._done = done
        peer = client.writer.transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        self._wants_more = partial(handler.wants_more, True)
        self._carried: _Carried | None = None
        self._behind = b""
        self._gathered = bytearray()
        self._wanted = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being carried, or gathered."""
        return self._carried is not None or self._wanted > 0

    def take(self, data: bytes) -> bytes | None:
        """Take bytes of a client that has no request on the general way; returns those that are not the lane's."""
        if self._carried is not None:
            self._behind += data
            self._client.writer.transport.pause_reading()
            return None
        if self._wanted:
            return self._gather(data)
        request = plain_request(data)
        if request is None or self._handler.draining:
            return data
        missing = request.size - len(data)
        if missing == 0:
            return None if self._carry(request, data) else data
        if missing < 0 or not self._handler.gathering.begin(request.size):
            return data
        self._wanted = request.size
        self._gathered += data
        self._timer = asyncio.get_running_loop().call_later(_GATHERING_SECONDS, self._stop_gathering)
        return None

    def lose(self) -> None:
        """Take note that the client is gone."""
        self._let_go()
        if self._carried is not None:
            self._carried.abort()

    def _gather(self, data: bytes) -> bytes | None:
        self._gathered += data
        if len(self._gathered) < self._wanted:
            return None
        whole = self._let_go()
        request = plain_request(whole)
        taken = request is not None and request.size == len(whole) and self._carry(request, whole)
        return None if taken else whole

    def _stop_gathering(self) -> None:
        self._leave(self._let_go())

    def _let_go(self) -> bytes:
        """Return what was gathered, and gather no more."""
        gathered = bytes(self._gathered)
        if self._timer is not None:
            self._handler.gathering.end(self._wanted)
            self._timer.cancel()
            self._timer = None
        self._gathered, self._wanted = bytearray(), 0
        return gathered

    def _carry(self, request: PlainRequest, data: bytes) -> bool:
        """Carry a request if nothing about it takes longer than a moment; returns whether."""
        handler, service = self._handler, self._handler.service
        head = RequestHead.of(request.method, request.target, (1, 1), request.fields, self._peer, handler.ids)
        try:
            way = route(service.rules, head, service.mode_of)
        except AnswerError:
            return False
        pool = service.pools[way.upstream.name]
        if not self._client.writer.is_ready or not pool.has_idle:
            return False
        body = Arrived(request.length)
        call = Call(head, body, self._client, service, self._wants_more)
        match, judging, content = way.inspected, None, request.body(data)
        if match is not None:
            judging = judging_of(call, way, match)
            if not self._judge(judging, content):
                judging.inspection.close()
                return False
        carried = self._carried = _Carried(call, way, judging, content, handler, self._end)
        carried.begin()
        return True

    def _judge(self, judging: Judging, content: bytes) -> bool:
        """Judge a body in one go; returns whether that was a matter of a moment, and there was room to hold it.

        Nor is a request the lane's that is refused without a look at its body: the general way does not read that,
        and ends the connection.
        """
        inspection = judging.inspection
        if (
            content
            and inspection.may_refuse
            and (inspection.ended or (inspection.certain and not inspection.wants_body))
        ):
            return False
        if inspection.may_refuse and inspection.wants_body:
            limit = self._handler.service.rules.limits.held_bytes
            if len(content) > limit or (len(content) > SMALL and self._handler.held + len(content) > limit):
                return False
        return judging.at_once(content)

    def _end(self, keeps_alive: bool) -> None:
        self._carried = None
        behind, self._behind = self._behind, b""
        transport = self._client.writer.transport
        if behind and not transport.is_closing():
            transport.resume_reading()
        self._done(keeps_alive, behind)


class _Carried:
    """One request in the lane: decided, and on its way."""

    __slots__ = ("_call", "_connection", "_content", "_end", "_exchange", "_handler", "_judging", "_task", "_way")

    def __init__(
        self,
        call: Call,
        way: Route,
        judging: Judging | None,
        content: bytes,
        handler: Handler,
        end: Callable[[bool], None],
    ) -> None:
        self._call = call
        self._way = way
        self._judging = judging
        self._content = content
        self._handler = handler
        self._end = end
        self._exchange = Exchange(call, way)
        self._connection: Connection | None = None
        self._task: asyncio.Task[bool] | None = None

    def begin(self) -> None:
        """Refuse the request, or send it on."""
        self._handler.in_flight += 1
        try:
            self._refuse_or_send()
        except Exception as fault:
            self._go_on(_raise(fault))

    def _refuse_or_send(self) -> None:
        decision = None if self._judging is None else self._judging.settle()
        head = self._call.head
        if decision is not None and decision.refused:
            vocabulary = self._call.service.rules.policy.vocabulary
            out, keeps_alive = self._exchange.own_response(refusal(decision, head.path, head.request_id, vocabulary))
            self._put(out, keeps_alive)
            return
        connection = self._connection = self._call.service.pools[self._way.upstream.name].take()
        connection.on_progress = self._progress
        self._exchange.start(connection, self._exchange.opening([self._content]))
        connection.end()

    def abort(self) -> None:
        """Give up what the client, which is gone, does not wait for any more."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._finish(False)

    def _progress(self) -> None:
        """Take note that something of the response has come, or that nothing more will."""
        connection = self._connection
        if connection is None:
            return
        reader = connection.reader
        if reader.head is not None:
            connection.on_progress = None
            try:
                self._respond(connection, reader.head)
            except Exception as fault:
                self._go_on(_raise(fault))
        elif reader.error is not None:
            self._fail(connection, reader.error)

    def _respond(self, connection: Connection, head: ResponseHead) -> None:
        """Relay a response that is whole at once; the general way relays what is long."""
        if not connection.reader.is_whole or not self._call.client.writer.is_ready:
            self._go_on(self._exchange.relay(connection, self._listener()))
            return
        self._exchange.observe_head()
        added = [] if self._judging is None else stage_fields(self._judging.settle())
        out, keeps_alive = self._exchange.response_opening(head, added)
        if head.has_body:
            out += self._exchange.response_end(connection, head)
        self._put(out, keeps_alive)

    def _put(self, out: bytes, keeps_alive: bool) -> None:
        try:
            self._call.client.writer.put(out)
        except ConnectionError:
            keeps_alive = False
        self._finish(keeps_alive)

    def _listener(self) -> Told | None:
        return None if self._judging is None else Told(self._judging)

    def _fail(self, connection: Connection, error: UpstreamError) -> None:
        may_repeat = self._exchange.may_repeat(connection, error)
        self._release()
        if may_repeat:
            self._go_on(self._exchange.forward([self._content], self._listener(), fresh=True))
        else:
            self._go_on(_raise(error))

    def _go_on(self, work: Coroutine[Any, Any, bool]) -> None:
        """Let the general way bring the request to its end."""
        self._task = asyncio.get_running_loop().create_task(self._do(work))
        self._task.add_done_callback(partial(self._end_of_task, work))

    async def _do(self, work: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await self._handler.carry_on(self._call, self._way, work)
        except Exception as fault:
            _log.error("a request failed", exc_info=fault)
            self._client_gets_fault()
            return False

    def _end_of_task(self, work: Coroutine[Any, Any, bool], task: asyncio.Task[bool]) -> None:
        """Finish, also where the client left before the task began: then nothing in it was run, and nothing will be."""
        work.close()
        self._finish(not task.cancelled() and task.result())

    def _client_gets_fault(self) -> None:
        writer, identity = self._call.client.writer, self._call.head.request_id
        if writer.written > 0:
            writer.break_off()
        elif writer.is_ready:
            answer = AnswerError(500, "internal_error", "the gateway failed").answer(identity)
            writer.put(answer.head(identity, [(b"Connection", b"close")]) + answer.body)

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._call.service.pools[self._way.upstream.name].release(connection)

    def _finish(self, keeps_alive: bool) -> None:
        self._release()
        if self._judging is not None:
            self._judging.inspection.close()
        self._handler.in_flight -= 1
        self._end(keeps_alive)


async def _raise(error: Exception) -> bool:
    raise error
