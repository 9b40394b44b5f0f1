"""Requests that are held, and what must not be lost, kept or forgotten on the way."""

import gzip
import time

import pytest
import xxhash
from support.clock import eventually
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream, answer
from support.wire import BrokenOffError, Client, Response, exchange, request

PROXY_WAYS = BOTH

STRATEGIES = "/api/portfolio/strategies"
GOOD = b'{"fund":7,"stageAllocation":{"seed":1}}'
BAD = b'{"fund":7,"stageAllocation":{"Seed":1}}'


def outside(percent: int) -> str:
    """Return a request id that is outside the percentage."""
    return next(i for i in map(str, range(1000)) if xxhash.xxh3_64_intdigest(i.encode()) % 10_000 >= percent * 100)


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(
        configuration(
            recorder.port,
            endpointMode={STRATEGIES: "enforce"},
            enforcementKey="fundId",
            enforcementPercent=1,
            endpoints={STRATEGIES: {"stages": [{"keys": "/stageAllocation"}], "fundId": {"body": "/fund"}}},
            limits={"upstreamTimeoutSeconds": 1, "maxBodyBytes": 3_000_000, "heldBytes": 3_500_000},
        )
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(**headers: str) -> bytes:
    fields = {"Host": "h", "X-Request-Id": outside(1), "Transfer-Encoding": "chunked", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"POST {STRATEGIES} HTTP/1.1\r\n{lines}\r\n".encode()


HIDDEN = [
    ({"Content_Type": "text/plain"}, [b"some ", b"text"], "content_type"),
    ({"Content_Type": "application/json", "Content_Encoding": "gzip"}, [gzip.compress(GOOD), b"junk"], "encoding_bad"),
    ({"Content_Type": "application/json"}, [b"[", b" " * 2_999_000, b" " * 2_000, b"]"], "too_large"),
]


@pytest.mark.parametrize(("headers", "pieces", "reason"), HIDDEN)
def test_a_held_body_that_is_not_refused_arrives_whole(
    headers: dict[str, str], pieces: list[bytes], reason: str, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """When what ends the inspection also puts the request outside the percentage, not one byte of it is lost."""
    with Client(gateway.port) as client:
        client.send(chunked(**headers))
        for piece in pieces:
            client.send(chunk(piece))
            time.sleep(0.05)
        response = client.send(b"0\r\n\r\n").response()
    assert response.status == 200
    assert upstream.only().body == b"".join(pieces)
    assert response.values("x-stage-warning") == [f"reason={reason}; count=1"]


@pytest.mark.parametrize("endpoint", [STRATEGIES, "/api/portfolio/strategies?x"])
def test_the_last_chunk_by_itself_still_brings_the_warning(
    endpoint: str, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """The verdict is in the response's head also when the end of the body comes in a segment of its own."""
    with Client(gateway.port) as client:
        client.send(chunked(Content_Type="application/json"), chunk(BAD))
        time.sleep(0.1)
        response = client.send(b"0\r\n\r\n").response()
    assert response.values("x-stage-warning") == ["reason=alias; count=1"]


def test_a_client_that_does_not_read_keeps_no_budget(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Once a held body is on its way its room is free again, and a client that takes no byte is reset in time."""

    def endless(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            conversation.send(b"z" * 1_000_000)

    body = GOOD + b" " * 2_000_000
    with upstream.scripted(endless), Client(gateway.port, receive_buffer=4096) as client:
        client.send(request("POST", STRATEGIES, body=body))
        upstream.wait_for(1)
        eventually(lambda: gateway.metrics().total("stage_gateway_held_bytes") == 0)
        eventually(lambda: gateway.metrics().total("stage_gateway_requests_in_flight") == 0)
        with pytest.raises((BrokenOffError, ConnectionResetError)):
            client.response()


def test_uploads_broken_off_leave_no_error_in_the_log(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client that goes away in the middle of its body is nobody's fault, and not told to the log as one."""
    before = len(gateway.lines)
    for _ in range(5):
        with Client(gateway.port) as client:
            client.send(request("POST", "/elsewhere", body=b"x" * 100_000)[:900])
            time.sleep(0.05)
    eventually(lambda: gateway.metrics().total("stage_gateway_requests_in_flight") == 0)
    exchange(gateway.port, request("GET", "/after"))
    assert not [line for line in gateway.lines[before:] if "never retrieved" in line or "Traceback" in line]


def test_the_last_answer_before_an_end_says_so(serve: Serve, upstream: RecordingUpstream) -> None:
    """A request under way when the process is told to end is answered with Connection: close."""
    gateway = serve(configuration(upstream.port, limits={"drainSeconds": 3}))

    def slow(conversation: Conversation) -> None:
        conversation.read_body()
        time.sleep(0.5)
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with upstream.scripted(slow), Client(gateway.port) as client:
        client.send(request("GET", "/x"))
        upstream.wait_for(1)
        gateway.process.terminate()
        assert client.response().values("connection") == ["close"]


def test_an_upgrade_that_is_not_made_is_the_last_request(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The server's parser loses what follows an Upgrade, so the client is told to begin a new connection."""
    with upstream.scripted(answer()), Client(gateway.port) as client:
        upgrade = request("GET", "/x", ("Connection", "Upgrade"), ("Upgrade", "h2c"))
        response: Response = client.send(upgrade).response()
    assert response.values("connection") == ["close"]


@pytest.mark.parametrize(("length", "status"), [("0" * 4000 + "2", 200), ("9" * 19, 400), ("9" * 5000, 400)])
def test_odd_content_lengths(length: str, status: int, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Leading zeros mean nothing, and a number that no body has is malformed, never a fault of ours."""
    raw = f"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode()
    assert exchange(gateway.port, raw + b"{}").status == status
