"""One worker: a process that carries the connections it is handed, under what it is told.

Rules of the room:

- It decides nothing for itself and reads no file that is configured: rules and modes come from the main process,
  which hears what was counted.
- The signals of a terminal or a service manager are for that process. A worker ends when it is told to, or when
  the other end of its channel is gone: then it carries what it has to its end, for `drainSeconds` at most.
- The queue of connections outlives it: what it has not taken is taken by the worker that comes in its place.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from typing import assert_never

import uvloop

from gateway.errors import cause_of
from gateway.proxy.recorder import Recorder
from gateway.proxy.shared_counters import SharedCounters
from gateway.rules.load import Rules, parse
from gateway.server.channel import Channel, receive_connection
from gateway.server.in_process_server import InProcessServer
from gateway.server.messages import Apply, Ask, Counted, Drain, Finish, Leave, Order
from gateway.telemetry.logs import set_up
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.reports import take

REPORT_SECONDS = 0.5
_TAKEN_AT_ONCE = 16
_MOST_RECORDED = 512 * 1024  # bytes between two reports: a millisecond to make a message of
_EXHAUSTED_SECONDS = 1.0  # until one is taken again after the system had no descriptor left
_log = logging.getLogger("gateway.worker")


class Worker:
    """Carries connections from `queue`, a socket over which they come as file descriptors."""

    def __init__(
        self, channel: Channel[Order], queue: socket.socket, counters: SharedCounters, *, has_lane: bool, records: float
    ) -> None:
        self._channel = channel
        self._queue = queue
        self._counters = counters
        self._has_lane = has_lane
        self._metrics = Metrics(reported=True)
        self._recorded: list[str] = []
        self._recorded_bytes = 0
        self._recorder = Recorder(records, self._keep, self._metrics) if records else None
        self._rules: Rules | None = None
        self._server: InProcessServer | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._finishing = False
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Do what is told until told to end, or until nobody is there to tell."""
        reporting: asyncio.Task[None] | None = None
        finishing: asyncio.Task[None] | None = None
        try:
            while (message := await self._channel.hear()) is not None:
                match message:
                    case Apply():
                        await self._apply(message)
                        reporting = reporting or asyncio.create_task(self._report_on())
                    case Ask():
                        self._report(message.number)
                    case Drain():
                        self._serving.drain()
                    case Finish():
                        finishing = finishing or asyncio.create_task(self._finish())
                    case Leave():
                        self._hurry.set()
                    case _:
                        assert_never(message)
            if self._rules is not None:
                asyncio.get_running_loop().call_later(self._rules.limits.drain_seconds, self._hurry.set)
            await (finishing or asyncio.create_task(self._finish()))
        finally:
            if reporting is not None:
                reporting.cancel()
            if self._server is not None:
                await self._server.close()

    @property
    def _serving(self) -> InProcessServer:
        assert self._server is not None, "told something else before what to apply"  # noqa: S101 - a fault of ours
        return self._server

    async def _apply(self, message: Apply) -> None:
        if message.document is not None:
            self._rules = parse(
                message.document,
                source=message.source,
                dry_run=message.dry_run,
                authorities=message.authorities,
            )
        assert self._rules is not None, "modes were told before rules"  # noqa: S101 - a fault of ours
        if self._server is None:
            self._server = InProcessServer(
                self._rules, self._metrics, self._counters, has_lane=self._has_lane, recorder=self._recorder
            )
            await self._server.start()
            self._take_again()
        self._server.apply(self._rules, message.modes)

    def _take(self) -> bool:
        """Take some of the connections that wait; returns whether there may be more."""
        for _ in range(_TAKEN_AT_ONCE):
            try:
                mark, descriptors = receive_connection(self._queue)
            except BlockingIOError:
                return False
            except OSError as error:
                _log.error("no connection can be taken", extra={"error": cause_of(error)})
                asyncio.get_running_loop().remove_reader(self._queue)
                asyncio.get_running_loop().call_later(_EXHAUSTED_SECONDS, self._take_again)
                return False
            if not mark:  # nobody hands over any more
                asyncio.get_running_loop().remove_reader(self._queue)
                return False
            for descriptor in descriptors:
                task = asyncio.create_task(self._connect(socket.socket(fileno=descriptor)))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
        return True

    def _take_again(self) -> None:
        if not self._finishing:
            asyncio.get_running_loop().add_reader(self._queue, self._take)

    async def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        await self._serving.take(connection)

    async def _finish(self) -> None:
        """Carry what was handed over to its end, and tell what it came to."""
        self._finishing = True
        if self._server is not None:
            while self._take():
                pass
            asyncio.get_running_loop().remove_reader(self._queue)
            await asyncio.gather(*self._connecting)
            self._serving.drain()
            while self._serving.is_busy and not self._hurry.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), 0.02)
            if self._recorder is not None:
                self._recorder.finish()
            self._report(0, is_last=True)
        else:
            self._channel.close()

    async def _report_on(self) -> None:
        while True:
            if not self._channel.is_behind:  # what is not told now is told later
                self._report(0)
            await asyncio.sleep(REPORT_SECONDS)

    def _report(self, number: int, *, is_last: bool = False) -> None:
        recorded, self._recorded, self._recorded_bytes = self._recorded, [], 0
        in_flight = self._serving.in_flight
        self._channel.tell(Counted(take(self._metrics), in_flight, number, recorded, is_last))

    def _keep(self, line: bytes) -> None:
        """Keep a record until the next report; where that is long in coming, some are lost."""
        if self._recorded_bytes + len(line) <= _MOST_RECORDED:
            self._recorded.append(line.decode())
            self._recorded_bytes += len(line)
        else:
            self._metrics.records.labels("lost").inc()


async def _work(control: int, queue: int, counters: SharedCounters, *, has_lane: bool, records: float) -> None:
    waiting = socket.socket(fileno=queue)
    waiting.setblocking(False)
    channel: Channel[Order] = await Channel.over(socket.socket(fileno=control), Order)
    await Worker(channel, waiting, counters, has_lane=has_lane, records=records).run()


def main() -> None:
    """Run a worker on the file descriptors that were handed down; see `gateway.server.worker_pool`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    *handed, level, form, has_lane, records, processes, own = sys.argv[1:]
    control, queue, file = map(int, handed)
    set_up(level, form, worker=int(own))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counters = SharedCounters.among(int(processes), int(own), file)
        runner.run(_work(control, queue, counters, has_lane=has_lane == "1", records=float(records)))


if __name__ == "__main__":
    main()
