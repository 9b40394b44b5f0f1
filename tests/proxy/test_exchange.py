"""What a request is when it reaches the upstream, and what a response is when it reaches the client."""

import contextlib
import gzip
import threading
import time
import uuid

import pytest
from support.clock import PATIENCE, eventually
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream, answer
from support.wire import BrokenOffError, Client, exchange, parse_head, request

PROXY_WAYS = BOTH

OFF = "/api/off"
INSPECTED = "/api/portfolio/strategies"
ELSEWHERE = "/elsewhere"
PLACES = [OFF, INSPECTED, ELSEWHERE]


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    stages = [{"keys": "/stageAllocation"}]
    return serve(
        configuration(
            recorder.port,
            endpoints={OFF: {"stages": stages}, INSPECTED: {"stages": stages}},
            endpointMode={OFF: "off", INSPECTED: "enforce"},
        )
    )


def replied(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body])


@pytest.mark.parametrize("place", PLACES)
def test_head_goes_up_as_it_came(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Target, names, values, order and repetition reach the upstream byte for byte; the gateway's own fields follow."""
    target = f"{place}?a=%41%2f&&b[]=x&%zz=|\\^`{{}}&"
    identity = str(uuid.uuid4())
    fields = [b"X-B: 2", b"x-Raw: \xe9\xff\x80", b"X-B: 1", b"cOOkie: a=b;  c", b"X-Request-Id: " + identity.encode()]
    exchange(gateway.port, request("GET", target, *fields))
    assert upstream.only().head == b"\r\n".join(
        [
            f"GET {target} HTTP/1.1".encode(),
            b"Host: gateway.test",
            *fields,
            b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: gateway.test",
            b"X-Forwarded-For: 127.0.0.1",
            b"Via: 1.1 stage-gateway",
            b"\r\n",
        ]
    )


@pytest.mark.parametrize("target", ["//x//y", "/a/%2e%2e/b", "/%61", "/x?", "/;p=1", "/a/../b?", "/x??y?"])
def test_odd_targets_go_up_as_they_came(target: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Nothing in a target is normalised on its way."""
    exchange(gateway.port, request("GET", target))
    assert upstream.only().line == f"GET {target} HTTP/1.1".encode()


def test_absolute_target(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An absolute target goes up as its path, and its host is the Host."""
    exchange(gateway.port, request("GET", "http://api.test:81/x%41?y"))
    assert upstream.only().line == b"GET /x%41?y HTTP/1.1"
    assert upstream.only().values("host") == ["api.test:81"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [0, 1, 70_000, 300_000])
def test_counted_body_stays_counted(place: str, size: int, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body with a Content-Length goes up with it, byte for byte, whatever its size."""
    body = (b'{"x":"' + bytes(range(32, 33)) * size + b'"}') if size else b""
    assert exchange(gateway.port, request("POST", place, body=body)).status == 200
    assert upstream.only().values("content-length") == [str(len(body))]
    assert upstream.only().values("transfer-encoding") == []
    assert upstream.only().framed == body


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [0, 1, 70_000, 300_000])
def test_chunked_body_stays_chunked(place: str, size: int, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A chunked body goes up chunked, without a Content-Length, with the same content."""
    chunks = [b'{"x":"', b" " * size, b'"}'] if size else []
    assert exchange(gateway.port, request("POST", place, chunks=[c for c in chunks if c])).status == 200
    assert upstream.only().values("transfer-encoding") == ["chunked"]
    assert upstream.only().values("content-length") == []
    assert upstream.only().body == b"".join(chunks)


@pytest.mark.parametrize("place", PLACES)
def test_compressed_body_stays_compressed(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A gzip body is looked into, but goes up as it came, and a gzip response comes down as it came."""
    body = gzip.compress(b'{"stageAllocation":{"seed":1}}')
    with upstream.scripted(
        answer(replied(b"Content-Encoding: gzip", b"Content-Length: %d" % len(body), body=body)),
    ):
        response = exchange(gateway.port, request("POST", place, ("Content-Encoding", "gzip"), body=body))
    assert upstream.only().framed == body
    assert upstream.only().values("content-encoding") == ["gzip"]
    assert response.body == body
    assert response.values("content-encoding") == ["gzip"]


def test_response_head_comes_down_as_it_came(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Status, reason, names, values, order, repetition and bytes of a response stay; only the request id is added."""
    head = [b"hTTP-Thing: a", b"Set-Cookie: b=2", b"Set-Cookie: a=1", b"X-Raw: \xe9\xff", b"content-LENGTH: 2"]
    with upstream.scripted(answer(b"\r\n".join([b"HTTP/1.1 299 Quite \xe9 Fine", *head, b"", b"ok"]))):
        response = exchange(gateway.port, request("GET", ELSEWHERE, ("X-Request-Id", "mine")))
    assert response.head == b"\r\n".join([b"HTTP/1.1 299 Quite \xe9 Fine", *head, b"X-Request-Id: mine", b"\r\n"])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("given", "kept"), [("a" * 128, True), ("!~", True), ("a b", False), ("a" * 129, False), ("", False), (None, False)]
)
def test_request_id(place: str, given: str | None, kept: bool, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A valid request id is carried both ways; a new one takes the place of any other, the same up and down."""
    fields = [] if given is None else [("X-Request-Id", given)]
    response = exchange(gateway.port, request("GET", place, *fields))
    (up,) = upstream.only().values("x-request-id")
    assert response.values("x-request-id") == [up]
    assert (up == given) is kept
    if not kept:
        assert uuid.UUID(up)


def test_upstreams_request_id_stays(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response that carries a request id of its own keeps it."""
    with upstream.scripted(answer(replied(b"x-request-ID: theirs", b"Content-Length: 0"))):
        response = exchange(gateway.port, request("GET", INSPECTED, ("X-Request-Id", "mine")))
    assert response.values("x-request-id") == ["theirs"]


@pytest.mark.parametrize("place", PLACES)
def test_only_the_gateway_speaks_in_its_fields(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """X-Stage fields of client and upstream are removed where requests are inspected, and left alone elsewhere."""
    stage = (b"X-Stage-Warning: false", b"x-stage-would-reject: true")
    with upstream.scripted(answer(replied(*stage, b"Content-Length: 0"))):
        response = exchange(gateway.port, request("GET", place, *stage))
    stays = place != INSPECTED
    for fields in (upstream.only().fields, response.fields):
        names = [name for name, _ in fields if name.lower().startswith(b"x-stage")]
        assert names == ([b"X-Stage-Warning", b"x-stage-would-reject"] if stays else [])


def test_hop_by_hop_fields_end_here(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """What concerns one connection only is not passed on in either direction."""
    hop = (b"Connection: X-Mine, keep-alive", b"X-Mine: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive")
    with upstream.scripted(answer(replied(*hop, b"Content-Length: 0", b"X-Last: 1"))):
        response = exchange(gateway.port, request("GET", ELSEWHERE, *hop, b"TE: trailers", b"Upgrade: websocket"))
    gone = {b"connection", b"x-mine", b"keep-alive", b"proxy-connection", b"te", b"upgrade"}
    for fields in (upstream.only().fields, response.fields):
        assert not {name.lower() for name, _ in fields} & gone
    assert response.value("x-last") == "1"


def test_forwarding_fields_are_appended(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Via and X-Forwarded-For are appended to; X-Forwarded-Proto and -Host are set only when absent."""
    given = [
        ("Via", "1.0 a"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "h"),
    ]
    exchange(gateway.port, request("GET", ELSEWHERE, *given))
    received = upstream.only()
    assert received.values("via") == ["1.0 a, 1.1 stage-gateway"]
    assert received.values("x-forwarded-for") == ["192.0.2.1, 127.0.0.1"]
    assert received.values("x-forwarded-proto") == ["https"]
    assert received.values("x-forwarded-host") == ["h"]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\nETag: x\r\n\r\n",
        replied(b"Content-Length: 0"),
        replied(b"Content-Length: 5", body=b"hello"),
        replied(b"Transfer-Encoding: chunked", body=b"5;x=y\r\nhello\r\n0\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + replied(b"Content-Length: 0"),
    ],
    ids=["204", "304", "empty", "counted", "chunked", "interim"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_delimited_response_leaves_the_connection_open(
    method: str, raw: bytes, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """A response with an end of its own is relayed with the same framing, and the next request follows it."""
    with upstream.scripted(answer(raw)), Client(gateway.port) as client:
        for _ in range(2):
            response = client.send(request(method, ELSEWHERE)).response(method)
            assert response.value("connection") is None
            assert response.interim == []
            final = raw[raw.rindex(b"HTTP/1.1") :].partition(b"\r\n\r\n")[0]
            names = {name.lower() for name, _ in parse_head(final + b"\r\n\r\n")[1]}
            assert {name.lower() for name, _ in response.fields} == {*names, b"x-request-id"}
            assert response.body == (b"hello" if b"hello" in raw and method != "HEAD" else b"")


def test_response_without_a_length_ends_with_the_connection(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response that ends with its connection is relayed so, and says so."""
    with upstream.scripted(answer(replied(b"X: 1", body=b"to the end"), close=True)):
        response = exchange(gateway.port, request("GET", ELSEWHERE))
    assert response.body == b"to the end"
    assert response.values("connection") == ["close"]
    assert response.value("transfer-encoding") is None


def test_old_client(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """HTTP/1.0 gets no chunks: the end of the connection is the end of the response."""
    chunked = replied(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    with upstream.scripted(answer(chunked)), Client(gateway.port) as client:
        response = client.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response()
        assert client.is_closed()
    assert response.body == b"hello"
    assert response.value("transfer-encoding") is None
    assert upstream.only().line == b"GET /old HTTP/1.1"
    assert upstream.only().values("host") == [f"127.0.0.1:{upstream.port}"]


def test_pipelined_requests_are_answered_in_order(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Requests sent at once on one connection are answered one after the other."""
    with Client(gateway.port) as client:
        client.send(*(request("GET", f"/{n}", ("X-Request-Id", str(n))) for n in range(20)))
        assert [client.response().value("x-request-id") for _ in range(20)] == [str(n) for n in range(20)]
    assert [received.line for received in upstream.requests] == [f"GET /{n} HTTP/1.1".encode() for n in range(20)]


def test_pipelined_request_behind_a_refused_one(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A refusal whose body was read leaves the connection in step for the next request."""
    bad = request("POST", INSPECTED, body=b'{"stageAllocation":{"x":1}}')
    with Client(gateway.port) as client:
        client.send(bad, request("GET", "/next"))
        assert [client.response().status for _ in range(2)] == [422, 200]
    assert upstream.only().line == b"GET /next HTTP/1.1"


def test_client_that_says_close(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """`Connection: close` of the client closes its connection after the response."""
    with Client(gateway.port) as client:
        response = client.send(request("GET", ELSEWHERE, ("Connection", "close"))).response()
        assert response.values("connection") == ["close"]
        assert client.is_closed()


def test_upgrade_that_is_declined(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """When the upstream does not switch protocols the connection goes on as HTTP."""
    with Client(gateway.port) as client:
        client.send(request("GET", ELSEWHERE, ("Connection", "Upgrade"), ("Upgrade", "websocket")))
        assert client.response().status == 200
        assert client.send(request("GET", ELSEWHERE)).response().status == 200
    assert [asked.value("upgrade") for asked in upstream.requests] == ["websocket", None]


@pytest.mark.parametrize("place", [ELSEWHERE, INSPECTED])
def test_malformed_chunk(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body that turns out not to be framed as its head says is answered 400, and never completed upstream."""
    with Client(gateway.port) as client:
        client.send(request("POST", place, chunks=[]).removesuffix(b"0\r\n\r\n"), b"2\r\n{}\r\n")
        time.sleep(0.2)
        client.send(b"zz\r\n")
        assert client.response().status == 400
        assert client.is_closed()
    assert not [received for received in upstream.requests if received.complete.is_set()]


def test_client_sees_no_second_response(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """When the body turns out malformed after the upstream has answered, the connection ends without more."""
    early = replied(b"Content-Length: 5", body=b"early")
    with upstream.scripted(lambda conversation: conversation.send(early)), Client(gateway.port) as client:
        client.send(request("POST", ELSEWHERE, chunks=[]).removesuffix(b"0\r\n\r\n"), b"2\r\n{}\r\n")
        assert client.response().body == b"early"
        client.send(b"zz\r\n")
        assert client.is_closed()


def test_client_that_leaves(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """When the client goes away before the answer, the upstream sees its connection end and may stop working."""
    ended = threading.Event()

    def working(conversation: Conversation) -> None:
        conversation.read_body()
        with contextlib.suppress(BrokenOffError):
            assert conversation.reader.receive() == b""
        ended.set()

    with upstream.scripted(working):
        with Client(gateway.port) as client:
            client.send(request("GET", ELSEWHERE))
            upstream.wait_for(1)
        assert ended.wait(PATIENCE)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
