"""The express lane: small plain requests, carried in callbacks, without a task, a future or a timer of their own.

Rules of the room:

- The lane may only say "mine". Whatever is not plain, or not to be had at once, goes the general way with the very
  same bytes, before any of them was acted on: nothing is sent, counted or logged until the lane is sure.
- It means what the general way means, by the same functions: route, inspection, decision, heads, refusals. What
  turns out to be long or goes wrong on its way is brought to its end by the general way's own exchange.
- One request at a time: what a client sends behind one waits. A little of it is read, since who does not read does
  not see that the client leaves.
"""

import asyncio
import time
from collections.abc import Callable

from gateway.proxy.carried import Carried, FormedRequest
from gateway.proxy.client import Client
from gateway.proxy.forms import SHORT
from gateway.proxy.handler import Handler, judging_of
from gateway.proxy.held import SMALL
from gateway.proxy.judging import Judging
from gateway.proxy.plain import END, LARGEST
from gateway.proxy.recorder import Sample
from gateway.proxy.service import Service
from gateway.rollout.endpoints import Match

_MOST_BEHIND = 64 * 1024  # bytes behind a request that are read before it is answered
_GATHERING_SECONDS = 0.05  # how long the rest of a request is waited for; a slower one is the general way's


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
        "_timer",
        "_wanted",
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
        self._carried: Carried | None = None
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
            if len(self._behind) >= _MOST_BEHIND:
                self._client.writer.transport.pause_reading()
            return None
        if self._wanted:
            return self._gather(data)
        service = self._handler.service
        request = None if self._handler.draining else self._plain(data, service)
        if request is None:
            return data
        missing = request.size - len(data)
        if missing == 0:
            return None if self._carry(request, service, data) else data
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
        service = self._handler.service
        request = None if self._handler.draining else self._plain(whole, service)
        taken = request is not None and request.size == len(whole) and self._carry(request, service, whole)
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

    def _plain(self, data: bytes, service: Service) -> FormedRequest | None:
        """Return the plain request that `data` begins with; None where it begins with none that leads anywhere."""
        end = data.find(END, 0, min(SHORT, service.rules.limits.max_head_bytes))
        if end < 0:
            return None
        first = data[: data.find(b"\r\n")]
        way = service.way(first)
        found = None if way is None else self._handler.forms.of_request(data[len(first) : end])
        if way is None or found is None:
            return None
        form, values = found
        length = form.length(values)
        if length is None or length > LARGEST:
            return None
        return FormedRequest(first, way, form, values, end + len(END) + length, length)

    def _carry(self, request: FormedRequest, service: Service, data: bytes) -> bool:
        """Carry a request if nothing about it takes longer than a moment; returns whether."""
        route = request.way.route
        if not self._client.writer.is_ready or not service.pools[route.upstream.name].has_idle:
            return False
        carried = Carried(request, request.content(data), self._client, service, self._handler, self._end)
        match = route.inspected
        if match is not None and not self._decide(carried, request, service, match):
            return False
        self._carried = carried
        carried.begin()
        return True

    def _decide(self, carried: Carried, request: FormedRequest, service: Service, match: Match) -> bool:
        """Judge a request, and decide on it; returns whether that was a matter of a moment."""
        recorder = self._handler.recorder
        if recorder is None or not recorder.chooses():
            return self._decide_on(carried, request, service, match)
        sample = recorder.sample(carried.head, match, service.rules)
        if not self._decide_on(carried, request, service, match, sample):
            recorder.give_back()
            return False
        return True

    def _decide_on(
        self, carried: Carried, request: FormedRequest, service: Service, match: Match, sample: Sample | None = None
    ) -> bool:
        """Judge and decide; `sample`, where there is one, is told."""
        content, known, key = carried.content, service.good, (request.first, request.form)
        expected = known.get(key)
        if expected is not None and self._has_room(len(content)):
            begin = time.perf_counter()
            decision = expected.decision(content)
            if decision is not None:
                carried.decide(decision, time.perf_counter() - begin)
                if sample is not None:
                    sample.hear(content)
                    sample.conclude(decision)
                return True
        judging = judging_of(carried.head, service, request.way.route, match)
        if content and key not in known and len(content) <= service.rules.policy.max_body_bytes:
            service.remember(key, judging.inspection.good_requests())
        judging.sample = sample
        if not self._judge(judging, content):
            judging.close()
            return False
        carried.judging = judging
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
        if inspection.may_refuse and inspection.wants_body and not self._has_room(len(content)):
            return False
        return judging.at_once(content)

    def _has_room(self, size: int) -> bool:
        """Whether the general way would hold a body that has arrived whole."""
        limit = self._handler.service.rules.limits.held_bytes
        return size <= limit and (size <= SMALL or self._handler.held + size <= limit)

    def _end(self, keeps_alive: bool) -> None:
        self._carried = None
        behind, self._behind = self._behind, b""
        transport = self._client.writer.transport
        if len(behind) >= _MOST_BEHIND and not transport.is_closing():
            transport.resume_reading()
        self._done(keeps_alive, behind)
