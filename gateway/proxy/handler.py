"""The one place that reads in order: match, read, judge, decide, forward or refuse, count."""

import logging
import time
from types import MappingProxyType

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from gateway.proxy.body import Incoming, TooSlowError
from gateway.proxy.exchange import ANSWERED_LAST, Answered, Call, Exchange
from gateway.proxy.failures import UpstreamError
from gateway.proxy.headers import (
    HeadError,
    IndexedFields,
    check_head,
    content_length,
    fresh_ids,
    origin_form,
    request_id,
)
from gateway.proxy.held import Budget, Held, NoRoomError
from gateway.proxy.judging import Judging, stage_fields
from gateway.proxy.problem import Answer, problem, refusal
from gateway.proxy.service import Service
from gateway.proxy.shares import Share
from gateway.rollout.endpoints import Match
from gateway.rollout.inspection import Head, Inspection
from gateway.rollout.policy import Mode
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger("gateway.proxy")
_NOT_WORTH_WAITING_FOR = 1024 * 1024
_FIELDS_BY_STATUS = MappingProxyType(
    {
        405: ((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
        503: ((b"Retry-After", b"1"),),
    }
)


class Handler:
    """Carries every request of the process under the service in force when it begins.

    `service` is replaced whole by a reload; `draining` makes every response the last on its connection.
    """

    def __init__(self, service: Service, metrics: Metrics, held: Share) -> None:
        self.service = service
        self.draining = False
        self.in_flight = 0
        self._ids = fresh_ids()
        self._budget = Budget(held)
        metrics.held_bytes.set_function(lambda: held.total)
        metrics.in_flight.set_function(lambda: self.in_flight)

    def _is_draining(self) -> bool:
        return self.draining

    async def __call__(self, request: web.BaseRequest) -> Answered:
        """Carry one request to its end. A client that leaves before it has its answer is no fault."""
        call = self._call(request)
        self.in_flight += 1
        try:
            return await self._carry_or_answer(call)
        except ConnectionError:
            return ANSWERED_LAST
        finally:
            self.in_flight -= 1

    async def _carry_or_answer(self, call: Call) -> Answered:
        try:
            return await self._carry(call)
        except HeadError as error:
            return await self._answer(call, head_problem(error, call.request_id))
        except NoRoomError:
            full = HeadError(503, "no_room", "no room to hold another body right now")
            return await self._answer(call, head_problem(full, call.request_id))
        except TooSlowError:
            detail = "the body came too slowly"
            answer = problem(408, "request_timeout", detail, call.request_id)
            return await self._answer(call, answer, after_upstream=call.incoming.sent_on)
        except RequestPayloadError:
            detail = "the body is not framed as its head says"
            answer = problem(400, "malformed", detail, call.request_id)
            return await self._answer(call, answer, after_upstream=call.incoming.sent_on)
        except UpstreamError as error:
            _log.error("%s", error, extra={"requestId": call.request_id, "reason": error.reason})
            detail = "the upstream did not answer" if error.status == 504 else "the upstream could not be reached"
            answer = problem(error.status, error.reason, detail, call.request_id)
            return await self._answer(call, answer, after_upstream=True)

    async def _answer(self, call: Call, answer: Answer, *, after_upstream: bool = False) -> Answered:
        return await Exchange(call, inspected=False).answer(answer, after_upstream=after_upstream)

    def _call(self, request: web.BaseRequest) -> Call:
        service = self.service
        fields = IndexedFields(request.raw_headers)
        named = fields.named
        identity, own = request_id(fields, self._ids)
        incoming = Incoming(
            request,
            service.pace,
            expects_continue=b"expect" in named and request.version >= (1, 1),
            length=content_length(named[b"content-length"][0]) if b"content-length" in named else None,
            chunked=b"transfer-encoding" in named,
        )
        target, host = origin_form(request.raw_path)
        path, _, query = target.partition("?")
        return Call(
            request=request,
            service=service,
            request_id=identity,
            new_id=None if own else identity,
            method=request.method,
            target=target,
            path=path,
            query=query,
            host=host,
            fields=fields,
            incoming=incoming,
            upstream=service.rules.upstream_for(path),
            is_draining=self._is_draining,
        )

    async def _carry(self, call: Call) -> Answered:
        rules = call.service.rules
        check_head(call.method, call.target, call.request.version, call.fields, rules.limits.max_head_bytes)
        if call.upstream is None:
            raise no_route()
        match = rules.endpoints.match(call.path, call.service.mode_of)
        if match is None or call.service.mode_of(match.endpoint) is Mode.OFF:
            return await Exchange(call, inspected=False).forward([], None)
        judging = _judging(call, match)
        try:
            if judging.inspection.may_refuse:
                return await self._hold(call, judging)
            return await Exchange(call, inspected=True).forward([], _Tee(judging))
        finally:
            judging.inspection.close()

    async def _hold(self, call: Call, judging: Judging) -> Answered:
        """Read and judge the body before anything of the request goes upstream."""
        exchange = Exchange(call, inspected=True)
        held = Held(self._budget, call.service.rules.limits.held_bytes)
        try:
            whole = await _read_and_judge(call.incoming, judging, held)
            decision = await judging.conclude(whole=whole)
            if decision is not None and decision.refused:
                held.let_go()
                vocabulary = call.service.rules.policy.vocabulary
                return await exchange.answer(refusal(decision, call.path, call.request_id, vocabulary))
            return await exchange.forward(held.hand_over(), _Told(judging), held.release)
        finally:
            held.release()


async def _read_and_judge(incoming: Incoming, judging: Judging, held: Held) -> bool:
    """Hold and judge a body as it comes; returns whether to its end, or as far as it changes anything.

    It is not read on once a reason about the whole request is known, nor when the refusal is certain and either
    the report is full or much is still to come. Raises NoRoomError.
    """
    inspection = judging.inspection
    if not inspection.wants_body:
        return True
    if not inspection.ended and incoming.left > held.limit:
        raise NoRoomError  # nor will there ever be
    while not inspection.ended:
        if inspection.certain and (inspection.enough or incoming.left > _NOT_WORTH_WAITING_FOR):
            return False
        chunk = await incoming.read(held.size)
        if not chunk:
            break
        await judging.feed(chunk)
        if inspection.certain:
            held.let_go()
        else:
            held.append(chunk, always=incoming.never_turned_away)
    return True


def no_route() -> HeadError:
    """Return the error for a path that no upstream takes."""
    return HeadError(404, "no_route", "no route takes this path")


def head_problem(error: HeadError, identity: str) -> Answer:
    """Return the answer to a head that is refused."""
    return problem(error.status, error.reason, error.detail, identity, *_FIELDS_BY_STATUS.get(error.status, ()))


def _judging(call: Call, match: Match) -> Judging:
    begin = time.perf_counter()
    head = Head(
        method=call.method,
        path=call.path,
        query=call.query,
        headers=call.fields.named,
        request_id=call.request_id,
        has_body=call.incoming.exists,
        content_length=call.incoming.length,
    )
    service = call.service
    inspection = Inspection(head, match, service.rules.policy, service.mode_of(match.endpoint))
    return Judging(inspection, call.service, call.request_id, time.perf_counter() - begin)


class _Tee:
    """Judges a body while it goes upstream."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    async def hear(self, chunk: bytes) -> None:
        await self._judging.feed(chunk)

    async def end(self) -> list[tuple[bytes, bytes]]:
        return stage_fields(await self._judging.conclude())


class _Told(_Tee):
    """Knows the decision already; what is left of the body changes nothing."""

    async def hear(self, chunk: bytes) -> None:
        pass
