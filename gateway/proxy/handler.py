"""The general way of a request, the one place that reads in order: match, read, judge, decide, forward or refuse."""

import logging
import time
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import cast

from aiohttp import web

from gateway.proxy.answers import AnswerError, no_room
from gateway.proxy.body import Body, Incoming
from gateway.proxy.client import Client
from gateway.proxy.exchange import Call, Exchange
from gateway.proxy.failures import UpstreamError
from gateway.proxy.forms import Forms
from gateway.proxy.held import Budget, Gathering, HeldBody
from gateway.proxy.judging import Judging, stage_fields
from gateway.proxy.problem import refusal
from gateway.proxy.recorder import Recorder
from gateway.proxy.request import RequestHead, fresh_ids
from gateway.proxy.routing import Route, inspected_head, route
from gateway.proxy.service import Service
from gateway.proxy.shared_counters import SharedCounter
from gateway.rollout.endpoints import Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger("gateway.proxy")
_NOT_WORTH_WAITING_FOR = 1024 * 1024


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


class Handler:
    """Carries every request of the process under the service in force when it begins.

    `service` is replaced whole by a reload; `draining` makes every response the last on its connection. `ids` are
    for requests without one. `recorder` is None where no request is recorded.
    """

    def __init__(
        self, service: Service, metrics: Metrics, held: SharedCounter, recorder: Recorder | None = None
    ) -> None:
        self.service = service
        self.recorder = recorder
        self.draining = False
        self.in_flight = 0
        self.ids: Iterator[str] = fresh_ids()
        self.gathering = Gathering()
        self.forms = Forms()
        self._budget = Budget(held)
        self._answered = {keep_alive: Answered(keep_alive=keep_alive) for keep_alive in (False, True)}
        metrics.held_bytes.set_function(lambda: held.total)
        metrics.in_flight.set_function(lambda: self.in_flight)

    @property
    def held(self) -> int:
        """How many bytes of bodies are held."""
        return self._budget.used

    async def __call__(self, request: web.BaseRequest) -> Answered:
        """Carry one request to its end. A client that leaves before it has its answer is no fault."""
        service = self.service
        client = cast("Client", request.protocol)  # the server makes no other
        peer = request.remote or "unknown"
        head = RequestHead.of(request.method, request.raw_path, request.version, request.raw_headers, peer, self.ids)
        asks = request.transport if b"expect" in head.fields.named and request.version >= (1, 1) else None
        body = Incoming(request.content, service.minimum_rate, length=head.length, chunked=head.is_chunked, asks=asks)
        wants_more = partial(self.wants_more, request.keep_alive and _may_be_followed(head))
        self.in_flight += 1
        try:
            return self._answered[await self._carry(Call(head, body, client, service, wants_more))]
        finally:
            self.in_flight -= 1

    def wants_more(self, client_does: bool) -> bool:
        """Whether a client's connection is to carry another request, when its client wants that."""
        return client_does and not self.draining

    async def _carry(self, call: Call) -> bool:
        try:
            way = route(call.service.rules, call.head, call.service.mode_of)
        except AnswerError as error:
            return await self._give_up(call, None, error)
        return await self.carry_on(call, way, self._forward_or_refuse(call, way))

    async def carry_on(self, call: Call, way: Route, work: Awaitable[bool]) -> bool:
        """Do the rest of a call's work, and answer it where that ends in an error."""
        try:
            return await work
        except AnswerError as error:
            return await self._give_up(call, way, error)
        except ConnectionError:
            return False

    async def _give_up(self, call: Call, way: Route | None, error: AnswerError) -> bool:
        after_upstream = call.body.sent_on or isinstance(error, UpstreamError)
        if isinstance(error, UpstreamError):
            _log.error("%s", error, extra={"requestId": call.head.request_id, "reason": error.reason})
        answer = error.answer(call.head.request_id)
        try:
            return await Exchange(call, way).answer(answer, after_upstream=after_upstream)
        except ConnectionError:
            return False

    async def _forward_or_refuse(self, call: Call, way: Route) -> bool:
        exchange = Exchange(call, way)
        match = way.inspected
        if match is None:
            return await exchange.forward([], None)
        head = inspected_head(call.head)
        is_chosen = self.recorder is not None and self.recorder.chooses()
        judging = judging_of(head, call.service, way, match)
        if is_chosen and self.recorder is not None:
            judging.sample = self.recorder.sample(head, match, call.service.rules)
        try:
            if judging.inspection.may_refuse:
                return await self._hold(call, exchange, judging)
            return await exchange.forward([], _Tee(judging))
        finally:
            judging.close()

    async def _hold(self, call: Call, exchange: Exchange, judging: Judging) -> bool:
        """Read and judge the body before anything of the request goes upstream."""
        held = HeldBody(self._budget, call.service.rules.limits.held_bytes)
        try:
            whole = await _read_and_judge(call.body, judging, held)
            decision = await judging.conclude(whole=whole)
            if decision is not None and decision.refused:
                held.let_go()
                vocabulary = call.service.rules.policy.vocabulary
                return await exchange.answer(refusal(decision, call.head.path, call.head.request_id, vocabulary))
            return await exchange.forward(held.hand_over(), Judged(judging), held.release)
        finally:
            held.release()


async def _read_and_judge(body: Body, judging: Judging, held: HeldBody) -> bool:
    """Hold and judge a body as it comes; returns whether to its end, or as far as it changes anything.

    It is not read on once a reason about the whole request is known, nor when the refusal is certain and either
    the report is full or much is still to come. Raises AnswerError where there is no room.
    """
    inspection = judging.inspection
    if not inspection.wants_body:
        return True
    if not inspection.ended and body.left > held.limit:
        raise no_room()  # nor will there ever be
    while not inspection.ended:
        if inspection.certain and (inspection.enough or body.left > _NOT_WORTH_WAITING_FOR):
            return False
        chunk = await body.read(held.size)
        if not chunk:
            break
        await judging.feed(chunk)
        if inspection.certain:
            held.let_go()
        else:
            held.append(chunk, always=body.never_turned_away)
    return True


def judging_of(head: Head, service: Service, way: Route, match: Match) -> Judging:
    """Return the judging of a request at the endpoint that it is."""
    begin = time.perf_counter()
    inspection = Inspection(head, match, service.rules.policy, way.mode)
    return Judging(inspection, service, head.request_id, time.perf_counter() - begin)


def _may_be_followed(head: RequestHead) -> bool:
    """Whether another request may come behind this one.

    Behind an Upgrade to anything but WebSocket aiohttp's parser loses what was pipelined.
    """
    protocols = head.fields.named.get(b"upgrade")
    return protocols is None or all(value.lower() == b"websocket" for value in protocols)


class _Tee:
    """Judges a body while it goes upstream."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    async def hear(self, chunk: bytes) -> None:
        await self._judging.feed(chunk)

    async def end(self) -> list[tuple[bytes, bytes]]:
        return stage_fields(await self._judging.conclude())


class Judged(_Tee):
    """Knows the decision already; what is left of the body changes nothing."""

    async def hear(self, chunk: bytes) -> None:
        """Nothing is left to judge."""
