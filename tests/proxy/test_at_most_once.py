"""A request that must not happen twice reaches the upstream at most once, whatever breaks on the way and when."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import pytest
from support.clock import PATIENCE, eventually
from support.length import LONG
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import OK
from support.wire import BrokenOffError, Client, exchange, request

PROXY_WAYS = BOTH

PLACES = ["/elsewhere", "/warn", "/enforce"]  # streamed, judged on its way, held
SMALL = b'{"stageAllocation":{"seed":1}}'
LARGE = b'{"x":"' + b"y" * 300_000 + b'","stageAllocation":{"seed":1}}'
BODIES = ["small", "large", "chunked"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
TIMEOUT = 0.5


class Fault(NamedTuple):
    """What an upstream does with a request: how far it reads, what it says, how it ends."""

    reads: str
    says: bytes
    then: str


READS = ["nothing", "some of the head", "the head", "some of the body", "everything"]
SAYS = {
    "nothing": b"",
    "some of a status": b"HTTP/1.1 20",
    "an interim one": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "some of a head": HEAD[:30],
    "some of a body": HEAD + b"hello",
}


class FailingUpstream:
    """Answers requests to /warm, and fails all others as told; `taken` are the bytes of these, by connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.taken: list[bytearray] = []
        self.fault = Fault("everything", OK, "close")
        self.released = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def expect(self, fault: Fault) -> None:
        """Fail the next request like this."""
        self.fault = fault
        self.connections = 0
        self.taken = []
        self.released.clear()

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(PATIENCE)
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            while (begin := sock.recv(9, socket.MSG_PEEK)) == b"GET /warm":
                while not sock.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                sock.sendall(OK)
            if begin:
                self._fail(sock)

    def _fail(self, sock: socket.socket) -> None:
        taken = bytearray()
        self.taken.append(taken)
        fault = self.fault
        while not _has_read(fault.reads, taken):
            size = 50 if fault.reads == "some of the head" else 8192
            data = sock.recv(size)
            if not data:
                return
            taken += data
        if fault.says:
            sock.sendall(fault.says)
            time.sleep(0.01)  # a reset would overtake what was said
        if fault.then == "silence":
            self.released.wait(PATIENCE)
        if fault.then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _has_read(reads: str, taken: bytearray) -> bool:
    head, end, body = taken.partition(b"\r\n\r\n")
    match reads:
        case "nothing":
            return True
        case "some of the head":
            return bool(head)
        case "the head":
            return bool(end)
        case "some of the body":
            return len(body) > 0
    return body.endswith((b'{"seed":1}}', b"\r\n0\r\n\r\n"))


@pytest.fixture(scope="module")
def failing() -> Iterator[FailingUpstream]:
    upstream = FailingUpstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(serve: Serve, failing: FailingUpstream) -> Gateway:
    stages = [{"keys": "/stageAllocation"}]
    return serve(
        configuration(
            failing.port,
            endpoints={"/warn": {"stages": stages}, "/enforce": {"stages": stages}},
            endpointMode={"/enforce": "enforce"},
            limits={"upstreamTimeoutSeconds": TIMEOUT},
        )
    )


def written(place: str, body: str, method: str = "POST") -> bytes:
    pad = ("X-Pad", "p" * 9000)  # so that a head can be read in part
    match body:
        case "small":
            return request(method, place, pad, body=SMALL)
        case "large":
            return request(method, place, pad, body=LARGE)
    return request(method, place, pad, chunks=[LARGE[:70_000], LARGE[70_000:70_001], LARGE[70_001:]])


def assert_fails(gateway: Gateway, raw: bytes, status: int = 502) -> None:
    """Assert that the client gets to know of the failure: by a problem document, or by no whole response at all."""
    with Client(gateway.port) as client, contextlib.suppress(BrokenOffError):
        response = client.send(raw).response()
        assert response.status == status, response.head


def assert_once(upstream: FailingUpstream, told: object) -> None:
    assert len(upstream.taken) <= 1, (told, [bytes(taken[:60]) for taken in upstream.taken])


@pytest.mark.parametrize("then", ["reset", "close"])
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("reads", READS)
def test_upstream_that_breaks(reads: str, says: str, then: str, gateway: Gateway, failing: FailingUpstream) -> None:
    """An upstream that goes away at any point of request and response has been sent a POST once."""
    fault = Fault(reads, SAYS[says], then)
    for place, body, method in product(PLACES, BODIES, ["POST", "PATCH"] if LONG else ["POST"]):
        failing.expect(fault)
        assert_fails(gateway, written(place, body, method))
        assert_once(failing, (place, body))
        assert failing.connections == 1, (place, body)


@pytest.mark.parametrize("then", ["reset", "close"])
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("reads", READS)
def test_connection_that_had_idled(
    reads: str, says: str, then: str, gateway: Gateway, failing: FailingUpstream
) -> None:
    """A POST on a connection that breaks after it had carried another request is not tried again on a new one."""
    fault = Fault(reads, SAYS[says], then)
    for place, body in product(PLACES, BODIES):
        failing.expect(fault)
        assert exchange(gateway.port, request("GET", "/warm")).status == 200
        assert_fails(gateway, written(place, body))
        assert_once(failing, (place, body))
        assert failing.connections == 1, (place, body)


@pytest.mark.parametrize(
    ("reads", "says", "body"),
    [
        ("the head", "nothing", "large"),
        ("everything", "nothing", "small"),
        ("everything", "some of a head", "chunked"),
    ],
)
def test_upstream_that_says_nothing(
    reads: str, says: str, body: str, gateway: Gateway, failing: FailingUpstream
) -> None:
    """A POST that the upstream takes and does not answer in time is answered 504, and not tried again."""
    for place in PLACES:
        failing.expect(Fault(reads, SAYS[says], "silence"))
        assert_fails(gateway, written(place, body), 504)
        assert_once(failing, place)
        failing.released.set()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("says", "then"),
    [
        *((says, "reset") for says in SAYS if says != "nothing"),
        *((says, "silence") for says in ("nothing", "some of a status")),
    ],
)
def test_repeatable_request(says: str, then: str, method: str, gateway: Gateway, failing: FailingUpstream) -> None:
    """Even what may happen twice is not tried again when any byte of an answer had come, or when time ran out."""
    failing.expect(Fault("everything", SAYS[says], then))
    assert exchange(gateway.port, request("GET", "/warm")).status == 200
    assert_fails(gateway, written("/elsewhere", "small", method), 504 if then == "silence" else 502)
    assert_once(failing, method)
    failing.released.set()


def test_pipelined_posts(gateway: Gateway, failing: FailingUpstream) -> None:
    """Of requests that follow each other on one connection each reaches a failing upstream once."""
    failing.expect(Fault("everything", b"", "reset"))
    with Client(gateway.port) as client:
        client.send(*(request("POST", f"/elsewhere/{number}", body=SMALL) for number in range(10)))
        assert [client.response().status for _ in range(10)] == [502] * 10
    lines = [bytes(taken.partition(b"\r\n")[0]) for taken in failing.taken]
    assert lines == [b"POST /elsewhere/%d HTTP/1.1" % number for number in range(10)]


LEAVES = ["in the head", "after the head", "in the body", "before the answer", "in the answer"]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("leaves", LEAVES)
@pytest.mark.parametrize("place", PLACES)
def test_client_that_leaves(place: str, leaves: str, how: str, gateway: Gateway, failing: FailingUpstream) -> None:
    """A client that goes away at any point leaves a POST sent at most once, and not at all while it is held."""
    raw = written(place, "large")
    head = raw.index(b"\r\n\r\n") + 4
    parts = {"in the head": 40, "after the head": head, "in the body": head + 100_000}
    failing.expect(Fault("everything", HEAD + b"hello" if leaves == "in the answer" else b"", "silence"))
    with Client(gateway.port) as client:
        client.send(raw[: parts.get(leaves, len(raw))])
        if leaves == "in the answer":
            client.head()
        elif leaves == "before the answer":
            eventually(lambda: any(_has_read("everything", taken) for taken in failing.taken))
        elif leaves != "in the head":
            eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 1)
        if how == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
    assert exchange(gateway.port, request("GET", "/warm")).status == 200
    assert_once(failing, leaves)
    if place == "/enforce" and leaves in parts:
        assert failing.taken == []
    failing.released.set()
