"""The express lane and the general way mean the same when something fails or changes: upstreams, clients, the process.

See `test_lane` for what that means. Here each test says what is to happen, and holds both ways to that.
"""

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.answers import ENDLESS
from support.bodies import ENDPOINTS
from support.clock import PATIENCE, eventually
from support.plain_requests import Requests
from support.series import Round, Sent
from support.ways import Side, Ways
from support.wire import Client

TIMEOUT = 0.7
LIMITS = {"upstreamTimeoutSeconds": TIMEOUT, "connectTimeoutSeconds": TIMEOUT, "headerTimeoutSeconds": TIMEOUT}
MODES = {**dict.fromkeys(ENDPOINTS, "enforce"), "/off": "off", "/api/simulate": "warn"}
RIGHT = b'{"stage":"seed"}'
# A request that is held, one that is judged on its way, one at an endpoint that is off, and reads.
KINDS: dict[str, tuple[str, bytes | None]] = {
    "held": ("POST /api/value", RIGHT),
    "warned": ("POST /api/simulate", b'{"stageDistribution":[{"stage":"x","weight":1}]}'),
    "off": ("PATCH /off", RIGHT),
    "repeatable": ("PUT /api/value", RIGHT),
    "read": ("GET /elsewhere", None),
    "head": ("HEAD /elsewhere", None),
}


def asked(kind: str, answer: str = "", *fields: bytes, case: int = 1, prefix: str = "") -> Sent:
    """Return a plain request of a kind, which asks the upstream for an answer."""
    line, body = KINDS[kind]
    method, _, path = line.partition(" ")
    lines = [f"{method} {prefix}{path} HTTP/1.1".encode(), b"Host: a", b"X-Case: %d" % case, *fields]
    lines += [b"X-Answer: " + answer.encode()] if answer else []
    lines += [] if body is None else [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return Sent(b"\r\n".join([*lines, b"", body or b""]), method, answer, str(case))


@pytest.fixture(scope="module")
def deaf() -> Iterator[int]:
    """Give a port on which connections are neither made nor refused: its queue is full, and nobody takes from it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port
        for one in waiting:
            one.close()


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory, deaf: int) -> Iterator[Ways]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    config = {
        "endpoints": dict(ENDPOINTS),
        "endpointMode": MODES,
        "limits": LIMITS,
        "upstreams": {"closed": {"url": f"http://127.0.0.1:{closed}"}, "deaf": {"url": f"http://127.0.0.1:{deaf}"}},
        "routes": [
            {"prefix": "/", "upstream": "portfolio"},
            {"prefix": "/closed/", "upstream": "closed"},
            {"prefix": "/deaf/", "upstream": "deaf"},
        ],
    }
    with Ways(tmp_path_factory.mktemp("ways"), config) as both:
        yield both


@pytest.fixture
def counted(ways: Ways) -> Iterator[Ways]:
    with ways.counting():
        yield ways


def statuses(told: list[Any]) -> list[int]:
    return [int(one.head.split(b" ")[1]) for one in told]


@pytest.mark.parametrize("answer", [name for name in ENDLESS if name != "switches"])
def test_upstream_that_falls_silent(answer: str, counted: Ways) -> None:
    """No head in time is 504, and the connection lives on; silence within a body breaks the response off."""
    many = [[Round.of(asked(kind, answer, case=number))] for number, kind in enumerate(KINDS)]
    for kind, outcome in zip(KINDS, counted.hold_together(many, 0), strict=True):
        if "head" in answer or "interim" in answer or answer == "holds":
            assert statuses(outcome.heard.told) == [504, 200]
        else:
            assert outcome.heard.fate.startswith("closed" if kind == "head" else "broken off: reset")
        assert outcome.arrived[0].whole


@pytest.mark.parametrize(("prefix", "status"), [("/closed", 502), ("/deaf", 504)])
def test_upstream_that_cannot_be_reached(prefix: str, status: int, counted: Ways) -> None:
    """An upstream that refuses connections is 502, one that lets them wait 504; the client's connection lives on."""
    many = [[Round.of(asked(kind, case=number, prefix=prefix))] for number, kind in enumerate(KINDS)]
    for outcome in counted.hold_together(many, 0):
        assert statuses(outcome.heard.told) == [status, 200]


@pytest.mark.parametrize("answer", ["dies when used", "dies hard when used"])
@pytest.mark.parametrize("kind", KINDS)
def test_idle_connection_that_dies(kind: str, answer: str, counted: Ways) -> None:
    """What may be repeated is, on a new connection; anything else reaches the upstream once, and is 502."""
    once = kind in {"held", "warned", "off"}
    outcome = counted.hold([Round.of(asked("read", case=1)), Round.of(asked(kind, answer, case=2))])
    assert statuses(outcome.heard.told) == [200, 502 if once else 200, 200]
    for side in counted.sides:
        assert sum(one.value("x-case") == "2" for one in side.upstream.requests) == (1 if once else 2)


def test_idle_connection_that_has_ended(counted: Ways) -> None:
    """A connection that the upstream has ended while nobody used it is not used again, not even for a POST."""
    for kind in KINDS:
        for side in counted.sides:
            first = side.play([Round.of(asked("read"))])
            assert first.heard.fate.startswith("closed")
            for connection in list(side.upstream.open):
                connection.shutdown(socket.SHUT_RDWR)
            eventually(lambda side=side: not side.upstream.open)  # type: ignore[misc]
        outcome = counted.hold([Round.of(asked(kind, case=2))])
        assert statuses(outcome.heard.told) == [200, 200]


@pytest.mark.parametrize("kind", KINDS)
def test_client_that_leaves_while_the_upstream_is_silent(kind: str, counted: Ways) -> None:
    """The upstream's connection ends with the client's, long before the time is over, and nothing is logged."""
    for reset in (False, True):
        parts = {"7": asked(kind, "holds", case=7).raw}
        lane, general = (side.leave(parts, reset=reset) for side in counted.sides)
        assert lane == general
        assert lane["7"][0].whole


@pytest.mark.parametrize("kind", ["held", "warned", "off", "repeatable"])
def test_client_that_waits_to_be_asked(kind: str, counted: Ways) -> None:
    """Behind plain requests, a client that waits for 100 before it sends its body gets it, and its answer."""
    sent = asked(kind, "", b"Expect: 100-continue")
    head, _, body = sent.raw.partition(b"\r\n\r\n")
    heard = []
    for side in counted.sides:
        side.upstream.requests = []
        with Client(side.gateway.port) as client:
            before = client.send(asked("read").raw).response()
            client.send(head + b"\r\n\r\n")
            interim = client.reader.until(b"\r\n\r\n")
            after = client.send(body).response()
        heard.append((before.status, interim, after.status, after.body, [one.framed for one in side.upstream.requests]))
    assert heard[0] == heard[1] == (200, b"HTTP/1.1 100 Continue\r\n\r\n", 200, b"ok", [b"", body])


@pytest.mark.parametrize("left", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_client_that_falls_silent_in_a_head(before: int, left: bytes, counted: Ways) -> None:
    """A head that is not whole in time is 408, also behind plain requests that were carried."""
    clients = [Client(side.gateway.port) for side in counted.sides]
    heard = []
    for client in clients:
        answered = [client.send(asked("held").raw).response().status for _ in range(before)]
        client.send(left)
        heard.append(answered)
    heads = [client.reader.to_end().split(b"\r\n")[0] for client in clients]
    assert heard == [[200] * before] * 2
    assert heads == [b"HTTP/1.1 408 Request Timeout"] * 2
    for client in clients:
        client.sock.close()


@pytest.mark.parametrize(("kind", "status"), [("held", 408), ("warned", 504), ("off", 504)])
def test_client_that_falls_silent_in_a_body(kind: str, status: int, counted: Ways) -> None:
    """A body that does not come ends its request behind a plain one too: here the upstream's time is the shorter."""
    clients = [Client(side.gateway.port) for side in counted.sides]
    for client in clients:
        client.send(asked("read").raw + asked(kind).raw[:-3])
    assert [[client.response().status for _ in range(2)] for client in clients] == [[200, status]] * 2
    assert all(client.is_closed() for client in clients)
    for client in clients:
        client.sock.close()


def test_tunnel_behind_plain_requests(counted: Ways) -> None:
    """A connection that has carried plain requests can become a tunnel, both ways."""
    heard = []
    for side in counted.sides:
        with Client(side.gateway.port) as client:
            assert client.send(asked("held").raw).response().status == 200
            client.send(asked("read", "switches", b"Connection: upgrade", b"Upgrade: websocket").raw)
            switched = client.head()
            client.send(asked("held").raw)
            heard.append((switched.status, client.reader.exactly(len(asked("held").raw))))
    assert heard[0] == heard[1] == (101, asked("held").raw)


def test_what_comes_with_something_malformed(counted: Ways) -> None:
    """A plain request with garbage right behind it is answered, or not; the garbage is 400, and the last of all."""
    for side in counted.sides:
        outcome = side.play([Round.of(asked("read"), Sent(b"\x00\x01 garbage\r\n\r\n", "GET"))])
        assert statuses(outcome.heard.told) in ([200, 400], [400])
        assert len(outcome.arrived) == len(outcome.heard.told) - 1


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("left", [b"GET /other HTTP/1.1\r\nHost: a\r\nX-A: ", b"POST /other HTTP/1.1\r\nX-A: ", b"G"])
def test_head_that_comes_in_part_behind_a_body(left: bytes, before: int, counted: Ways) -> None:
    """Where a body looks like the end of a head, what follows is still read from where the head behind it began."""
    body = (b"x" * len(left) + b"\r\n\r\n")[-len(left) :]
    line = b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nX-Case: 1\r\nContent-Length: %d\r\n\r\n" % len(body)
    heard = []
    for side in counted.sides:
        side.upstream.requests = []
        with Client(side.gateway.port) as client:
            for _ in range(before):
                client.send(asked("read").raw).response()
            first = client.send(line + body + left).response()
            second = client.send(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\nX-Case: 2\r\n\r\n").response()
            heard.append((first.status, second.status, [one.line for one in side.upstream.requests]))
    assert heard[0] == heard[1]
    assert b"GET /elsewhere HTTP/1.1" not in heard[0][2][before:]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """Run two gateways that a test may change."""
    config = {"endpoints": dict(ENDPOINTS), "endpointMode": MODES, "limits": {"drainSeconds": 12}}
    with Ways(tmp_path_factory.mktemp("own"), config) as both:
        yield both


def test_other_modes_come_into_force(own: Ways) -> None:
    """After a reload, and under an override, the next request on the same connection is judged anew."""
    with own.counting():
        assert_modes_come_into_force(own)


def assert_modes_come_into_force(own: Ways) -> None:
    wrong = Sent(asked("held").raw.replace(b"seed", b"Seed"), "POST")
    clients = [(side, Client(side.gateway.port)) for side in own.sides]

    def answers() -> list[tuple[int, list[str]]]:
        responses = [client.send(wrong.raw).response() for _, client in clients]
        return [(one.status, one.values("x-stage-warning")) for one in responses]

    warned = [(200, ["reason=alias; count=1"])] * 2
    assert answers() == [(422, [])] * 2
    for side, _ in clients:
        side.gateway.hold("/api/value", "warn")
    assert answers() == warned
    for side, _ in clients:
        side.gateway.hold("/api/value", None)
    assert answers() == [(422, [])] * 2
    for side, _ in clients:
        side.configure({"endpoints": dict(ENDPOINTS), "endpointMode": {**MODES, "/api/value": "warn"}})
    assert answers() == warned
    for side, _ in clients:
        side.configure({"endpoints": {}})
    assert answers() == [(200, [])] * 2
    for _, client in clients:
        client.sock.close()


def test_drain(own: Ways) -> None:
    """A process that is told to end says on every connection that this was its last, and waits for what it carries."""

    def told(side: Side) -> list[Any]:
        with Client(side.gateway.port) as resting, Client(side.gateway.port) as waiting:
            before = resting.send(asked("held").raw).response().head
            waiting.send(asked("held", "byte by byte").raw)
            side.upstream.wait_for(2)
            side.gateway.signal(signal.SIGTERM)
            side.gateway.wait_for_log("draining")
            late = waiting.response()
            last = resting.send(asked("read").raw).response()
            return [before.count(b"close"), late.body, last.value("connection"), resting.is_closed()]

    new = [Round.of(asked("held"))]
    assert [told(side) for side in own.sides] == [[0, b"ok", "close", True]] * 2
    assert own.hold(new).heard.fate.startswith("closed")
    assert [side.gateway.wait(PATIENCE) for side in own.sides] == [0, 0]


def test_too_many_connections(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Connections that plain requests keep open count under `maxConnections` until they end."""
    with Ways(tmp_path_factory.mktemp("full"), {"limits": {"maxConnections": 2}}) as both:
        for side in both.sides:
            with Client(side.gateway.port) as one, Client(side.gateway.port) as another:
                assert [client.send(asked("held").raw).response().status for client in (one, another)] == [200, 200]
                with Client(side.gateway.port) as third:
                    refused = third.send(asked("held").raw).response()
                assert (refused.status, refused.value("retry-after")) == (503, "1")
                another.sock.close()

                def carried(side: Side = side) -> bool:
                    with Client(side.gateway.port) as again:
                        return again.send(asked("held").raw).response().status == 200

                eventually(carried)


def test_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Several workers take the lane as one process does, and count together."""
    config = {"endpoints": dict(ENDPOINTS), "endpointMode": MODES}
    with Ways(tmp_path_factory.mktemp("workers"), config, {"STAGE_GATEWAY_WORKERS": "2"}) as both:
        requests = Requests(seed=5)
        with both.counting():
            for one in (requests.one() for _ in range(150)):
                if one.is_well_formed and not one.answer:
                    both.hold([Round.of(one)])
