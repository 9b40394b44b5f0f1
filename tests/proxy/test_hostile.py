"""Peers that stretch, flood or trick: each is bounded in time and memory, and none opens a way past the gateway."""

import contextlib
import time

import pytest
from support.clock import at_least, eventually, within
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import OK, Conversation, RecordingUpstream, Script, answer
from support.wire import Client, Response, exchange, request

PROXY_WAYS = BOTH

PATH = "/api/other"
SIMULATE = "/api/monte-carlo/simulate"
TIMEOUT = 1
EMPTY = b"Content-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    limits = {"upstreamTimeoutSeconds": TIMEOUT}
    return serve(configuration(recorder.port, limits=limits, endpointMode={SIMULATE: "enforce"}))


def dripping(piece: bytes, *, first: bytes = b"", last: bytes = b"", times: int = 200, pause: float = 0.0) -> Script:
    """Return the script that sends a piece again and again, as long as somebody takes it."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(first)
        with contextlib.suppress(OSError):
            for _ in range(times):
                conversation.send(piece)
                time.sleep(pause)
            conversation.send(last)
        conversation.close()

    return script


def asked(gateway: Gateway, raw: bytes = request("GET", PATH)) -> Response:
    return exchange(gateway.port, raw)


@pytest.mark.parametrize(
    "script",
    [
        dripping(b"X-Field: " + b"x" * 60_000 + b"\r\n", first=b"HTTP/1.1 200 OK\r\n", last=EMPTY),
        dripping(b"x" * 60_000, first=b"HTTP/1.1 200 OK\r\nX-Field: ", last=b"\r\n" + EMPTY),
        dripping(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 60_000 + b"\r\n\r\n", last=OK),
    ],
    ids=["fields", "one field", "interim responses"],
)
def test_endless_head_is_given_up(script: Script, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A head without end, and interim responses without one, are 502 long before they fill the memory."""
    with upstream.scripted(script):
        assert asked(gateway).status == 502


@pytest.mark.parametrize(
    "script",
    [
        dripping(b"X-Field: x\r\n", first=b"HTTP/1.1 200 OK\r\n", pause=0.2),
        dripping(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", pause=0.2),
        dripping(b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.2),
    ],
    ids=["fields", "hints", "processing"],
)
def test_dripping_head_is_in_time_or_504(script: Script, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response's head has to be whole in time; bytes and interim responses on the way do not buy more."""
    with upstream.scripted(script), at_least(TIMEOUT - 0.1), within(TIMEOUT + 2):
        assert asked(gateway).status == 504


def test_long_upload_is_no_late_head(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The time for a head begins when the request is sent: a body may take longer than that to send."""
    with Client(gateway.port) as client:
        client.send(request("POST", PATH, body=b"x" * 12)[:-12])
        for _ in range(12):
            client.send(b"x")
            time.sleep(0.15)
        assert client.response().status == 200


@pytest.mark.parametrize("protocols", ["h2c", "HTTP/2.0", "TLS/1.2", "H2C, tls/1.0"])
def test_other_ways_to_send_requests_are_not_offered(
    protocols: str, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """A tunnel in which requests would go by unseen is not asked for; the request goes up as a plain one."""
    fields = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocols), ("HTTP2-Settings", "AAMAAABk"))
    assert asked(gateway, request("GET", PATH, *fields)).status == 200
    received = upstream.only()
    assert [received.values(name) for name in ("upgrade", "http2-settings", "connection")] == [[], [], []]


def test_what_is_left_of_an_offer_is_offered(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Of several protocols those that carry no requests are asked for, in their order."""
    asked(gateway, request("GET", PATH, ("Connection", "Upgrade"), ("Upgrade", "h2c, websocket"), ("Upgrade", "irc/6")))
    assert upstream.only().values("upgrade") == ["websocket, irc/6"]


@pytest.mark.parametrize("chosen", [b"Upgrade: h2c\r\n", b"Upgrade: websocket, h2c\r\n", b""])
def test_switch_to_what_was_not_offered_is_502(chosen: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An upstream that switches to another protocol than the client asked for is out of step."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + chosen + b"\r\n"
    offer = request("GET", PATH, ("Connection", "Upgrade"), ("Upgrade", "websocket"))
    with upstream.scripted(answer(switched)):
        assert asked(gateway, offer).status == 502


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\nhello" + OK,
        b"HTTP/1.1 103 Odd\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
    ],
    ids=["042", "000", "content behind 199", "chunks behind 103"],
)
def test_responses_that_are_none_are_502(raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """No status below 100, and no interim response with content, is passed on: a client may read it otherwise."""
    with upstream.scripted(answer(raw)):
        assert asked(gateway).status == 502


def test_responses_nobody_reads_do_not_pile_up(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client that pipelines requests and reads no response is given up on, with most of them never sent upstream.

    What the two sockets hold, some megabytes, is the system's.
    """
    size, many = 60_000, 1_000
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size

    def given_up() -> bool:
        asked, under_way = len(upstream.requests), gateway.metrics().get("stage_gateway_requests_in_flight")
        time.sleep(0.2)  # between two requests none is under way either
        return under_way == 0 and len(upstream.requests) == asked

    with upstream.scripted(answer(body)), Client(gateway.port, receive_buffer=4096) as client:
        client.send(request("GET", PATH) * many)
        time.sleep(TIMEOUT)
        eventually(given_up)
        reached = len(upstream.requests)
        assert reached * size < 20_000_000
        time.sleep(0.5)
        assert len(upstream.requests) == reached


@pytest.mark.parametrize("name", ["X_HTTP_METHOD_OVERRIDE", "X-Http_Method", "x_method_override"])
def test_override_by_underscores_is_one(name: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Where names become variables, as in CGI, an underscore is a dash: such a request is refused as well."""
    raw = request("POST", SIMULATE, (name, "GET"), body=b'{"stageDistribution":[]}')
    assert asked(gateway, raw).status == 400
    assert upstream.requests == []


@pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 502)])
def test_bound_on_a_head_is_exact(over: int, status: int, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response head of 256 KiB is relayed, with a body that comes along; one byte more is 502."""
    first, last = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n"
    rest = 256 * 1024 + over - len(first) - len(last)
    fields = [b"X: " + b"x" * 8000 + b"\r\n"] * (rest // 8005 - 1)
    fields.append(b"X: " + b"x" * (rest - 8005 * len(fields) - 5) + b"\r\n")
    with upstream.scripted(answer(first + b"".join(fields) + last + b"ok")):
        response = asked(gateway)
    assert response.status == status
    assert response.body == b"ok" or status == 502
