"""Several worker processes, seen from the one that steers them.

Rules of the room:

- Connections are accepted here and handed over in turn, so that every worker has as many as the others, and none is
  lost with a worker that has not taken it. While no worker is ready they wait in the listener's backlog.
- Rules and modes are read and settled here and told to all; counts come back as what is new since the last report.
- A worker that ends is started again, later each time it ends soon. What it was carrying is lost with it.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.proxy.shares import Shares, shared_file
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.server.channel import Channel
from gateway.telemetry.metrics import Metrics, children_of
from gateway.telemetry.reports import add

_ACCEPTED_AT_ONCE = 64
_FULL_SECONDS = 0.02  # until a connection that nobody had room for is offered again
_ANSWER_SECONDS = 1.0
_START_SECONDS = 60.0
_END_SECONDS = 3.0
_SOON_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_log = logging.getLogger("gateway.workers")


class _Place:
    """The place of one worker, and whoever has it now. The queue stays when the worker goes."""

    def __init__(self, own: int, shares: Shares) -> None:
        self.own = own
        self.shares = shares
        self.queue, self.queue_end = socket.socketpair()
        self.queue.setblocking(False)
        self.process: asyncio.subprocess.Process | None = None
        self.channel: Channel | None = None
        self.ready = False
        self.answered = 0
        self.in_flight = 0

    def tell(self, **message: Any) -> None:
        if self.channel is not None:
            self.channel.tell(**message)

    def hand_over(self, connection: socket.socket) -> bool:
        """Put a connection into the queue; returns whether there was room."""
        try:
            socket.send_fds(self.queue, [b"\0"], [connection.fileno()])
        except OSError:  # full, of messages or of descriptors under way
            return False
        return True


class Workers:
    """Carries requests in `count` processes."""

    def __init__(self, count: int, rules: Rules, metrics: Metrics, log_level: str) -> None:
        self._rules = rules
        self._modes: Mapping[str, Mode] = {}
        self._metrics = metrics
        self._log_level = log_level
        self._numbers = shared_file(count)
        self._places = [_Place(own, Shares.among(count, own, self._numbers)) for own in range(count)]
        self._turns = cycle(self._places)
        self._listener: socket.socket | None = None
        self._offered: socket.socket | None = None  # accepted, but nobody had room
        self._keeping: list[asyncio.Task[None]] = []
        self._started = self._ending = False
        self._asked = 0
        self._restarts = 0
        self._news = asyncio.Event()
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.held_bytes.set_function(lambda: self._places[0].shares.held.total)

    @property
    def in_flight(self) -> int:
        """How many requests were being carried when the workers were heard last."""
        return sum(place.in_flight for place in self._places)

    @property
    def is_busy(self) -> bool:
        """Whether a worker is still there."""
        return any(place.process is not None for place in self._places)

    def describe(self) -> dict[str, int]:
        """Return how many processes are wanted, how many serve, and how often one was started again."""
        serving = sum(place.ready for place in self._places)
        return {"wanted": len(self._places), "serving": serving, "restarts": self._restarts}

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Let every request from now on be carried under these."""
        new = rules is not self._rules
        self._rules, self._modes = rules, modes
        children_of(rules, self._metrics)  # every series is there from the start
        for place in self._places:
            place.tell(**self._message(whole=new))

    def _message(self, *, whole: bool) -> dict[str, Any]:
        document = orjson.dumps(dict(self._rules.document)).decode() if whole else None
        dry_run = self._rules.policy.dry_run
        return {
            "do": "apply",
            "document": document,
            "source": self._rules.source,
            "dryRun": dry_run,
            "modes": dict(self._modes),
        }

    async def settle(self) -> None:
        """Wait until every worker has done what it was told and said what it counted, or takes too long."""
        self._asked = asked = self._asked + 1
        places = [place for place in self._places if place.ready]
        for place in places:
            place.tell(do="ask", number=asked)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                while any(place.ready and place.answered < asked for place in places):
                    await self._news.wait()

    async def start(self, listener: socket.socket) -> None:
        """Start the workers, then accept. Raises GatewayError when one does not come to serve."""
        self._listener = listener
        self._keeping = [asyncio.create_task(self._keep(place)) for place in self._places]
        for task in self._keeping:
            task.add_done_callback(lambda _: self._tell_news())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while not all(place.ready for place in self._places) and not any(t.done() for t in self._keeping):
                    await self._news.wait()
        if not all(place.ready for place in self._places):
            await self.close()
            raise GatewayError("a worker ended before it served; its log says why")
        self._started = True
        self._accept_again()

    def drain(self) -> None:
        """Make every response the last on its connection."""
        self._ending = True
        for place in self._places:
            place.tell(do="drain")

    async def stop_accepting(self) -> None:
        """Close the listener, and let the workers end when they are done."""
        self._stop_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._offered is not None:
            self._offered.close()
            self._offered = None
        for place in self._places:
            place.tell(do="finish")

    async def close(self) -> None:
        """End the workers."""
        self._ending = True
        await self.stop_accepting()
        for place in self._places:
            place.tell(do="leave")
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=_END_SECONDS)
        for place in self._places:
            if place.process is not None:
                place.process.kill()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for place in self._places:
            place.queue.close()
            place.queue_end.close()
        os.close(self._numbers)

    async def _keep(self, place: _Place) -> None:
        """See to it that there is a worker in a place."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_SECONDS
        while not self._ending:
            began = loop.time()
            code = await self._run(place)
            if self._ending or not self._started:
                return
            pause = _FIRST_PAUSE_SECONDS if loop.time() - began > _SOON_SECONDS else pause
            _log.error("a worker ended", extra={"worker": place.own, "code": code, "startedAgainInSeconds": pause})
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._restarts += 1
            self._metrics.worker_restarts.labels().inc()

    async def _run(self, place: _Place) -> int | None:
        """Run one worker to its end; returns its exit code, None when it could not be started."""
        ours, theirs = socket.socketpair()
        handed = (theirs.fileno(), place.queue_end.fileno(), self._numbers)
        arguments = (self._log_level, *handed, len(self._places), place.own)
        # -P: a folder of our name where the command was given is not our package.
        command = (sys.executable, "-P", "-m", "gateway.server.worker", *map(str, arguments))
        try:
            place.process = await asyncio.create_subprocess_exec(*command, pass_fds=handed)
        except OSError as error:
            _log.error("a worker cannot be started", extra={"worker": place.own, "error": str(error)})
            ours.close()
            return None
        finally:
            theirs.close()
        place.channel = await Channel.over(ours)
        place.tell(**self._message(whole=True))
        while (message := await place.channel.hear()) is not None:
            self._hear(place, message)
        return await self._bury(place, place.process)

    async def _bury(self, place: _Place, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a worker that does not talk any more, and let go of what it had."""
        place.ready = False
        self._tell_news()
        if place.channel is not None:
            place.channel.close()
        place.channel = None
        try:
            async with asyncio.timeout(_END_SECONDS):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        place.process = None
        place.in_flight = 0
        place.shares.give_up()
        return code

    def _hear(self, place: _Place, message: dict[str, Any]) -> None:
        add(self._metrics, message["report"], self._rules.max_funds)
        place.in_flight = message["inFlight"]
        place.answered = max(place.answered, message["number"])
        if not place.ready:
            place.ready = True
            self._accept_again()
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _accept_again(self) -> None:
        if self._listener is not None and self._started:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _stop_accepting(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        """Accept what waits, as long as somebody takes it."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection = self._offered or self._next_connection()
            except OSError as error:  # of descriptors there are no more for now
                _log.error("no connection can be accepted", extra={"error": str(error)})
                connection = None
                self._rest()
            if connection is None:
                return
            if not self._hand_over(connection):
                self._offered = connection
                self._rest()
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
        turns = islice(self._turns, len(self._places))
        return any(place.ready and place.hand_over(connection) for place in turns)

    def _rest(self) -> None:
        """Leave what waits in the backlog for a moment."""
        self._stop_accepting()
        asyncio.get_running_loop().call_later(_FULL_SECONDS, self._accept_again)
