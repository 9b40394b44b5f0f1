"""Upstreams that fail, at every point where one can, and connections that are kept."""

import json
import socket
import time

import pytest
from support.clock import at_least, eventually, within
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import OK, Conversation, RecordingUpstream, Script, answer
from support.wire import BrokenOffError, Client, exchange, request

PROXY_WAYS = BOTH

HEAD = b"HTTP/1.1 200 OK\r\n"
COUNTED = HEAD + b"Content-Length: 10\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
TO_THE_END = HEAD + b"X: 1\r\n\r\nhello"
BIG = b'{"x":"' + b"y" * 1_000_000 + b'"}'


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream, closed_port: int) -> Gateway:
    config = configuration(recorder.port, limits={"upstreamTimeoutSeconds": 0.6, "connectTimeoutSeconds": 0.5})
    config["upstreams"]["gone"] = {"url": f"http://127.0.0.1:{closed_port}"}
    config["routes"] = [{"prefix": "/gone", "upstream": "gone"}, {"prefix": "/", "upstream": "portfolio"}]
    return serve(config)


def resetting(conversation: Conversation) -> None:
    conversation.read_body()
    conversation.reset()


def silent(conversation: Conversation) -> None:
    conversation.read_body()
    conversation.reader.receive()  # until the gateway has enough of it
    conversation.close()


def ending(raw: bytes, how: str) -> Script:
    def script(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(raw)
        if how == "silence":
            conversation.reader.receive()  # until the gateway has enough of it
        elif how == "reset":
            time.sleep(0.1)  # so that the gateway has read what came before
            conversation.reset()
        conversation.close()

    return script


def assert_problem(raw: bytes, gateway: Gateway, status: int) -> None:
    with Client(gateway.port) as client:
        response = client.send(raw).response()
    assert response.status == status
    assert response.value("content-type") == "application/problem+json"
    assert response.value("x-request-id") == "mine"
    problem = json.loads(response.body)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:stage-gateway:upstream_")
    assert problem["requestId"] == "mine"
    assert "127.0.0.1" not in response.body.decode()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_connection(method: str, gateway: Gateway) -> None:
    """An upstream that takes no connection is answered 502, and counted under its name."""
    before = gateway.metrics().total("stage_gateway_requests_total", upstream="gone", code="502")
    assert_problem(request(method, "/gone", ("X-Request-Id", "mine")), gateway, 502)
    assert gateway.metrics().total("stage_gateway_requests_total", upstream="gone", code="502") == before + 1


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20", HEAD + b"Content-Le"], ids=["nothing", "status", "head"])
def test_connection_lost_before_the_head(how: str, raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An upstream that goes away before its head is complete is answered 502."""
    with upstream.scripted(ending(raw, how)):
        assert_problem(request("POST", "/x", ("X-Request-Id", "mine"), body=b"{}"), gateway, 502)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20"], ids=["nothing", "status"])
def test_silent_upstream(raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An upstream that does not complete its head in time is answered 504."""
    with upstream.scripted(ending(raw, "silence")), at_least(0.5), within(1.4):
        assert_problem(request("POST", "/x", ("X-Request-Id", "mine"), body=b"{}"), gateway, 504)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        HEAD + b"bad header\r\n\r\n",
    ],
    ids=["ssh", "two lengths", "101", "header"],
)
def test_answer_that_is_no_http(raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """What cannot be understood as a response is answered 502."""
    with upstream.scripted(answer(raw, close=True)):
        assert_problem(request("GET", "/x", ("X-Request-Id", "mine")), gateway, 502)


@pytest.mark.parametrize(
    ("how", "raw"),
    [
        *(("reset", raw) for raw in (COUNTED, CHUNKED, TO_THE_END)),
        *(("silence", raw) for raw in (COUNTED, CHUNKED, TO_THE_END)),
        *(("close", raw) for raw in (COUNTED, CHUNKED)),  # for the third this is the end in good order
    ],
)
def test_response_broken_off(how: str, raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response that breaks off upstream breaks off for the client too, and never looks complete."""
    with upstream.scripted(ending(raw, how)), Client(gateway.port) as client:
        client.send(request("GET", "/x"))
        with pytest.raises(BrokenOffError) as broken:
            client.response()
    assert b"hello" in broken.value.seen
    assert b" 502 " not in broken.value.seen


def test_response_may_take_long(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A response lasts as long as it keeps coming, however much longer than the timeout that is."""

    def slow(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(HEAD + b"Content-Length: 20\r\n\r\n")
        for _ in range(20):
            time.sleep(0.05)
            conversation.send(b"x")

    with upstream.scripted(slow):
        assert exchange(gateway.port, request("GET", "/x")).body == b"x" * 20


class Stale:
    """Answers the first request of every connection, and resets on the second."""

    def __init__(self) -> None:
        self._used: set[int] = set()

    def __call__(self, conversation: Conversation) -> None:
        conversation.read_body()
        if conversation.request.connection in self._used:
            conversation.reset()
        self._used.add(conversation.request.connection)
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_idempotent_request_is_repeated(method: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An idempotent request that meets a connection which had idled too long is sent again on a new one."""
    body = b"{}" if method == "PUT" else None
    with upstream.scripted(Stale()):
        assert exchange(gateway.port, request("GET", "/first")).status == 200
        response = exchange(gateway.port, request(method, "/second", ("X-Request-Id", f"again-{method}"), body=body))
    assert response.status == 200
    tries = upstream.of(f"again-{method}")
    assert len(tries) == 2
    assert tries[0].connection != tries[1].connection
    assert tries[0].head == tries[1].head


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("body", [None, b"{}", BIG], ids=["no-body", "small", "big"])
def test_other_request_reaches_the_upstream_once(
    method: str, body: bytes | None, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """A POST or PATCH is never sent twice: where it may have been taken, the client is told 502."""
    with upstream.scripted(Stale()):
        assert exchange(gateway.port, request("GET", "/first")).status == 200
        response = exchange(gateway.port, request(method, "/second", ("X-Request-Id", "once"), body=body))
    assert response.status == 502
    assert len(upstream.of("once")) == 1


def test_get_on_a_fresh_connection_is_not_repeated(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Only a connection that had idled can be stale: a reset on a new one is the upstream's answer."""
    with upstream.scripted(answer(close=True)):
        exchange(gateway.port, request("GET", "/drop-the-idle-connection"))
    with upstream.scripted(resetting):
        eventually(lambda: exchange(gateway.port, request("GET", "/x")).status == 502)
        upstream.requests.clear()
        assert exchange(gateway.port, request("GET", "/x")).status == 502
    assert len(upstream.requests) == 1


def test_upstream_that_closes_after_each_response(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A connection that the upstream closed is not used again: every POST gets one that is open."""
    with upstream.scripted(answer(close=True)):
        for _ in range(5):
            assert exchange(gateway.port, request("POST", "/x", body=b"{}")).status == 200
            eventually(lambda: not upstream.open)
            time.sleep(0.02)  # the end of the connection may come a moment after the response
    assert len({received.connection for received in upstream.requests}) == 5


def test_connection_is_kept_between_requests(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Requests that follow each other share a connection to the upstream."""
    for method in ("GET", "POST", "HEAD", "GET"):
        assert exchange(gateway.port, request(method, "/x")).status == 200
    assert len({received.connection for received in upstream.requests}) == 1


def test_bytes_after_a_response_end_the_connection(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """What an upstream says unasked is never taken for the answer to the next request."""
    with upstream.scripted(answer(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")):
        for _ in range(3):
            assert exchange(gateway.port, request("POST", "/x")).body == b"ok"
            time.sleep(0.02)


def test_upstream_that_reads_slowly(serve: Serve, upstream: RecordingUpstream) -> None:
    """A large body waits for an upstream that takes its time, and arrives whole."""
    gateway = serve(configuration(upstream.port))

    def slow(conversation: Conversation) -> None:
        time.sleep(0.3)
        conversation.read_body()
        conversation.send(OK)

    body = b"z" * 20_000_000
    with upstream.scripted(slow):
        assert exchange(gateway.port, request("POST", "/x", body=body)).status == 200
    assert upstream.only().body == body


@pytest.mark.parametrize("then", ["keep", "close", "reset"])
def test_early_answer_is_relayed_at_once(then: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An upstream that answers before the body has ended is heard at once; its connection carries nothing else."""

    def early(conversation: Conversation) -> None:
        conversation.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nnope")
        if then == "reset":
            time.sleep(0.1)
            conversation.reset()
        if then == "close":
            conversation.close()
        conversation.read_body()

    with upstream.scripted(early), Client(gateway.port) as client:
        raw = request("POST", "/x", body=BIG)
        client.send(raw[:200_000])
        response = client.response()
        assert (response.status, response.body) == (413, b"nope")
        with upstream.scripted(answer()):
            assert client.send(raw[200_000:], request("GET", "/next")).response().body == b"ok"
    assert len({received.connection for received in upstream.requests}) == 2


def test_early_answer_survives_the_reset_of_its_connection(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An answer is relayed also when the upstream closed on unread bytes, so that our writes meet a reset."""

    def rude(conversation: Conversation) -> None:
        conversation.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nnope")
        conversation.close()

    with upstream.scripted(rude):
        for _ in range(40):
            assert exchange(gateway.port, request("POST", "/x", body=BIG)).status == 413


@pytest.mark.parametrize(
    ("first", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    ],
)
def test_a_second_response_in_one_segment_is_nobodys(
    first: bytes, status: int, body: bytes, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """What an upstream says beyond its one response neither changes that response nor answers the next request."""

    def twice(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(first + b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad")

    with Client(gateway.port) as client:
        with upstream.scripted(twice):
            response = client.send(request("GET", "/x")).response()
        assert (response.status, response.body) == (status, body)
        assert client.send(request("GET", "/y")).response().body == b"ok"
