"""HTTP/1.1 on raw sockets, read the plain way, so that a test sees the bytes that went over the wire."""

import socket
from dataclasses import dataclass, field

from support.clock import PATIENCE

Fields = list[tuple[bytes, bytes]]


class BrokenOffError(Exception):
    """The other side ended the connection in the middle of a message; `seen` is what came of it."""

    def __init__(self, seen: bytes) -> None:
        self.seen = seen
        super().__init__(f"broken off after {len(seen)} bytes: {seen[-200:]!r}")


def parse_head(head: bytes) -> tuple[bytes, Fields]:
    """Return the first line and the fields of a head, names and values as they stand."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = (line.partition(b": ") for line in lines)
    return first, [(name, value) for name, _, value in pairs]


def values(fields: Fields, name: str) -> list[str]:
    return [value.decode("latin-1") for given, value in fields if given.lower() == name.lower().encode()]


class Reader:
    """Reads a socket up to a mark or a length, and keeps every byte it took in `raw`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""
        self.raw = bytearray()

    def receive(self) -> bytes:
        """Return whatever comes next, b"" at the end."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
        else:
            try:
                data = self._sock.recv(65536)
            except ConnectionError:
                raise BrokenOffError(bytes(self.raw)) from None
        self.raw += data
        return data

    def until(self, mark: bytes) -> bytes:
        begin = len(self.raw)
        searched = begin
        while (end := self.raw.find(mark, searched)) < 0:
            searched = max(begin, len(self.raw) - len(mark) + 1)
            if not self.receive():
                raise BrokenOffError(bytes(self.raw))
        return self._give_back(begin, end + len(mark))

    def exactly(self, size: int) -> bytes:
        begin = len(self.raw)
        while len(self.raw) - begin < size:
            if not self.receive():
                raise BrokenOffError(bytes(self.raw))
        return self._give_back(begin, begin + size)

    def _give_back(self, begin: int, end: int) -> bytes:
        self._ahead = bytes(self.raw[end:]) + self._ahead
        del self.raw[end:]
        return bytes(self.raw[begin:end])

    def to_end(self) -> bytes:
        begin = len(self.raw)
        while self.receive():
            pass
        return bytes(self.raw[begin:])

    def chunked(self) -> bytes:
        """Return the content of a chunked body (RFC 9112, section 7.1)."""
        body = bytearray()
        while size := int(self.until(b"\r\n").partition(b";")[0], 16):
            body += self.exactly(size)
            self.exactly(2)
        while self.until(b"\r\n") != b"\r\n":
            pass
        return bytes(body)


@dataclass
class Message:
    """What a request and a response have in common: a head, as it came."""

    head: bytes

    @property
    def fields(self) -> Fields:
        return parse_head(self.head)[1]

    def values(self, name: str) -> list[str]:
        return values(self.fields, name)

    def value(self, name: str) -> str | None:
        found = self.values(name)
        return found[0] if found else None


@dataclass
class Response(Message):
    """A whole response; `head` as it came, `body` without its framing."""

    body: bytes = b""
    interim: list[bytes] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


class Client:
    """A connection to the gateway that sends what it is told and reads whole responses."""

    def __init__(self, port: int, *, timeout: float = PATIENCE, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", port))
        self.reader = Reader(self.sock)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> "Client":
        self.sock.sendall(b"".join(parts))
        return self

    def head(self) -> Response:
        """Return the head of the next response, interim ones noted on the way."""
        interim = []
        while True:
            head = self.reader.until(b"\r\n\r\n")
            if head.split(b" ", 2)[1].startswith(b"1") and not head.startswith(b"HTTP/1.1 101 "):
                interim.append(head)
                continue
            return Response(head, interim=interim)

    def response(self, method: str = "GET") -> Response:
        """Return the next response. Raises BrokenOffError when it does not come to a clean end."""
        response = self.head()
        length = response.value("content-length")
        if method == "HEAD" or response.status in {204, 304}:
            return response
        if response.value("transfer-encoding") == "chunked":
            response.body = self.reader.chunked()
        elif length is not None:
            response.body = self.reader.exactly(int(length))
        else:
            response.body = self.reader.to_end()
        return response

    def is_closed(self) -> bool:
        """Whether the other side ends the connection now, without another byte."""
        try:
            return self.reader.receive() == b""
        except BrokenOffError:
            return True


def request(
    method: str,
    target: str,
    *fields: tuple[str, str] | bytes,
    body: bytes | None = None,
    chunks: list[bytes] | None = None,
    content_type: str | None = "application/json",
) -> bytes:
    """Return the bytes of a request; `body` is counted, `chunks` are sent chunked. `fields` may be raw lines."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: gateway.test"]
    if content_type is not None and (body is not None or chunks is not None):
        lines.append(f"Content-Type: {content_type}".encode())
    lines += [line if isinstance(line, bytes) else f"{line[0]}: {line[1]}".encode() for line in fields]
    content = b""
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
        content = body
    if chunks is not None:
        lines.append(b"Transfer-Encoding: chunked")
        content = chunked(*chunks)
    return b"\r\n".join([*lines, b"", content])


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def exchange(port: int, raw: bytes, *, timeout: float = PATIENCE) -> Response:
    """Send one request on a connection of its own and return the response."""
    with Client(port, timeout=timeout) as client:
        return client.send(raw).response(raw.partition(b" ")[0].decode())
