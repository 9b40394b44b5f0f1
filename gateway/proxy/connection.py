"""A connection to an upstream, and the exchange it carries.

aiohttp's client session re-encodes targets, folds headers and costs three times as much, so this is llhttp
(httptools) on `asyncio.Protocol`: bytes go out as given, header bytes come in as sent.

Rules of the room:

- A connection is either idle in its pool or carries one exchange. After anything irregular it is closed.
- Whoever makes one owns it before it is connected: `abort` is right at every moment, and leaves nothing open.
- One request has one response. Whatever comes behind it is dropped, and the connection with it.
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

import httptools

from gateway.proxy.failures import UpstreamError, UpstreamTimeoutError
from gateway.proxy.headers import IndexedFields
from gateway.proxy.patience import Patience
from gateway.proxy.progress import unsent
from gateway.proxy.response import Interim, ResponseHead

_HIGH_WATER = 256 * 1024
_MAX_TRAILERS = 64 * 1024
_MAX_HEAD = 256 * 1024


class Connection(asyncio.Protocol):
    """One connection to an upstream, and the exchange it carries."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused_writing = False
        self._patience = Patience(self._give_up, self._is_excused)
        self._twin: socket.socket | None = None
        self._aborted = False
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self._method = ""
        self._busy = False
        self._parser: httptools.HttpResponseParser | None = None
        self._status_text = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._buffered = 0
        self._paused_reading = False
        self._answered = False
        self._complete = False
        self._reusable = False
        self._sent = False
        self._interim: Interim | None = None
        self._may_switch = False
        self._switched = False  # to another protocol: no more of HTTP is spoken here
        self.trailers: list[tuple[bytes, bytes]] = []
        self._trailer_size = 0
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._head_size = 0  # of all that came before the response's body, interim responses too

    # What a caller does with a connection.

    def start(
        self, method: str, head: bytes, timeout: float, interim: Interim | None = None, *, may_switch: bool = False
    ) -> None:
        """Begin an exchange by sending the request's head, and body bytes that are at hand.

        `timeout` is how many seconds of silence end it. `interim` is called with every interim response but 100;
        `may_switch` says that the request asks for another protocol (RFC 9110, section 7.8).
        """
        self._reset()
        self._interim = interim
        self._may_switch = may_switch
        self._busy = True
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._patience.begin(timeout)
        self.write(head)

    def write(self, data: bytes | memoryview) -> None:
        """Send body bytes.

        Once the connection is gone they go nowhere, and `head` or `read` tell; nor do they once the response is
        complete, since an upstream that has said all it will need not read on. It still waits for them, so such
        a connection must not carry another request: it would be taken for the rest of this one.
        """
        if self._complete and not self._switched:
            self._reusable = False
        elif self._transport is not None and not self._transport.is_closing():
            self._patience.note()
            self._transport.write(data)

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

    def end(self) -> None:
        """Say that the request is wholly sent; without it the connection is not kept."""
        self._sent = True

    async def drain(self) -> None:
        """Wait while the upstream reads nothing; not when it is gone, nor when its response is complete."""
        done = self._complete and not self._switched
        if self._paused_writing and not done and self._transport is not None:
            self._writable = self._loop.create_future()
            await self._writable
            self._patience.note()

    async def head(self) -> ResponseHead:
        """Return the head of the response. Raises UpstreamError."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._head

    async def read(self) -> bytes:
        """Return the next bytes of the body, b"" at its end. Raises UpstreamError when it breaks off."""
        while not self._body:
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            await self._wait()
        return self.rest()

    def rest(self) -> bytes:
        """Return what has come of the body and was not read, without waiting."""
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._buffered = 0
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    @property
    def answered(self) -> bool:
        """Whether any byte of the response has come."""
        return self._answered

    @property
    def complete(self) -> bool:
        """Whether the whole response has come, so that what `read` still gives does not wait."""
        return self._complete

    def finish(self) -> bool:
        """End the exchange; returns whether the connection can carry another one. Otherwise it is closed."""
        # Where reading is paused the end of the body was not taken: nobody would resume it for the next exchange.
        whole = self._complete and self._sent and not self._paused_reading
        reusable = whole and self._reusable and self._error is None and self.usable
        if not reusable:
            self.abort()
        self._busy = False
        self._patience.rest()
        self._parser = self._head = None
        return reusable

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
        """Feed the response's parser; behind a switch of protocols all bytes are the tunnel's."""
        if self._switched:
            self.on_body(data)
            self._wake()
            return
        if self._parser is None or self._complete:
            self.abort()  # an upstream that speaks unasked is out of step
            self._reusable = False
            return
        self._answered = True
        if self._head is None:
            room = _MAX_HEAD - self._head_size
            self._parse(self._parser, data[:room])
            if len(data) > room and self._error is None:
                self._take_past_the_bound(data[room:])
        else:
            self._parse(self._parser, data)
        self._wake()

    def _take_past_the_bound(self, data: bytes) -> None:
        """Take what came with a head's last bytes, if the head turned out to be within its bound."""
        if self._head is None:
            self._fail(UpstreamError(f"the upstream's response is malformed: its head is over {_MAX_HEAD} bytes"))
        else:
            self.data_received(data)

    def _parse(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        """Parse; a body may take its time, but neither the time nor the room of a head can be stretched."""
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self._begin_tunnel(data[switch.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__ or error  # an error of ours comes through the parser
            self._fail(UpstreamError(f"the upstream's response is malformed: {cause}"))
        if self._head is None:
            self._head_size += len(data)
        else:
            self._patience.note()

    def eof_received(self) -> bool:
        """Take the upstream's end as the end of the body where nothing else marks it (RFC 9112, section 6.3)."""
        head = self._head
        if head is not None and not head.delimited:
            self._complete = True
            self._wake()
        return self._switched

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._twin is not None and exc is not None and self._busy:
            self._salvage(self._twin)
        self._close_twin()
        if self._busy and not self._complete:
            self._fail(UpstreamError(f"the upstream closed the connection: {exc or 'end of stream'}"))
        self._patience.stop()
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

    def _salvage(self, twin: socket.socket) -> None:
        """Read what had come before a write failed.

        An upstream that answers and closes while the request is still being sent resets the connection; its answer
        is there to be read, but the event loop lets go at the failed write.
        """
        with contextlib.suppress(OSError):
            # What looks like an end here is none: the reset was told before.
            while not self._complete and self._error is None and (data := twin.recv(_HIGH_WATER)):
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

    # What the parser calls, in order of the response. It goes on behind its end: nothing there may be taken.

    def on_message_begin(self) -> None:
        """Take a second response for what it is: unasked."""
        self._dropped()

    def on_chunk_header(self) -> None:
        """Take a chunk behind the answer to HEAD for what it is: unasked."""
        self._dropped()

    def on_status(self, status: bytes) -> None:
        """Collect the reason phrase."""
        if not self._dropped():
            self._status_text += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header field, as sent; a field after the head is a trailer (RFC 9110, section 6.5)."""
        if self._complete:
            return
        if self._head is None:
            self._headers.append((name, value))
        else:
            self._trailer_size += len(name) + len(value)
            if self._trailer_size > _MAX_TRAILERS:
                raise ValueError("its trailers are too large")
            self.trailers.append((name, value))

    def on_headers_complete(self) -> None:
        """Make the head, unless it is an interim one (RFC 9110, section 15.2)."""
        parser = self._parser
        if parser is None or self._dropped():
            return
        status = parser.get_status_code()
        headers = IndexedFields(self._headers)
        if status < 100:
            raise ValueError("its status is below 100")
        if status < 200:
            self._take_interim(ResponseHead(status, self._status_text, headers, False, None, False))
            return
        self._head = ResponseHead.of(status, self._status_text, headers, self._method)
        self._reusable = self._head.delimited and parser.should_keep_alive() and self._is_wholly_sent()
        if self._method == "HEAD":
            # llhttp does not know what was asked and would wait for a body.
            self._finish_response()

    def _is_wholly_sent(self) -> bool:
        """Whether the request has arrived to its end, as its answer comes.

        An upstream that answers earlier may close on what it did not read, and the next request would meet that.
        """
        return self._sent and unsent(self._transport) == 0

    def _take_interim(self, head: ResponseHead) -> None:
        """Take a response that has no content, and may not announce any (RFC 9110, section 8.6)."""
        if b"transfer-encoding" in head.headers.named or any(map(int, head.headers.named.get(b"content-length", ()))):
            raise ValueError("an interim response announces content")
        if head.status == 101:
            if not self._may_switch:
                raise ValueError("it switched protocols unasked")
            self._head = head._replace(has_body=True)
        elif head.status != 100 and self._interim is not None:
            self._interim(head)

    def _begin_tunnel(self, data: bytes) -> None:
        if self._head is None or self._head.status != 101:
            self._fail(UpstreamError("the upstream's response is malformed: it switched protocols unasked"))
            return
        self._switch()
        if data:
            self.on_body(data)

    def _switch(self) -> None:
        self._switched = True
        self._patience.rest()

    def on_body(self, data: bytes) -> None:
        """Keep body bytes for `read`, and stop reading when they pile up."""
        if self._dropped():
            return
        self._body.append(data)
        self._buffered += len(data)
        if self._buffered > _HIGH_WATER and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Mark the end of the response, or of an interim one."""
        if self._complete:
            return
        if self._head is None:
            self._headers = []
            self._status_text = b""
        elif self._head.status == 101:
            self._switch()
        else:
            self._finish_response()

    def _dropped(self) -> bool:
        """Whether the response is over, so that what the parser found belongs to nothing."""
        if self._complete:
            self._reusable = False
        return self._complete

    # Waiting.

    def _finish_response(self) -> None:
        self._complete = True
        self._release_writer()

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None and not self._complete:  # a response that is whole stays so, whatever follows it
            self._error = error
        self.abort()

    def _is_excused(self) -> bool:
        """Whether it is our reader who is slow."""
        return self._paused_reading or self._complete

    def _give_up(self) -> None:
        self._fail(UpstreamTimeoutError(f"the upstream was silent for {self._patience.seconds:g} s"))
        self._wake()
        self._release_writer()
