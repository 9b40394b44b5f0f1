"""Clients that are slow, or gone: each is waited for while it makes progress, and none leaves anything behind."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import at_least, eventually, within
from support.length import LONG
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream, answer
from support.wire import Client, exchange, request

PROXY_WAYS = BOTH if LONG else BOTH[:1]  # tests that wait are slow enough over one

ENFORCED = "/enforced"
PLAIN = "/elsewhere"
HEAD_SECONDS = 0.6
ANNOUNCED = 90_000_000
GOOD = b'{"stages":{"seed":1}}'
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(
        configuration(
            recorder.port,
            endpoints={ENFORCED: {"stages": [{"keys": "/stages"}]}},
            endpointMode={ENFORCED: "enforce"},
            limits={
                "heldBytes": 256 * MIB,
                "headerTimeoutSeconds": HEAD_SECONDS,
                "minBodyBytesPerSecond": 1024,
                "upstreamTimeoutSeconds": 1,
            },
        )
    )


def reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def held(gateway: Gateway) -> float:
    return gateway.metrics().get("stage_gateway_held_bytes") or 0.0


def descriptors(gateway: Gateway) -> int:
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


@contextlib.contextmanager
def dripping_uploads(gateway: Gateway, sent: int) -> Iterator[list[Client]]:
    """Three clients that announce a body each, 270 MB together, and have sent so much of it."""
    head = request("POST", ENFORCED, ("Content-Length", str(ANNOUNCED)), ("Content-Type", "application/json"))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)) for _ in range(3)]
        for client in clients:
            client.send(head, b'{"pad":"', b"x" * (sent - 8))
        yield clients


def test_what_is_announced_takes_no_room(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Three slow uploads hold what has come of them, and every good request beside them is answered."""
    with dripping_uploads(gateway, 100_000) as clients:
        eventually(lambda: held(gateway) == 300_000)
        for client in clients:
            client.send(b"x" * 1000)
            assert exchange(gateway.port, request("POST", ENFORCED, body=GOOD)).status == 200
            assert exchange(gateway.port, request("POST", ENFORCED, body=GOOD + b" " * 3 * MIB)).status == 200
    eventually(lambda: held(gateway) == 0)


def test_a_body_that_holds_much_has_to_hurry(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """At the pace that is enough for a small body one that holds a megabyte is answered 408, and lets go of it."""
    with dripping_uploads(gateway, MIB) as clients:
        eventually(lambda: held(gateway) == 3 * MIB)
        with contextlib.suppress(OSError):
            for _ in range(40):  # 2 KB a second: twice the least of all paces
                clients[0].send(b"x" * 100)
                time.sleep(0.05)
        assert clients[0].response().status == 408
        eventually(lambda: held(gateway) == 0)


def test_a_body_that_stops_is_given_up_after_the_grace(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """What came at once buys a held body no more than the grace, be it the first of it, or the whole but a byte."""
    with dripping_uploads(gateway, 60_000) as clients, within(HEAD_SECONDS):
        assert [client.response().status for client in clients] == [408] * 3


def test_a_small_body_on_its_way_has_room_of_its_own(serve: Serve, upstream: RecordingUpstream) -> None:
    """A small body in several segments is carried while large ones use up `heldBytes`, up to a quarter more of it."""
    endpoints = {ENFORCED: {"stages": [{"keys": "/stages"}]}}
    limits = {"heldBytes": 400_000, "maxBodyBytes": 400_000}
    gateway = serve(
        configuration(upstream.port, endpoints=endpoints, endpointMode={ENFORCED: "enforce"}, limits=limits)
    )
    large = request("POST", ENFORCED, body=GOOD + b" " * (400_000 - len(GOOD)))
    small = request("POST", ENFORCED, body=GOOD + b" " * 60_000)
    with contextlib.ExitStack() as stack:
        first, second, third, fourth = (stack.enter_context(Client(gateway.port)) for _ in range(4))
        first.send(large[:-1])
        eventually(lambda: held(gateway) == 399_999)
        second.send(small[:-1])
        eventually(lambda: held(gateway) == 399_999 + 60_020)
        assert third.send(large[:100_000]).response().status == 503
        third.send(small[:-1])
        assert fourth.send(small[:-1]).response().status == 503
        assert second.send(small[-1:]).response().status == 200
        assert first.send(large[-1:]).response().status == 200


def test_resets_leave_no_connection(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client that resets right after its request leaves no connection to the upstream, however often."""
    before = descriptors(gateway)
    raw = request("GET", PLAIN)
    for number in range(3000):
        with Client(gateway.port) as client:
            reset_on_close(client.sock)
            client.send(raw)
            time.sleep(number % 20 * 0.000_05)  # to meet every moment until the upstream's connection is made
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
    eventually(lambda: descriptors(gateway) <= before)
    eventually(lambda: not upstream.open)


@pytest.mark.parametrize("sent", [b"G", b"GET", b"\r\n", b"\r\n" * 3, b"\r\n\r\nGE"])
@pytest.mark.parametrize("at_once", [True, False])
def test_few_bytes_are_timed(at_once: bool, sent: bytes, gateway: Gateway) -> None:
    """A connection that sends a few bytes of a head, at once or later, is ended after `headerTimeoutSeconds`."""
    with contextlib.ExitStack() as stack, within(HEAD_SECONDS + 2):
        clients = []
        for _ in range(20):
            client = stack.enter_context(Client(gateway.port))
            if not at_once:
                time.sleep(0.01)
            clients.append(client.send(sent))
        for client in clients:
            assert client.response().status == 408
            assert client.is_closed()


def test_slow_reader_gets_all(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client that reads slowly but steadily is not cut off, though the whole takes many times the time-out."""
    size = 3_000_000
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    with upstream.scripted(answer(body)), Client(gateway.port, receive_buffer=4096) as client, at_least(4):
        client.send(request("GET", PLAIN))
        seen = 0
        while data := client.sock.recv(16_384):
            seen += len(data)
            if seen < 700_000:
                time.sleep(0.1)
            if seen >= size:
                break
    assert seen >= size


def test_reader_that_stops_is_cut_off(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client that takes nothing at all any more is cut off after `upstreamTimeoutSeconds`."""
    size = 30_000_000
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    with upstream.scripted(answer(body)), Client(gateway.port, receive_buffer=4096) as client:
        client.send(request("GET", PLAIN))
        with within(3):
            eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 1)
            eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)


def sized(conversation: Conversation) -> None:
    """Answer with as many bytes as the target says."""
    conversation.read_body()
    size = int(conversation.request.line.split()[1][1:])
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


def test_what_nobody_takes_holds_no_connection_open(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Where the end of a last response fits into a buffer here, but is never taken, its connection is reset as well."""
    before = descriptors(gateway)
    with contextlib.ExitStack() as stack, upstream.scripted(sized):
        for size in range(100_000, 5_000_000, 40_000):  # one of them is a little more than the system's buffers take
            client = stack.enter_context(Client(gateway.port, receive_buffer=4096))
            client.send(request("GET", f"/{size}", ("Connection", "close")))
        eventually(lambda: len(upstream.requests) == 123)
        eventually(lambda: descriptors(gateway) <= before)


def test_client_that_leaves_at_its_refusal_is_no_fault(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Clients that reset while their refusal is written leave no line in the log."""
    raw = request("POST", ENFORCED, body=b'{"stages":{"Nope":1}}')
    for _ in range(500):
        with Client(gateway.port) as client:
            reset_on_close(client.sock)
            client.send(raw)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
    assert gateway.logs("a request failed") == []


def test_body_of_a_certain_refusal_is_let_go(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Once a refusal is certain nothing is held of the body, and the report still counts what follows."""
    raw = request("POST", ENFORCED, body=b'{"stages":{"Nope":0,"pad":"' + b"x" * 600_000 + b'","Nor":0}}')
    with Client(gateway.port) as client:
        begin = raw.index(b"{") + 8
        client.send(raw[:begin])
        eventually(lambda: held(gateway) > 0)
        client.send(raw[begin:500_000])
        eventually(lambda: held(gateway) == 0)
        problem = json.loads(client.send(raw[500_000:]).response().body)
    assert problem["count"] == 3
