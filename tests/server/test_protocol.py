"""Heads that no handler sees, clients that dawdle, connections too many."""

import json
import threading
import time

import pytest
from support.clock import PATIENCE, at_least, eventually, within
from support.process import Gateway, Serve, configuration
from support.upstream import OK, Conversation, RecordingUpstream, answer
from support.wire import Client, exchange, request

HOST = b"Host: gateway.test\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    limits = {"maxHeadBytes": 2048, "headerTimeoutSeconds": 0.5, "maxConnections": 20}
    return serve(configuration(recorder.port, limits=limits))


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (400, b"canary\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00canary"),
        (400, b"GET /canary HTTP/1.1\r\n\r\n"),
        (400, b"GET /canary HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: canary/a\r\n\r\n"),
        (400, b"GET /canary HTTP/1.1\nHost: a\n\n"),
        (400, b"GET /canary HTTX/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET /\xe9canary HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET /#canary HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET canary HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET http://canary@a/ HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"CANARY / HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n canary\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + HOST + b"X-canary : a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: canary\x00\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + HOST + b"Connection: host, canary\r\n\r\n"),
        (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (400, POST + b"Content-Length: 1canary\r\n\r\na"),
        (400, POST + b"Content-Length: +1\r\n\r\na"),
        (400, POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked\r\n\r\ncanary\r\n"),
        (400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Content-Type: a/canary\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\na"),
        (405, b"CONNECT canary:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
        (405, b"TRACE /canary HTTP/1.1\r\n" + HOST + b"\r\n"),
        (414, b"GET /canary" + b"a" * 2100 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
        (417, POST + b"Expect: canary\r\nContent-Length: 1\r\n\r\na"),
        (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: canary" + b"a" * 2100 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + HOST + b"X-canary" + b"a" * 2100 + b": b\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + HOST + (b"X-canary: " + b"a" * 300 + b"\r\n") * 10 + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + HOST + b"canary: b\r\n" * 300 + b"\r\n"),
        (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: canary\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        (505, b"GET /canary HTTP/2.0\r\n" + HOST + b"\r\n"),
        (505, b"GET /canary HTTP/1.2\r\n" + HOST + b"\r\n"),
        (505, b"GET /canary HTTP/3.0\r\n" + HOST + b"\r\n"),
        (505, b"GET /canary\r\n\r\n"),
    ],
)
def test_head_that_is_refused(status: int, raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A head that cannot be carried is a problem document that echoes nothing; nothing goes up, nothing is logged."""
    logged = len(gateway.lines)
    response = exchange(gateway.port, raw)
    assert response.status == status
    assert response.value("content-type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:stage-gateway:")
    assert problem["requestId"] == response.value("x-request-id")
    assert b"canary" not in (response.head + response.body).lower()
    assert upstream.requests == []
    assert len(gateway.lines) == logged


def test_refused_method_names_the_others(gateway: Gateway) -> None:
    """405 says what is allowed (RFC 9110, section 15.5.6)."""
    (allowed,) = exchange(gateway.port, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n").values("allow")
    assert {"GET", "POST", "DELETE"} <= set(allowed.split(", "))


def test_refusal_of_head_has_no_body(gateway: Gateway) -> None:
    """A refused HEAD request is answered without a body, and its connection stays in step."""
    with Client(gateway.port) as client:
        client.send(request("HEAD", "/", ("Expect", "a-miracle")), request("GET", "/"))
        assert client.response("HEAD").status == 417
        assert client.response().status == 200


def test_head_just_within_the_limit(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A head as large as allowed is carried."""
    target = "/" + "a" * 1800
    assert exchange(gateway.port, request("GET", target, ("X", "b" * 150))).status == 200
    assert len(upstream.only().line) == len(target) + 13


def test_slow_head(gateway: Gateway) -> None:
    """A head that is not whole in time is answered 408, however steadily it drips."""
    with Client(gateway.port) as client, within(3):
        for byte in b"GET / HT":
            client.send(bytes([byte]))
            time.sleep(0.1)
        response = client.response()
        assert client.is_closed()
    assert response.status == 408
    assert json.loads(response.body)["type"] == "urn:stage-gateway:request_timeout"


def test_silent_client(gateway: Gateway) -> None:
    """A connection on which nothing is ever asked is closed without an answer."""
    with Client(gateway.port) as client:
        assert client.is_closed()


def test_idle_connection_is_kept(gateway: Gateway) -> None:
    """Between requests a connection may rest longer than a head may take; the next slow head is answered 408."""
    with Client(gateway.port) as client:
        assert client.send(request("GET", "/")).response().status == 200
        time.sleep(0.8)
        assert client.send(request("GET", "/")).response().status == 200
        assert client.send(b"GET / HT").response().status == 408


def test_head_has_its_time_from_its_first_byte(serve: Serve, upstream: RecordingUpstream) -> None:
    """A client that takes its time before the first byte has the whole time for the head after it."""
    gateway = serve(configuration(upstream.port, limits={"headerTimeoutSeconds": 3}))
    with Client(gateway.port) as client:
        time.sleep(1.6)
        client.send(b"GET / HTTP/1.1\r\n")
        time.sleep(1.5)
        assert client.send(HOST + b"\r\n").response().status == 200


FIRST = {
    "no body": request("GET", "/"),
    "counted": request("POST", "/", body=b"{}"),
    "looks like a head": request("POST", "/", body=b'"\r\n\r\n"', content_type="text/plain"),
    "chunked": request("POST", "/", chunks=[b"{", b"}"]),
    "big": request("POST", "/", body=b"z" * 300_000, content_type="text/plain"),
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "later"])
def test_slow_head_behind_a_request(first: bytes, pause: float, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A head that began behind a running request has its time from that one's end, then is answered 408."""
    answered = threading.Event()

    def slow(conversation: Conversation) -> None:
        conversation.read_body()
        time.sleep(0.7)
        answered.set()
        conversation.send(OK)

    with upstream.scripted(slow), Client(gateway.port) as client:
        pieces = [first, b"GET / HT"] if pause else [first + b"GET / HT"]
        for piece in pieces:
            client.send(piece)
            time.sleep(pause)
        assert answered.wait(PATIENCE)
        with at_least(0.4), within(1.5):
            assert client.response().status == 200
            assert client.response().status == 408


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_nothing_behind_a_request_is_no_slow_head(first: bytes, gateway: Gateway) -> None:
    """A connection on which nothing came behind its requests rests as long as it likes, however they were sent."""
    half, head = len(first) // 2, first.index(b"\r\n\r\n") + 3
    cuts = (
        [first],
        [first + first],
        [first[:-1], first[-1:]],
        [first[:half], first[half:]],
        [first[:head], first[head:]],
    )
    with Client(gateway.port) as client:
        for pieces in cuts:
            for piece in pieces:
                client.send(piece)
                time.sleep(0.05)
            for _ in range(b"".join(pieces).count(b" HTTP/1.1")):
                assert client.response().status == 200
            time.sleep(0.6)
        assert client.send(first).response().status == 200


BROKEN = POST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("status", "pieces"),
    [
        (400, [BROKEN + b"\r\n", b"canary\r\n"]),
        (400, [BROKEN + b"\r\n2\r\nhi\r\ncanary\r\n"]),
        (400, [BROKEN + b"\r\n2\r\nhi\r\n", b"canary\r\n"]),
        (400, [BROKEN + b"Content-Type: application/json\r\n\r\n2\r\n{ \r\n", b"canary\r\n"]),
        (417, [BROKEN + b"Expect: a-miracle\r\n\r\n", b"canary\r\n"]),
    ],
    ids=["alone", "at once", "later", "json", "behind an answer"],
)
def test_body_that_is_badly_framed_is_no_fault_of_ours(status: int, pieces: list[bytes], gateway: Gateway) -> None:
    """Bad chunks end the one request, and no traceback is logged for them."""
    logged = len(gateway.lines)
    with Client(gateway.port) as client:
        for piece in pieces:
            client.send(piece)
            time.sleep(0.1)
        assert client.response().status == status
        assert client.is_closed()
    time.sleep(0.2)
    assert [line for line in gateway.lines[logged:] if "raceback" in line] == []


def test_slow_upstream_is_no_slow_head(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The time that the upstream takes is not the head's."""

    def slow(conversation: Conversation) -> None:
        time.sleep(0.8)
        answer()(conversation)

    with upstream.scripted(slow):
        assert exchange(gateway.port, request("GET", "/")).status == 200


def test_one_connection_too_many(gateway: Gateway) -> None:
    """Beyond `maxConnections` a connection is answered 503 with Retry-After; room that is free again is used."""
    clients = [Client(gateway.port) for _ in range(20)]
    try:
        for client in clients:
            assert client.send(request("GET", "/")).response().status == 200
        with Client(gateway.port) as another:
            response = another.response()
            assert another.is_closed()
        assert response.status == 503
        assert response.values("retry-after") == ["1"]
        assert json.loads(response.body)["type"] == "urn:stage-gateway:no_room"
    finally:
        for client in clients:
            client.sock.close()
    eventually(lambda: exchange(gateway.port, request("GET", "/")).status == 200)
