"""Several worker processes, seen from the main process.

Rules of the room:

- Connections are accepted here and handed over in turn, so that every worker has as many as the others, and none is
  lost with a worker that has not taken it. While no worker is ready they wait in the listener's backlog.
- Rules and modes are read and settled here and told to all; counts come back as what is new since the last report.
- A worker that ends is started again, later each time it ends soon. What it was carrying is lost with it.
- A worker that falls silent gets no more connections, what it has not taken goes to the others, and nobody waits
  for its answers; when it stays silent it is ended. Seconds in which this process was not heard either do not count.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from itertools import cycle, islice

import orjson

from gateway.errors import GatewayError, cause_of
from gateway.proxy.shared_counters import SharedCounters, shared_file
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.server.channel import MessageError
from gateway.server.messages import Apply, Ask, Counted, Drain, Finish, Leave
from gateway.server.record_file import Recording
from gateway.server.worker_slot import START_SECONDS, WorkerSlot
from gateway.telemetry.metrics import Metrics, children_of
from gateway.telemetry.reports import add

_ACCEPTED_AT_ONCE = 64
_FULL_SECONDS = 0.02  # until a connection that nobody had room for is offered again
_EXHAUSTED_SECONDS = 1.0  # until one is accepted again after the system had no descriptor left
_TICK_SECONDS = 1.0
_ANSWER_SECONDS = 1.0
_END_SECONDS = 3.0
_SOON_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_log = logging.getLogger("gateway.workers")


class WorkerPool:
    """The request server that is `count` processes."""

    def __init__(
        self,
        count: int,
        rules: Rules,
        metrics: Metrics,
        log_level: str,
        log_format: str,
        *,
        has_lane: bool,
        recording: Recording | None = None,
    ) -> None:
        self._rules = rules
        self._modes: Mapping[str, Mode] = {}
        self._metrics = metrics
        self._recording = recording
        records = recording.per_second / count if recording is not None else 0
        self._words = log_level, log_format, int(has_lane), records
        self._numbers = shared_file(count)
        self._slots = [WorkerSlot(own, SharedCounters.among(count, own, self._numbers)) for own in range(count)]
        self._turns = cycle(self._slots)
        self._listener: socket.socket | None = None
        self._offered: socket.socket | None = None  # accepted, but nobody had room
        self._keeping: list[asyncio.Task[None]] = []
        self._started = False
        self._ending = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._asked = 0
        self._restarts = 0
        self._news = asyncio.Event()
        children_of(rules, metrics)  # every series is there from the start
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.held_bytes.set_function(lambda: self._slots[0].counters.held.total)

    @property
    def in_flight(self) -> int:
        """How many requests were being carried when the workers were heard last."""
        return sum(slot.in_flight for slot in self._slots)

    @property
    def is_busy(self) -> bool:
        """Whether a worker is still there."""
        return any(slot.process is not None for slot in self._slots)

    def describe(self) -> dict[str, int]:
        """Count the slots, those whose workers serve, and the workers that were started again."""
        serving = sum(slot.serves for slot in self._slots)
        return {"wanted": len(self._slots), "serving": serving, "restarts": self._restarts}

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Tell every worker."""
        new = rules is not self._rules
        self._rules, self._modes = rules, modes
        if new:
            children_of(rules, self._metrics)
        for slot in self._slots:
            slot.tell(self._order(whole=new))

    def _order(self, *, whole: bool) -> Apply:
        return Apply(
            document=orjson.dumps(dict(self._rules.document)).decode() if whole else None,
            source=self._rules.source,
            dry_run=self._rules.policy.dry_run,
            authorities=dict(self._rules.authorities) if whole else None,
            modes=dict(self._modes),
        )

    async def settle(self) -> None:
        """Wait until every worker has done what it was told and said what it counted, or takes too long."""
        self._asked = asked = self._asked + 1
        slots = [slot for slot in self._slots if slot.serves]
        for slot in slots:
            slot.tell(Ask(asked))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                while any(slot.serves and slot.answered < asked for slot in slots):
                    await self._news.wait()

    async def start(self, listener: socket.socket) -> None:
        """Start the workers, then accept. Raises GatewayError when one does not come to serve."""
        self._listener = listener
        self._keeping = [asyncio.create_task(self._keep(slot)) for slot in self._slots]
        for task in self._keeping:
            task.add_done_callback(lambda _: self._tell_news())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while not all(slot.ready for slot in self._slots) and not any(t.done() for t in self._keeping):
                    await self._news.wait()
        if not all(slot.ready for slot in self._slots):
            await self.close()
            raise GatewayError("a worker ended before it served; its log says why")
        self._started = True
        self._watching = asyncio.create_task(self._watch())
        self._accept_again()

    def drain(self) -> None:
        """Tell every worker, and start none again."""
        self._ending.set()
        for slot in self._slots:
            slot.tell(Drain())

    async def stop_accepting(self) -> None:
        """Close the listener, and let the workers end when they are done."""
        if self._started:
            self._accept()  # what was offered in vain, and what waits
        self._stop_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._offered is not None:
            self._offered.close()
            self._offered = None
        for slot in self._slots:
            slot.tell(Finish())

    async def close(self) -> None:
        """End the workers."""
        self._ending.set()
        await self.stop_accepting()
        for slot in self._slots:
            slot.tell(Leave())
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=_END_SECONDS)
        for slot in self._slots:
            slot.kill()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        if self._watching is not None:
            self._watching.cancel()
        for slot in self._slots:
            slot.close()
        os.close(self._numbers)

    async def _keep(self, slot: WorkerSlot) -> None:
        """See to it that there is a worker in a slot."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_SECONDS
        while not self._ending.is_set():
            began = loop.time()
            code = await self._run(slot)
            if self._ending.is_set() or not self._started:
                return
            pause = _FIRST_PAUSE_SECONDS if loop.time() - began > _SOON_SECONDS else pause
            _log.error("a worker ended", extra={"worker": slot.own, "code": code, "startedAgainInSeconds": pause})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
                return
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._restarts += 1
            self._metrics.worker_restarts.labels().inc()

    async def _run(self, slot: WorkerSlot) -> int | None:
        """Run one worker to its end; returns its exit code, None when it could not be started."""
        try:
            channel = await slot.begin(*self._words, len(self._slots), slot.own, numbers=self._numbers)
            slot.tell(self._order(whole=True))
            if self._ending.is_set():  # since it was begun: nobody else ends it, and it has taken nothing yet
                slot.kill()
            while (message := await channel.hear()) is not None:
                self._hear(slot, message)
                if message.is_last:
                    break
        except MessageError as error:
            _log.error("%s", error, exc_info=error, extra={"worker": slot.own})
            slot.kill()
        except OSError as error:
            _log.error("a worker cannot be started", extra={"worker": slot.own, "error": cause_of(error)})
        slot.ready = False
        self._tell_news()
        self._hand_on(slot)
        return await slot.bury(_END_SECONDS)

    async def _watch(self) -> None:
        """Notice workers that are not heard any more."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for slot in self._slots:
                slot.silent += 1
                if slot.ready and not slot.serves:
                    self._tell_news()
                    self._hand_on(slot)
                if slot.is_lost:
                    _log.error("a worker does not answer and is ended", extra={"worker": slot.own})
                    slot.kill()

    def _hand_on(self, slot: WorkerSlot) -> None:
        """Give the others what waits in a slot for a worker that does not take it."""
        handed = self._listener is not None
        while handed and (connection := slot.take_back()) is not None:
            handed = self._hand_over(connection)
            if not handed:
                slot.hand_over(connection)  # for whoever comes
            connection.close()

    def _hear(self, slot: WorkerSlot, message: Counted) -> None:
        add(self._metrics, message.report, self._rules.max_funds)
        if self._recording is not None:
            for line in message.recorded:
                self._recording.file.add(line.encode())
        slot.silent = 0
        slot.in_flight = message.in_flight
        slot.answered = max(slot.answered, message.number)
        if not slot.ready:
            slot.ready = True
            self._accept_again()
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _accept_again(self) -> None:
        if self._listener is not None and self._started:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)
            if self._offered is not None:  # nothing is left to be read of that one
                self._accept()

    def _stop_accepting(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        """Accept what waits, as long as somebody takes it."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection = self._offered or self._next_connection()
            except OSError as error:  # of descriptors there are no more for now
                _log.error("no connection can be accepted", extra={"error": cause_of(error)})
                connection = None
                self._rest(_EXHAUSTED_SECONDS)
            if connection is None:
                return
            if not self._hand_over(connection):
                self._offered = connection
                self._rest(_FULL_SECONDS)
                return
            self._offered = None
            connection.close()

    def _next_connection(self) -> socket.socket | None:
        listener = self._listener
        while listener is not None:
            try:
                return listener.accept()[0]
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionError:  # it was gone before it was accepted
                continue
        return None

    def _hand_over(self, connection: socket.socket) -> bool:
        turns = islice(self._turns, len(self._slots))
        return any(slot.serves and slot.hand_over(connection) for slot in turns)

    def _rest(self, seconds: float) -> None:
        """Leave what waits in the backlog for a while."""
        self._stop_accepting()
        asyncio.get_running_loop().call_later(seconds, self._accept_again)
