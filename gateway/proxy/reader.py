"""One response of an upstream, read without a socket.

llhttp (httptools) finds the parts of a response; the reader says where it stands and what it may still be.

Rules of the room:

- One request has one response. What comes behind it is dropped, and noted: such a connection is out of step.
- A response is whole when its framing says so, or at the end of the connection where nothing else marks it.
- Nothing grows without a bound: heads and trailers have one here, the body is whoever reads it to hold back.
"""

from enum import StrEnum
from types import MappingProxyType

import httptools

from gateway.proxy.failures import UpstreamError
from gateway.proxy.headers import IndexedFields
from gateway.proxy.response import Interim, ResponseHead

_MAX_TRAILERS = 64 * 1024
_MAX_HEAD = 256 * 1024


class Phase(StrEnum):
    """Where a response stands."""

    HEAD = "head"  # interim responses may have come, the response itself has not
    BODY = "body"
    COMPLETE = "complete"
    TUNNEL = "tunnel"  # no more of HTTP is spoken
    ENDED_TUNNEL = "ended tunnel"  # the upstream sends no more, and may still read
    FAILED = "failed"


_NEXT = MappingProxyType(
    {
        Phase.HEAD: frozenset({Phase.BODY, Phase.COMPLETE, Phase.TUNNEL, Phase.FAILED}),
        Phase.BODY: frozenset({Phase.COMPLETE, Phase.FAILED}),
        Phase.TUNNEL: frozenset({Phase.ENDED_TUNNEL, Phase.FAILED}),
        Phase.COMPLETE: frozenset(),  # a response that is whole stays so, whatever follows it
        Phase.ENDED_TUNNEL: frozenset(),
        Phase.FAILED: frozenset(),
    }
)
_WHOLE = frozenset({Phase.COMPLETE, Phase.ENDED_TUNNEL})  # nothing of the response is to come
_TUNNELS = frozenset({Phase.TUNNEL, Phase.ENDED_TUNNEL})


class ResponseReader:
    """Reads the response to one request of `method`.

    `interim` is called with every interim response but 100; `may_switch` says that the request asks for another
    protocol (RFC 9110, section 7.8). `head` is None until the response's own head has come, `waiting` the number of
    body bytes that nobody took yet, `error` why it failed. `is_whole` says that all has come, so that taking what is
    left does not wait.
    """

    __slots__ = (
        "_body",
        "_fields",
        "_head_size",
        "_interim",
        "_keeps_alive",
        "_may_switch",
        "_method",
        "_parser",
        "_reason",
        "_trailer_size",
        "error",
        "has_begun",
        "head",
        "is_out_of_step",
        "is_whole",
        "phase",
        "trailers",
        "waiting",
    )

    def __init__(self, method: str, interim: Interim | None = None, *, may_switch: bool = False) -> None:
        self._method = method
        self._interim = interim
        self._may_switch = may_switch
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._reason = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_size = 0  # of all that came before the body, interim responses too
        self._body: list[bytes] = []
        self._trailer_size = 0
        self._keeps_alive = False  # whether the upstream says that it keeps the connection
        self.phase = Phase.HEAD
        self.is_whole = False
        self.head: ResponseHead | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        self.waiting = 0
        self.has_begun = False  # whether any byte has come
        self.is_out_of_step = False  # whether something came behind the response
        self.error: UpstreamError | None = None

    def __repr__(self) -> str:
        status = "" if self.head is None else f" {self.head.status}"
        return f"<response to {self._method}{status}: {self.phase}, {self.waiting} bytes waiting>"

    @property
    def is_tunnel(self) -> bool:
        """Whether another protocol is spoken."""
        return self.phase in _TUNNELS

    @property
    def may_be_followed(self) -> bool:
        """Whether the connection can carry another response."""
        return self.phase is Phase.COMPLETE and self._keeps_alive and not self.is_out_of_step

    def close(self) -> None:
        """Let go of the parser, which holds the reader: otherwise it would be left for the garbage collector."""
        self._parser = None

    def take(self) -> bytes:
        """Return what has come of the body and was not taken."""
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self.waiting = 0
        return data

    def feed(self, data: bytes) -> None:
        """Read the next bytes. What is wrong with them ends in `Phase.FAILED`."""
        self.has_begun = True
        if self.phase is Phase.TUNNEL:
            self.on_body(data)
        elif self.head is not None:
            self._parse(data)
        else:
            room = _MAX_HEAD - self._head_size
            self._parse(data[:room])
            if self.head is None:
                self._head_size += len(data)
            if len(data) > room and self.phase is not Phase.FAILED:
                self._feed_past_the_bound(data[room:])

    def end(self, cause: object = "end of stream") -> None:
        """Take the end of the connection, where nothing else marks it the body's (RFC 9112, section 6.3)."""
        if self.phase is Phase.TUNNEL:
            self._enter(Phase.ENDED_TUNNEL)
        elif self.phase is Phase.BODY and self.head is not None and not self.head.delimited:
            self._enter(Phase.COMPLETE)
        else:
            self.fail(UpstreamError(f"the upstream closed the connection: {cause}"))

    def fail(self, error: UpstreamError) -> None:
        """Give the response up, unless it is whole or failed before."""
        if Phase.FAILED in _NEXT[self.phase]:
            self.error = error
            self._enter(Phase.FAILED)

    def _enter(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise RuntimeError(f"a response cannot go from {self.phase} to {phase}")
        self.phase = phase
        self.is_whole = phase in _WHOLE

    def _feed_past_the_bound(self, data: bytes) -> None:
        """Read what came with a head's last bytes, if the head turned out to be within its bound."""
        if self.head is None:
            self.fail(UpstreamError(f"the upstream's response is malformed: its head is over {_MAX_HEAD} bytes"))
        else:
            self.feed(data)

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            raise RuntimeError("a response is read on after it was closed")
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            if self.phase is Phase.TUNNEL:
                self.on_body(data[switch.args[0] :])
            else:
                self.fail(UpstreamError("the upstream's response is malformed: it switched protocols unasked"))
        except httptools.HttpParserError as error:
            cause = error.__context__ or error  # an error of ours comes through the parser
            self.fail(UpstreamError(f"the upstream's response is malformed: {cause}"))

    # What the parser calls, in order of the response. It goes on behind its end: nothing there may be taken.

    def on_message_begin(self) -> None:
        """Take a second response for what it is: unasked."""
        if self.is_whole:
            self.is_out_of_step = True

    def on_chunk_header(self) -> None:
        """Take a chunk behind the answer to HEAD for what it is: unasked."""
        if self.is_whole:
            self.is_out_of_step = True

    def on_status(self, reason: bytes) -> None:
        """Collect the reason phrase."""
        if not self.is_whole:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header field, as sent; a field after the head is a trailer (RFC 9110, section 6.5)."""
        if self.head is None:
            self._fields.append((name, value))
        elif self.phase is Phase.BODY:
            self._trailer_size += len(name) + len(value)
            if self._trailer_size > _MAX_TRAILERS:
                raise ValueError("its trailers are too large")
            self.trailers.append((name, value))

    def on_headers_complete(self) -> None:
        """Make the head, unless it is an interim one (RFC 9110, section 15.2)."""
        parser = self._parser
        if self.is_whole or parser is None:
            return
        status = parser.get_status_code()
        fields = IndexedFields(self._fields)
        if status < 100:
            raise ValueError("its status is below 100")
        if status < 200:
            self._take_interim(ResponseHead(status, self._reason, fields, False, None, False))
            return
        self.head = ResponseHead.of(status, self._reason, fields, self._method)
        self._keeps_alive = self.head.delimited and parser.should_keep_alive()
        # llhttp does not know what was asked, and would wait for a body.
        self._enter(Phase.COMPLETE if self._method == "HEAD" else Phase.BODY)

    def _take_interim(self, head: ResponseHead) -> None:
        """Take a response that has no content, and may not announce any (RFC 9110, section 8.6)."""
        if b"transfer-encoding" in head.headers.named or any(map(int, head.headers.named.get(b"content-length", ()))):
            raise ValueError("an interim response announces content")
        if head.status == 101:
            if not self._may_switch:
                raise ValueError("it switched protocols unasked")
            self.head = head._replace(has_body=True)
            self._enter(Phase.TUNNEL)
        elif head.status != 100 and self._interim is not None:
            self._interim(head)

    def on_body(self, data: bytes) -> None:
        """Keep body bytes until they are taken."""
        if self.is_whole:
            self.is_out_of_step = True
        elif data:
            self._body.append(data)
            self.waiting += len(data)

    def on_message_complete(self) -> None:
        """Mark the end of the response, or of an interim one."""
        if self.phase is Phase.HEAD:
            self._fields = []
            self._reason = b""
        elif self.phase is Phase.BODY:
            self._enter(Phase.COMPLETE)
