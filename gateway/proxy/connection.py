"""A connection to an upstream, and the exchange it carries.

aiohttp's client session re-encodes targets, folds headers and costs three times as much, so this is llhttp
(httptools, in `reader.py`) on `asyncio.Protocol`: bytes go out as given, header bytes come in as sent.

Rules of the room:

- A connection is either idle in its pool or carries one exchange. After anything irregular it is closed.
- Whoever makes one owns it before it is connected: `abort` is right at every moment, and leaves nothing open.
- Back pressure both ways: `drain()` waits while the upstream does not read, reading pauses while nobody takes.
- Silence is an error: `timeout` seconds in which neither a byte of the request went out nor one of the response's
  body came in end the exchange. A head has that long from the request's end, however it drips.
- Nothing is sent twice here. Whether a request may be repeated is the caller's to decide; `answered` and the
  kind of error tell what is known.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from gateway.proxy.failures import UpstreamError, UpstreamTimeoutError
from gateway.proxy.inactivity import InactivityTimeout
from gateway.proxy.progress import unsent
from gateway.proxy.reader import Phase, ResponseReader
from gateway.proxy.response import Interim, ResponseHead

_HIGH_WATER = 256 * 1024
_ONE_SEGMENT = 1200  # bytes that arrive together or not at all (RFC 9293, section 3.7.1, less what IPv6 and TLS add)


class _Expected(NamedTuple):
    """What is known of a response before it comes."""

    method: str
    interim: Interim | None
    may_switch: bool


class Connection(asyncio.Protocol):
    """One connection to an upstream, and the exchange it carries.

    `on_data` is asked first when the first bytes of a response come: it returns whether they are all of it, and it has
    taken them. `on_progress` is called whenever something of the response has come, or what is left of it never will.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._twin: socket.socket | None = None
        self._inactivity = InactivityTimeout(self._give_up, self._is_excused)
        self._expected: _Expected | None = None  # None while idle
        self._reader: ResponseReader | None = None
        self._is_answered = False  # whether the whole response was taken at once
        self._writable: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused_writing = False
        self._paused_reading = False
        self._aborted = False
        self._reusable = True
        self._sent = False  # whether the request is wholly written
        self._size = 0  # of the request so far
        self.on_data: Callable[[bytes], bool] | None = None
        self.on_progress: Callable[[], None] | None = None
        self.idle_since = 0.0

    def __repr__(self) -> str:
        return f"<upstream connection: {'idle' if self._expected is None else self.reader!r}>"

    # What a caller does with a connection.

    def start(
        self, method: str, head: bytes, timeout: float, interim: Interim | None = None, *, may_switch: bool = False
    ) -> None:
        """Begin an exchange by sending the request's head, and body bytes that are at hand.

        `timeout` is how many seconds of silence end it. `interim` and `may_switch` are as for `ResponseReader`.
        """
        self._expected = _Expected(method, interim, may_switch)
        self._is_answered = False
        self._reusable = True
        self._sent = False
        self._size = 0
        self._inactivity.begin(timeout)
        self.write(head)

    @property
    def reader(self) -> ResponseReader:
        """What has come of the response; there is one from `start` to `finish`."""
        if self._reader is None:
            if self._expected is None:
                raise RuntimeError("an idle connection has no response")
            method, interim, may_switch = self._expected
            self._reader = ResponseReader(method, interim, may_switch=may_switch)
        return self._reader

    @property
    def is_answered(self) -> bool:
        """Whether the whole response was taken at once, by `on_data`."""
        return self._is_answered

    def write(self, data: bytes | memoryview) -> None:
        """Send body bytes.

        Once the connection is gone they go nowhere, and `head` or `read` tell; nor do they once the response is
        complete, since an upstream that has said all it will need not read on. It still waits for them, so such
        a connection must not carry another request: it would be taken for the rest of this one.
        """
        transport = self._transport
        if self._reader is not None and self._reader.phase is Phase.COMPLETE:
            self._reusable = False
        elif transport is not None and not transport.is_closing():
            self._inactivity.note()
            self._size += len(data)
            transport.write(data)

    def write_eof(self) -> None:
        """End what is sent through a tunnel; where that cannot be told apart from leaving, leave."""
        if self._transport is not None and not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    @property
    def is_full(self) -> bool:
        """Whether the upstream does not take what is written, so that `drain` waits."""
        return self._paused_writing

    @property
    def is_ended(self) -> bool:
        """Whether the request is wholly sent."""
        return self._sent

    def end(self) -> None:
        """Say that the request is wholly sent; without it the connection is not kept."""
        self._sent = True

    async def drain(self) -> None:
        """Wait while the upstream reads nothing; not when it is gone, nor when its response is complete."""
        if self._paused_writing and self.reader.phase is not Phase.COMPLETE and self._transport is not None:
            self._writable = self._loop.create_future()
            await self._writable
            self._inactivity.note()

    async def head(self) -> ResponseHead:
        """Return the head of the response. Raises UpstreamError."""
        reader = self.reader
        while reader.head is None:
            if reader.error is not None:
                raise reader.error
            await self._wait()
        return reader.head

    async def read(self) -> bytes:
        """Return the next bytes of the body, b"" at its end. Raises UpstreamError when it breaks off."""
        reader = self.reader
        while not reader.waiting:
            if reader.error is not None:
                raise reader.error
            if reader.is_whole:
                return b""
            await self._wait()
        return self.rest()

    def rest(self) -> bytes:
        """Return what has come of the body and was not read, without waiting."""
        data = self.reader.take()
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange; returns whether the connection can carry another one. Otherwise it is closed."""
        reader = self._reader
        self._expected = self._reader = self.on_data = self.on_progress = None
        self._inactivity.rest()
        # Where reading is paused the end of the body was not taken: nobody would resume it for the next exchange.
        taken = self._sent and self._reusable and not self._paused_reading
        is_over = self._is_answered or (reader is not None and reader.may_be_followed)
        may_be_followed = taken and is_over and self.usable
        if not may_be_followed:
            self.abort()
        if reader is not None:
            reader.close()
        return may_be_followed

    @property
    def usable(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, whatever is under way; a connection that is not made yet is closed when it is."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()
        self._close_twin()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and a second hold on its socket for what can still be read when a write failed."""
        self._transport = transport  # type: ignore[assignment]  # a stream protocol gets a stream transport
        if self._aborted:
            self.abort()
            return
        if transport.get_extra_info("sslcontext") is None:
            with contextlib.suppress(OSError):  # no descriptor is left: the exchange can do without
                self._twin = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    def data_received(self, data: bytes) -> None:
        """Let the response be read on."""
        if self._expected is None or self._is_answered or (self._reader is not None and self._reader.is_whole):
            self.abort()  # an upstream that speaks unasked is out of step
            self._reusable = False
            return
        take, self.on_data = self.on_data, None
        if take is not None and self._reader is None and self._is_wholly_sent() and take(data):
            self._is_answered = True
        else:
            self._read(self.reader, data)
        self._wake()

    def _read(self, reader: ResponseReader, data: bytes) -> None:
        had_head = reader.head is not None
        reader.feed(data)
        if reader.phase is Phase.FAILED:
            self.abort()
        elif reader.head is not None:
            self._note_body(reader, begins=not had_head)

    def _note_body(self, reader: ResponseReader, *, begins: bool) -> None:
        """Note that a body moves, which may take its time: neither the time nor the room of a head can be stretched."""
        self._inactivity.note()
        if begins and not self._is_wholly_sent():
            self._reusable = False
        if reader.is_tunnel:
            self._inactivity.rest()
        elif reader.is_whole:
            self._release_writer()
        if reader.waiting > _HIGH_WATER and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()

    def _is_wholly_sent(self) -> bool:
        """Whether the request has arrived to its end, as its answer comes.

        An upstream that answers earlier may close on what it did not read, and the next request would meet that.
        """
        if not self._sent or self._transport is None or self._transport.get_write_buffer_size() > 0:
            return False
        return self._size <= _ONE_SEGMENT or unsent(self._transport) == 0

    def eof_received(self) -> bool:
        """Take the upstream's end; in a tunnel only its sending has ended."""
        reader = self._reader
        if reader is None or reader.is_whole:
            return False
        reader.end()
        self._wake()  # which may be the end of the exchange
        return reader.is_tunnel

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._expected is not None and not self._is_answered:
            reader = self.reader
            if self._twin is not None and exc is not None:
                self._salvage(self._twin, reader)
            if not reader.is_whole:
                reader.fail(UpstreamError(f"the upstream closed the connection: {exc or 'end of stream'}"))
        self._close_twin()
        self._inactivity.stop()
        self._transport = None
        self._release_writer()
        self._wake()

    def _close_twin(self) -> None:
        """Let go of the second hold: while it lasts the system keeps the connection open, whatever the loop closed.

        An event loop that is told to give up an attempt closes what it has made without a word to its protocol.
        """
        if self._twin is not None:
            self._twin.close()
            self._twin = None

    def _salvage(self, twin: socket.socket, reader: ResponseReader) -> None:
        """Read what had come before a write failed.

        An upstream that answers and closes while the request is still being sent resets the connection; its answer
        is there to be read, but the event loop lets go at the failed write.
        """
        with contextlib.suppress(OSError):
            # What looks like an end here is none: the reset was told before.
            while not reader.is_whole and reader.error is None and (data := twin.recv(_HIGH_WATER)):
                self.data_received(data)

    def pause_writing(self) -> None:
        """Hold `drain` back."""
        self._paused_writing = True

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        self._paused_writing = False
        self._release_writer()

    def _release_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Waiting.

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.on_progress is not None:
            self.on_progress()

    def _is_excused(self) -> bool:
        """Whether it is our reader who is slow."""
        return self._paused_reading or self._is_answered or (self._reader is not None and self._reader.is_whole)

    def _give_up(self) -> None:
        if self._expected is not None:
            self.reader.fail(UpstreamTimeoutError(f"the upstream was silent for {self._inactivity.seconds:g} s"))
        self.abort()
        self._wake()
        self._release_writer()
