"""One request in the express lane: decided, and on its way to its upstream and back.

What is plain and whole is carried as its form says (`forms.py`). For whatever is not, the objects of the general way
are made, and its exchange goes on from where the request is.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from gateway.proxy.answers import gateway_failed
from gateway.proxy.body import Arrived
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.exchange import AT_ONCE, Call, Exchange
from gateway.proxy.failures import UpstreamError
from gateway.proxy.forms import SHORT, RequestForm
from gateway.proxy.handler import Handler, Judged
from gateway.proxy.judging import Judging, stage_fields
from gateway.proxy.plain import END
from gateway.proxy.problem import refusal
from gateway.proxy.request import RequestHead
from gateway.proxy.response import ResponseHead
from gateway.proxy.routing import PlainWay
from gateway.proxy.service import Service
from gateway.rollout.decision import Decision
from gateway.rollout.head import Head

_log = logging.getLogger("gateway.proxy")


class FormedRequest(NamedTuple):
    """A plain request as it is carried: its first line and where that leads, its form and the values, and its size."""

    first: bytes
    way: PlainWay
    form: RequestForm
    values: list[bytes]
    size: int
    length: int

    def content(self, data: bytes) -> bytes:
        """Return the body out of the bytes of the whole request."""
        return data[self.size - self.length :] if self.length else b""


class Carried:
    """One request on its way. `end` is called with whether the client's connection may carry another one.

    Where the request is inspected it is either decided on or has a `judging`, which has judged its `content`.
    """

    __slots__ = (
        "_began",
        "_client",
        "_connection",
        "_decision",
        "_end",
        "_general",
        "_handler",
        "_id",
        "_request",
        "_seconds",
        "_service",
        "_task",
        "content",
        "judging",
    )

    def __init__(
        self,
        request: FormedRequest,
        content: bytes,
        client: Client,
        service: Service,
        handler: Handler,
        end: Callable[[bool], None],
    ) -> None:
        at = request.form.id_at
        self._id = next(handler.ids) if at is None else request.values[at].decode("ascii")
        self._request = request
        self._client = client
        self._service = service
        self._handler = handler
        self._end = end
        self._began = time.perf_counter()
        self._decision: Decision | None = None
        self._seconds = 0.0
        self._connection: Connection | None = None
        self._general: tuple[Call, Exchange] | None = None
        self._task: asyncio.Task[bool] | None = None
        self.content = content
        self.judging: Judging | None = None

    @property
    def head(self) -> Head:
        """What the decision needs of the head."""
        way, form, values = self._request.way, self._request.form, self._request.values
        length = None if form.length_at is None else self._request.length
        return Head(way.method, way.path, way.query, form.named(values), self._id, bool(length), length)

    def decide(self, decision: Decision, seconds: float) -> None:
        """Take the decision on a good request, whose judging took `seconds`."""
        self._decision = decision
        self._seconds = seconds

    def begin(self) -> None:
        """Refuse the request, or send it on."""
        self._handler.in_flight += 1
        try:
            self._refuse_or_send()
        except Exception as fault:
            self._go_on(_raise(fault))

    def abort(self) -> None:
        """Give up what the client, which is gone, does not wait for any more."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._finish(False)

    def _refuse_or_send(self) -> None:
        way, decision = self._request.way, self._decision
        if decision is not None:
            self._service.endpoint_metrics[decision.endpoint].observe(decision, self._seconds)
        elif self.judging is not None:
            decision = self.judging.settle()
        if decision is not None and decision.refused:
            answer = refusal(decision, way.path, self._id, self._service.rules.policy.vocabulary)
            out, keeps_alive = self._exchange.own_response(answer)
            self._put(out, keeps_alive)
            return
        connection = self._connection = self._service.pools[way.route.upstream.name].take()
        connection.on_progress = self._progress
        if way.method != "HEAD" and (decision is None or decision.verdict.valid):
            connection.on_data = self._relay_at_once
        peer, fresh = self._client.writer.peer.encode("ascii", "replace"), self._id.encode("ascii")
        inspected = way.route.inspected is not None
        fields = self._request.form.for_upstream(peer, fresh, self._request.values, inspected=inspected)
        timeout = self._service.rules.limits.upstream_timeout_seconds
        connection.start(way.method, b"".join([self._request.first, fields, self.content]), timeout, self._interim)
        connection.end()

    def _relay_at_once(self, data: bytes) -> bool:
        """Relay a plain response that is whole; returns whether it is."""
        end = data.find(END, 0, SHORT)
        writer = self._client.writer
        if end < 0 or self._handler.draining or not writer.is_ready:
            return False
        found = self._handler.forms.of_response(data[:end])
        body = data[end + len(END) :]
        if found is None or not found[0].has_whole(found[1], body):
            return False
        form, values = found
        metrics = self._service.upstream_metrics[self._request.way.route.upstream.name]
        if metrics.duration is not None:
            metrics.duration.observe(time.perf_counter() - self._began)
        metrics.answered(form.status)
        inspected = self._request.way.route.inspected is not None
        writer.put(form.for_client(self._id.encode("ascii"), values, inspected=inspected) + body)
        return True

    def _progress(self) -> None:
        """Take note that something of the response has come, or that nothing more will."""
        connection = self._connection
        if connection is None:
            return
        if connection.is_answered:
            self._finish(True)
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

    # By the general way.

    @property
    def _call(self) -> Call:
        return self._by_general_way()[0]

    @property
    def _exchange(self) -> Exchange:
        return self._by_general_way()[1]

    def _by_general_way(self) -> tuple[Call, Exchange]:
        """Return the call and the exchange that this request would be on the general way."""
        if self._general is None:
            way, request = self._request.way, self._request
            fields = request.form.fields(request.values)
            ids = iter([self._id])
            head = RequestHead.of(way.method, way.target, (1, 1), fields, self._client.writer.peer, ids)
            body = Arrived(request.length)
            body.sent_on = self._connection is not None
            call = Call(head, body, self._client, self._service, partial(self._handler.wants_more, True))
            self._general = call, Exchange(call, way.route, self._began)
        return self._general

    def _interim(self, head: ResponseHead) -> None:
        self._exchange.relay_interim(head)

    def _respond(self, connection: Connection, head: ResponseHead) -> None:
        """Relay a response that is whole at once; the exchange relays what is long."""
        if not connection.reader.is_whole or not self._client.writer.is_ready:
            self._go_on(self._exchange.relay(connection, self._listener()))
            return
        self._exchange.observe_head()
        added = [] if self.judging is None else stage_fields(self.judging.settle())
        out, keeps_alive = self._exchange.response_opening(head, added)
        if head.has_body:
            out += self._exchange.response_end(connection, head)
        self._put(out, keeps_alive)

    def _put(self, out: bytes, keeps_alive: bool) -> None:
        try:
            self._client.writer.put(out)
        except ConnectionError:
            keeps_alive = False
        self._finish(keeps_alive)

    def _listener(self) -> Judged | None:
        return None if self.judging is None else Judged(self.judging)

    def _fail(self, connection: Connection, error: UpstreamError) -> None:
        exchange = self._exchange
        may_repeat = len(self.content) <= AT_ONCE and exchange.may_repeat(connection, error)
        self._release()
        if may_repeat:
            self._go_on(exchange.forward([self.content], self._listener(), fresh=True))
        else:
            self._go_on(_raise(error))

    def _go_on(self, work: Coroutine[Any, Any, bool]) -> None:
        """Let the general way bring the request to its end."""
        self._task = asyncio.get_running_loop().create_task(self._do(work))
        self._task.add_done_callback(partial(self._end_of_task, work))

    async def _do(self, work: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await self._handler.carry_on(self._call, self._request.way.route, work)
        except Exception as fault:
            _log.error("a request failed", exc_info=fault)
            self._client_gets_fault()
            return False

    def _end_of_task(self, work: Coroutine[Any, Any, bool], task: asyncio.Task[bool]) -> None:
        """Finish, also where the client left before the task began: then nothing in it was run, and nothing will be."""
        work.close()
        self._finish(not task.cancelled() and task.result())

    def _client_gets_fault(self) -> None:
        writer = self._client.writer
        if writer.written > 0:
            writer.break_off()
        elif writer.is_ready:
            writer.put(gateway_failed().answer(self._id).as_last(self._id))

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._service.pools[self._request.way.route.upstream.name].release(connection)

    def _finish(self, keeps_alive: bool) -> None:
        self._release()
        if self.judging is not None:
            self.judging.close()
        self._handler.in_flight -= 1
        self._end(keeps_alive)


async def _raise(error: Exception) -> bool:
    raise error
