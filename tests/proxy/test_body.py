"""Bodies on their way in: held within a budget, asked for, waited for only so long."""

import contextlib
import json
import time
from collections.abc import Iterator

import pytest
from support.clock import at_least, eventually, within
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream
from support.wire import BrokenOffError, Client, exchange, request

PROXY_WAYS = BOTH

ENFORCED = "/enforced"
WARNED = "/warned"
LIMIT = 3000
ROOM = 5000  # of it a fifth for small bodies alone, and all of these are small


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    stages = [{"keys": "/stages"}]
    return serve(
        configuration(
            recorder.port,
            endpoints={ENFORCED: {"stages": stages}, WARNED: {"stages": stages}},
            endpointMode={ENFORCED: "enforce", WARNED: "warn"},
            limits={
                "maxBodyBytes": LIMIT,
                "heldBytes": ROOM * 4 // 5,
                "headerTimeoutSeconds": 0.5,
                "minBodyBytesPerSecond": 2000,
            },
        )
    )


def document(size: int) -> bytes:
    return b'{"stages":{"seed":1},"pad":"' + b"x" * (size - 30) + b'"}'


def counted(gateway: Gateway) -> float:
    return gateway.metrics().total("stage_validation_validations_total")


def held(gateway: Gateway) -> float | None:
    return gateway.metrics().get("stage_gateway_held_bytes")


@contextlib.contextmanager
def taken_but(gateway: Gateway, room: int) -> Iterator[None]:
    """While two bodies are on their way that leave so much room."""
    raw = request("POST", ENFORCED, body=document(LIMIT))
    with Client(gateway.port) as first, Client(gateway.port) as second:
        first.send(raw[:-10])
        eventually(lambda: held(gateway) == LIMIT - 10)
        second.send(raw[: len(raw) - LIMIT + ROOM - room - LIMIT + 10])
        eventually(lambda: held(gateway) == ROOM - room)
        yield
    eventually(lambda: held(gateway) == 0)


@pytest.mark.parametrize("framed", ["counted", "chunked"])
def test_no_room_for_another_body(framed: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body takes room as it comes, and is answered 503 with Retry-After when there is no more."""
    body = document(1500)
    raw = request("POST", ENFORCED, body=body) if framed == "counted" else request("POST", ENFORCED, chunks=[body])
    with taken_but(gateway, 1000), Client(gateway.port) as client:
        client.send(raw[:700])
        eventually(lambda: (held(gateway) or 0) > ROOM - 1000)
        response = client.send(raw[700:-10]).response()
    assert response.status == 503
    assert response.values("retry-after") == ["1"]
    assert json.loads(response.body)["type"] == "urn:stage-gateway:no_room"
    assert exchange(gateway.port, raw).status == 200
    assert len(upstream.requests) == 1


def test_small_body_that_is_there_is_never_turned_away(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A small body that is there whole is judged and carried though the budget is used up."""
    with taken_but(gateway, 0):
        assert exchange(gateway.port, request("POST", ENFORCED, body=document(LIMIT))).status == 200
        assert exchange(gateway.port, request("POST", ENFORCED, body=b'{"stages":{"A":1}}')).status == 422
    assert len(upstream.requests) == 1


def test_streamed_body_needs_no_room(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body that cannot be refused is not held, so it passes while the budget is taken."""
    raw = request("POST", WARNED, body=document(LIMIT))
    with taken_but(gateway, 0), Client(gateway.port) as client:
        client.send(raw[:-10])
        upstream.wait_for(1)
        assert client.send(raw[-10:]).response().status == 200


@pytest.mark.parametrize("expect", [(), (("Expect", "100-continue"),)])
def test_too_large_is_refused_unread(
    expect: tuple[tuple[str, str], ...], gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """In `enforce` a Content-Length over the limit is answered 413 before a byte of the body, and not asked for."""
    raw = request("POST", ENFORCED, *expect, body=document(LIMIT + 1))
    with Client(gateway.port) as client:
        response = client.send(raw.partition(b"\r\n\r\n")[0], b"\r\n\r\n").response()
        assert (response.status, response.interim) == (413, [])
        assert response.values("connection") == ["close"]
    assert upstream.requests == []


def test_client_that_sends_on_gets_to_see_its_refusal(gateway: Gateway) -> None:
    """A client that sends a large body before it reads still finds the answer, not a reset connection."""
    assert exchange(gateway.port, request("POST", ENFORCED, body=document(3_000_000))).status == 413


def test_too_large_streams_on_in_warn(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """In `warn` a body over the limit goes up as it arrives, whole, and the response says `too_large`."""
    raw = request("POST", WARNED, body=document(500_000))
    with Client(gateway.port) as client:
        client.send(raw[:100_000])
        upstream.wait_for(1)
        assert not upstream.only().complete.is_set()
        response = client.send(raw[100_000:]).response()
    assert response.values("x-stage-warning") == ["reason=too_large; count=1"]
    assert upstream.only().framed == document(500_000)


@pytest.mark.parametrize("place", [ENFORCED, WARNED, "/elsewhere"])
def test_client_that_waits_to_be_asked(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """`Expect: 100-continue` is answered here with one 100, and not passed on."""
    head, _, body = request("POST", place, ("Expect", "100-Continue"), body=document(1000)).partition(b"\r\n\r\n")
    with Client(gateway.port) as client:
        client.send(head, b"\r\n\r\n")
        assert client.reader.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        response = client.send(body).response()
    assert (response.status, response.interim) == (200, [])
    assert upstream.only().value("expect") is None
    assert upstream.only().framed == document(1000)


@pytest.mark.parametrize("place", [ENFORCED, WARNED, "/elsewhere"])
def test_slow_body(place: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body that stops coming is answered 408, is never completed upstream, and is not counted."""
    before = counted(gateway)
    with Client(gateway.port) as client, at_least(0.4), within(3):
        response = client.send(request("POST", place, body=document(1000))[:-500]).response()
    assert response.status == 408
    assert json.loads(response.body)["type"] == "urn:stage-gateway:request_timeout"
    assert not [received for received in upstream.requests if received.complete.is_set()]
    assert counted(gateway) == before


def test_steady_body_may_take_longer(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body that keeps the pace is waited for beyond the first grace."""
    raw = request("POST", ENFORCED, body=document(2600))
    with Client(gateway.port) as client:
        client.send(raw[:-2600])
        for start in range(0, 2600, 260):
            time.sleep(0.1)
            client.send(raw[len(raw) - 2600 + start : len(raw) - 2600 + start + 260])
        assert client.response().status == 200


@pytest.mark.parametrize("framed", ["counted", "chunked"])
@pytest.mark.parametrize("place", [ENFORCED, WARNED])
def test_client_that_breaks_off(place: str, framed: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A body that the client breaks off is not counted, never completed upstream, and gives its room back."""
    before = counted(gateway)
    body = b'{"stages":{"Series A":1}}' + b" " * 1000
    raw = request("POST", place, body=body) if framed == "counted" else request("POST", place, chunks=[body, b" "])
    with Client(gateway.port) as client:
        client.send(raw[:-10])
        time.sleep(0.1)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
    assert gateway.metrics().get("stage_gateway_held_bytes") == 0
    assert counted(gateway) == before
    assert not [received for received in upstream.requests if received.complete.is_set()]
    assert bool(upstream.requests) is (place == WARNED)


def early(conversation: Conversation) -> None:
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")


def test_early_answer_has_no_stage_fields_but_counts(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An answer before the body's end is relayed without X-Stage fields; the request is still judged to its end."""
    body = b'{"pad":"' + b"x" * 1500 + b'","stages":{"Series A":1,"Series B":1}}'
    raw = request("POST", WARNED, body=body)
    before = gateway.metrics()
    with upstream.scripted(early), Client(gateway.port) as client:
        client.send(raw[:-60])
        response = client.response()
        assert response.body == b"early"
        assert not [name for name, _ in response.fields if name.lower().startswith(b"x-stage")]
        client.send(raw[-60:])
        name, labels = "stage_validation_validations_total", {"endpoint": WARNED, "result": "warn"}
        eventually(lambda: gateway.metrics().total(name, **labels) == before.total(name, **labels) + 1)
    values = "stage_validation_values_total"
    assert gateway.metrics().total(values, endpoint=WARNED) == before.total(values, endpoint=WARNED) + 2


def test_early_answer_to_a_body_that_never_ends(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """After an early answer the rest of a body is waited for no longer than any other."""
    with upstream.scripted(early), Client(gateway.port) as client:
        client.send(request("POST", WARNED, body=document(1000))[:-60])
        assert client.response().body == b"early"
        with pytest.raises(BrokenOffError):
            client.reader.exactly(1)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
