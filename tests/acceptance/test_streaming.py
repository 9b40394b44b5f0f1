"""Long bodies and long responses: on their way while they arrive, in flat memory."""

import threading
import time

import pytest
from support.clock import PATIENCE
from support.process import Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream
from support.wire import Client, request

MEGABYTE = 1_000_000
SIZE = 50 * MEGABYTE


@pytest.fixture
def fresh(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    """Start a gateway whose memory has seen nothing yet."""
    return serve(configuration(recorder.port))


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port))


class Flood:
    """Answers with 50 MB, and tells how much of it was taken."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.sent = 0

    def __call__(self, conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(self._head)
        piece = b"x" * MEGABYTE
        while self.sent < SIZE:
            chunked = b"chunked" in self._head
            conversation.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.sent += MEGABYTE
        if b"chunked" in self._head:
            conversation.send(b"0\r\n\r\n")
        elif b"Length" not in self._head:
            conversation.close()


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n" % SIZE, b"Transfer-Encoding: chunked\r\n", b""])
def test_large_response_waits_for_its_client(framing: bytes, fresh: Gateway, upstream: RecordingUpstream) -> None:
    """A large response is not collected: it waits upstream while the client reads slowly, and arrives whole."""
    flood = Flood(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    before = fresh.memory()
    with upstream.scripted(flood), Client(fresh.port, receive_buffer=64 * 1024) as client:
        client.send(request("GET", "/large"))
        time.sleep(0.5)
        assert flood.sent < SIZE / 2
        assert len(client.response().body) == SIZE
    assert fresh.memory() - before < 16 * MEGABYTE


@pytest.mark.parametrize("framed", ["counted", "chunked"])
def test_large_request_is_not_collected(framed: str, fresh: Gateway, upstream: RecordingUpstream) -> None:
    """A large body that is not inspected goes up in flat memory, however slow the upstream."""
    body = b"y" * SIZE
    raw = request("POST", "/large", body=body) if framed == "counted" else request("POST", "/large", chunks=[body] * 1)

    def slow(conversation: Conversation) -> None:
        time.sleep(0.3)
        conversation.read_body()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    before = fresh.memory()
    with upstream.scripted(slow), Client(fresh.port) as client:
        assert client.send(raw).response().status == 200
    assert upstream.only().body == body
    assert fresh.memory() - before < 16 * MEGABYTE


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("place", ["/events", "/api/funds/7/companies?stage=seed"])
def test_events_arrive_one_by_one(chunked: bool, place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Each server-sent event reaches the client before the upstream has said the next."""
    heard = threading.Semaphore(0)

    def events(conversation: Conversation) -> None:
        conversation.read_body()
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n")
        for number in range(10):
            event = b"data: %d\n\n" % number
            conversation.send(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
            assert heard.acquire(timeout=PATIENCE)
        conversation.close()

    with upstream.scripted(events), Client(gateway.port) as client:
        assert client.send(request("GET", place)).head().value("content-type") == "text/event-stream"
        for number in range(10):
            client.reader.until(b"data: %d\n\n" % number)
            heard.release()
