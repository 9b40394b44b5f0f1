"""The slot of one worker among the workers, and whoever has it now."""

import asyncio
import contextlib
import socket
import sys

from gateway.proxy.shared_counters import SharedCounters
from gateway.server.channel import Channel, receive_connection
from gateway.server.messages import Counted, Order

SILENT_SECONDS = 3  # a worker reports twice a second; from here on it gets no more connections
LOST_SECONDS = 10  # and here it is ended, and replaced
START_SECONDS = 60


class WorkerSlot:
    """The slot `own`. Its queue of connections stays when the worker goes."""

    def __init__(self, own: int, counters: SharedCounters) -> None:
        self.own = own
        self.counters = counters
        self.queue, self.queue_end = socket.socketpair()
        self.queue.setblocking(False)
        self.queue_end.setblocking(False)
        self.process: asyncio.subprocess.Process | None = None
        self.channel: Channel[Counted] | None = None
        self.ready = False
        self.silent = 0  # seconds since the worker was heard
        self.answered = 0
        self.in_flight = 0

    @property
    def serves(self) -> bool:
        """Whether there is a worker that takes connections."""
        return self.ready and self.silent < SILENT_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether there is a worker that will not be heard any more."""
        return self.process is not None and self.silent >= (LOST_SECONDS if self.ready else START_SECONDS)

    async def begin(self, *arguments: object, numbers: int) -> Channel[Counted]:
        """Start a worker that also gets the descriptor `numbers`. Raises OSError when the system does not let us."""
        ours, theirs = socket.socketpair()
        with theirs:
            handed = (theirs.fileno(), self.queue_end.fileno(), numbers)
            words = (*handed, *arguments)
            # -P: a folder of our name where the command was given is not our package.
            command = (sys.executable, "-P", "-m", "gateway.server.worker", *map(str, words))
            try:
                self.silent = 0
                self.process = await asyncio.create_subprocess_exec(*command, pass_fds=handed)
                self.channel = await Channel.over(ours, Counted)
            except BaseException:  # told to end in between, it must not keep the worker's other end open
                ours.close()
                raise
        return self.channel

    def tell(self, message: Order) -> None:
        """Send the worker a message, when there is one."""
        if self.channel is not None:
            self.channel.tell(message)

    def hand_over(self, connection: socket.socket) -> bool:
        """Put a connection into the queue; returns whether there was room."""
        try:
            socket.send_fds(self.queue, [b"\0"], [connection.fileno()])
        except OSError:  # full, of messages or of descriptors under way
            return False
        return True

    def take_back(self) -> socket.socket | None:
        """Return a connection that no worker has taken out of the queue, None when there is none."""
        try:
            _, descriptors = receive_connection(self.queue_end)
        except OSError:
            return None
        return socket.socket(fileno=descriptors[0]) if descriptors else None

    def kill(self) -> None:
        """End the worker, when there is one."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def bury(self, seconds: float) -> int | None:
        """Wait for the end of a worker that does not talk any more, and let go of what it had; returns its exit code.

        After `seconds` it is killed.
        """
        self.in_flight = 0
        if self.channel is not None:
            self.channel.close()
        self.channel = None
        code = None
        if self.process is not None:
            try:
                async with asyncio.timeout(seconds):
                    code = await self.process.wait()
            except TimeoutError:
                self.kill()
                code = await self.process.wait()
        self.process = None
        self.counters.give_up()
        return code

    def close(self) -> None:
        """Let go of the queue, and of what is in it."""
        self.queue.close()
        self.queue_end.close()
