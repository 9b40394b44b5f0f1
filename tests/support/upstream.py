"""An upstream on raw sockets that records the exact bytes it gets and answers as a test scripts it."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support.clock import PATIENCE, ROOM
from support.wire import BrokenOffError, Message, Reader, parse_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Upstream: yes\r\n\r\nok"


@dataclass
class Received(Message):
    """One request as it arrived. `framed` is its body with the framing, as far as it came, `body` without.

    `complete` is set when the body was read, `ended` when the script has done with the request.
    """

    connection: int
    framed: bytes = b""
    body: bytes = b""
    complete: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def line(self) -> bytes:
        return parse_head(self.head)[0]


class ConversationEndError(Exception):
    """The script has ended the connection."""


class Conversation:
    """What a script does with one request: read on, answer, break off.

    `is_used` says whether the connection has carried a request before.
    """

    def __init__(self, sock: socket.socket, reader: Reader, request: Received, *, is_used: bool) -> None:
        self.sock = sock
        self.reader = reader
        self.request = request
        self.is_used = is_used

    def read_body(self) -> bytes:
        request, begin = self.request, len(self.reader.raw)
        try:
            if request.value("transfer-encoding") == "chunked":
                request.body = self.reader.chunked()
            else:
                request.body = self.reader.exactly(int(request.value("content-length") or 0))
        finally:
            request.framed = bytes(self.reader.raw[begin:])
        request.complete.set()
        return request.body

    def send(self, raw: bytes) -> None:
        self.sock.sendall(raw)

    def close(self) -> None:
        """End the connection in good order."""
        raise ConversationEndError

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConversationEndError


Script = Callable[[Conversation], None]


def answer(raw: bytes = OK, *, close: bool = False) -> Script:
    """Return the script that reads the whole request, then sends these bytes; to HEAD only the head of them."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        if conversation.request.line.startswith(b"HEAD ") and b"HTTP/1.1 " in raw:
            conversation.send(raw[: raw.index(b"\r\n\r\n", raw.rindex(b"HTTP/1.1 ")) + 4])
        else:
            conversation.send(raw)
        if close:
            conversation.close()

    return script


class RecordingUpstream:
    """Listens on a free loopback port; every request is noted in `requests` when its head has come."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.script: Script = answer()
        self.requests: list[Received] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self._lock = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._spawn(self._accept)

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            self.connections += 1
            sock.settimeout(PATIENCE)
            self.open.add(sock)
            self._spawn(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, BrokenOffError, ConversationEndError, ValueError):
            if self._tls is not None:
                plain, sock = sock, self._tls.wrap_socket(sock, server_side=True)
                self.open.symmetric_difference_update({plain, sock})
            reader, is_used = Reader(sock), False
            while True:
                request = Received(reader.until(b"\r\n\r\n"), number)
                with self._lock:
                    self.requests.append(request)
                    self._lock.notify_all()
                try:
                    self.script(Conversation(sock, reader, request, is_used=is_used))
                finally:
                    request.ended.set()
                reader.raw.clear()
                is_used = True
        self.open.discard(sock)
        sock.close()

    def reset(self) -> None:
        """Forget what came, and answer plainly again."""
        self.script = answer()
        self.requests = []

    @contextlib.contextmanager
    def scripted(self, script: Script) -> Iterator[None]:
        """Answer by `script` for a while."""
        before, self.script = self.script, script
        try:
            yield
        finally:
            self.script = before

    def wait_for(self, count: int, timeout: float = 10) -> list[Received]:
        """Wait until so many requests have come."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.requests) >= count, timeout * ROOM), self.requests
            return list(self.requests)

    def of(self, request_id: str) -> list[Received]:
        """Return the requests that carry this X-Request-Id."""
        return [request for request in self.requests if request.value("x-request-id") == request_id]

    def only(self) -> Received:
        assert len(self.requests) == 1, [request.head for request in self.requests]
        return self.requests[0]

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._listener.close()
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
