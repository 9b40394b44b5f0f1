"""Requests on one connection, in pieces and at the moments that a test wants, and all that a client hears of them."""

import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from support.clock import PATIENCE
from support.wire import parse_head, values

PAUSE = 0.003  # after which what was sent has most likely been read by itself
_LONG, _MANY = 16_000, 250
_METHODS = rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|PROPFIND|PURGE|M-SEARCH)"
_LINE = re.compile(_METHODS + rb" /[\x21-\x7e]* HTTP/1\.1\Z")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\Z")
_LENGTH = re.compile(rb"content-length:[ \t]*\d{1,9}[ \t]*\Z", re.IGNORECASE)
# Fields that aiohttp's parser takes once.
_ONCE = (b"host", b"user-agent", b"server", b"content-type", b"max-forwards")
_CLOSE = re.compile(rb"^connection:.*close", re.IGNORECASE | re.MULTILINE)
_CONTINUE = b"HTTP/1.1 100 "
_RESET = struct.pack("ii", 1, 0)
_SIZE_OF_CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\n]*\r\n")


@dataclass(frozen=True)
class Sent:
    """One request. `method` is how its response is read, `answer` what it asks the upstream for, `case` its number."""

    raw: bytes
    method: str
    answer: str = ""
    case: str = ""

    @property
    def is_well_formed(self) -> bool:
        """Whether it is one request of HTTP/1.1 to whoever reads it, and no other bytes."""
        head, _, body = self.raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        if _LINE.match(line) is None or not all(map(_FIELD.match, fields)) or len(fields) > _MANY or len(head) > _LONG:
            return False
        names = [field.partition(b":")[0].lower() for field in fields]
        if b"host" not in names or any(names.count(name) > 1 for name in _ONCE):
            return False
        codings = [field for field in fields if field.lower().startswith(b"transfer-encoding")]
        lengths = [field for field in fields if field.lower().startswith(b"content-length")]
        if codings:
            return codings == [b"Transfer-Encoding: chunked"] and not lengths
        return [_LENGTH.match(one) and int(one.partition(b":")[2]) for one in lengths] == [len(body)] or not (
            lengths or body
        )

    @property
    def is_last(self) -> bool:
        """Whether it asks that its response be the last on the connection."""
        return _CLOSE.search(self.raw.partition(b"\r\n\r\n")[0]) is not None


@dataclass(frozen=True)
class Round:
    """Requests that are sent together, in these pieces; the next round waits for their responses."""

    requests: tuple[Sent, ...]
    pieces: tuple[bytes, ...]
    pause: float = 0.0

    @classmethod
    def of(cls, *requests: Sent, cuts: Sequence[int] = (), pause: float = 0.0) -> "Round":
        """Put the requests behind each other, and cut all of it at these places."""
        raw = b"".join(request.raw for request in requests)
        ends = [0, *cuts, len(raw)]
        return cls(requests, tuple(raw[a:b] for a, b in pairwise(ends) if a < b), pause)


Series = Sequence[Round]  # on one connection


class Told(NamedTuple):
    """A response as far as it came: `content` without its framing, which is a matter of time, but told of.

    So is whether somebody who sends the body in any case is asked for it: 100 is none of the `interim` responses.
    """

    interim: tuple[bytes, ...]
    head: bytes
    framing: str
    content: bytes
    trailers: bytes
    whole: bool


@dataclass
class Heard:
    """All that a client hears on one connection, and what became of that: see `fate`."""

    told: list[Told] = field(default_factory=list)
    fate: str = ""


_PROBE = Sent(b"GET /probe HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", "GET")


class Visitor:
    """A client that sends a series and hears what comes."""

    def __init__(self, port: int, series: Series) -> None:
        self._series = series
        self._sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._end = ""  # how the other side ended the connection
        self.heard = Heard()

    def send(self, data: bytes) -> None:
        """Send as much as is taken; what comes tells the rest."""
        with contextlib.suppress(OSError):
            self._sock.sendall(data)

    def play(self) -> Heard:
        """Send the series, round by round, then see what the connection is still good for."""
        for one in self._series:
            for number, piece in enumerate(one.pieces):
                if number and one.pause:
                    time.sleep(one.pause)
                self.send(piece)
            if not self.hear(one.requests):
                return self.heard
        return self.probe()

    def hear(self, requests: Sequence[Sent]) -> bool:
        """Hear the responses to these; returns whether the connection lives on, as far as they tell."""
        return all(self._response(request.method) for request in requests)

    def probe(self) -> Heard:
        """Ask once more, so that a connection that lives shows it, and end it so."""
        self.send(_PROBE.raw)
        if self._response(_PROBE.method):
            self.leave("keeps what it was asked to close")
        return self.heard

    def leave(self, fate: str, *, reset: bool = False) -> None:
        """Close the connection, in good order or not."""
        self.heard.fate = fate
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()

    def _response(self, method: str) -> bool:
        while not (found := _read(self._data, method, ended=bool(self._end)))[0].whole:
            if self._end:
                if self._data:
                    self.heard.told.append(found[0])
                self.leave(f"{'broken off' if self._data else 'gone'}: {self._end}" if self._data else "gone")
                return False
            self._receive()
        told, used = found
        self._data = self._data[used:]
        self.heard.told.append(told)
        if told.head.startswith(b"HTTP/1.1 101 "):
            self.leave("another protocol")
            return False
        if b"close" in b",".join(value for name, value in parse_head(told.head)[1] if name.lower() == b"connection"):
            while not self._end:
                self._receive()
            # What of it is still unread by the other side turns a good end into a reset: a matter of time.
            to_the_end = f" {self._end}" if told.framing == "to the end" else ""
            self.leave(f"closed{to_the_end}, with {len(self._data)} bytes too many")
            return False
        return True

    def _receive(self) -> None:
        try:
            data = self._sock.recv(1 << 20)
        except ConnectionError:
            self._end = "reset"
        else:
            self._data += data
            self._end = "" if data else "in good order"


def _read(data: bytes, method: str, *, ended: bool) -> tuple[Told, int]:
    """Return the first response in some bytes, and how many of them it takes."""
    interim, begin = [], 0
    while (end := data.find(b"\r\n\r\n", begin) + 4) > 3 and re.match(rb"HTTP/1\.1 1(?!01)", data[begin : begin + 12]):
        interim += [] if data.startswith(_CONTINUE, begin) else [data[begin:end]]
        begin = end
    if end <= 3:
        return Told(tuple(interim), data[begin:], "no head", b"", b"", False), len(data)
    head = data[begin:end]
    fields = parse_head(head)[1]
    length, codings = values(fields, "content-length"), values(fields, "transfer-encoding")
    if method == "HEAD" or re.match(rb"HTTP/1\.1 (101|204|304)", head):
        return Told(tuple(interim), head, "nothing", b"", b"", True), end
    if codings:
        content, trailers, used, whole = _chunks(data, end)
        return Told(tuple(interim), head, "chunks", content, trailers, whole), used
    if length:
        stop = end + int(length[0])
        return Told(tuple(interim), head, "counted", data[end:stop], b"", len(data) >= stop), stop
    return Told(tuple(interim), head, "to the end", data[end:], b"", ended), len(data)


def _chunks(data: bytes, begin: int) -> tuple[bytes, bytes, int, bool]:
    """Return content and trailers of a chunked body, where it ends, and whether it is whole (RFC 9112, section 7.1)."""
    parts: list[bytes] = []
    while (line := _SIZE_OF_CHUNK.match(data, begin)) is not None:
        size, begin = int(line[1], 16), line.end()
        if size == 0:
            end = data.find(b"\r\n\r\n", begin - 2) + 4
            return b"".join(parts), data[begin : max(end, begin)], end, end > 3
        parts.append(data[begin : begin + size])
        begin += size + 2
    return b"".join(parts), b"", len(data), False


def together(port: int, many: Sequence[Series], pause: float) -> Iterator[Heard]:
    """Play several series of one round each at the same time, so that pauses between pieces cost no more than one's."""
    visitors = [Visitor(port, series) for series in many]
    for number in range(max(len(series[0].pieces) for series in many)):
        for visitor, series in zip(visitors, many, strict=True):
            if number < len(series[0].pieces):
                visitor.send(series[0].pieces[number])
        time.sleep(pause)
    for visitor, series in zip(visitors, many, strict=True):
        if visitor.hear(series[0].requests):
            visitor.probe()
        yield visitor.heard


def leave(port: int, parts: Sequence[bytes], settled: Callable[[], object], *, reset: bool) -> None:
    """Send these, each on a connection of its own; once that has `settled`, end all of them."""
    visitors = [Visitor(port, ()) for _ in parts]
    for visitor, part in zip(visitors, parts, strict=True):
        visitor.send(part)
    settled()
    for visitor in visitors:
        visitor.leave("left", reset=reset)
