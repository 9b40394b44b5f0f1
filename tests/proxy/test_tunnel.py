"""Connections that become something else than HTTP, carried both ways once the upstream has agreed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from support.clock import PATIENCE, eventually
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream
from support.wire import Client, exchange, request

PROXY_WAYS = BOTH

PATH = "/api/live"
INSPECTED = "/api/monte-carlo/simulate"
ASK = request("GET", PATH, ("Connection", "keep-alive, Upgrade"), ("Upgrade", "echo/1"))
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\nX-Upstream: yes\r\n\r\n"
MANY = 3_000_000


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, limits={"upstreamTimeoutSeconds": 1}))


def echoes(first: bytes = b"") -> Callable[[Conversation], None]:
    """Return the script that switches, says something at once, and echoes until the client ends."""

    def script(conversation: Conversation) -> None:
        conversation.send(SWITCHED + first)
        while data := conversation.reader.receive():
            conversation.send(data)
        conversation.send(b"bye")
        conversation.close()

    return script


def test_bytes_go_both_ways_after_101(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """What upstream and client say behind the switch arrives as it was said, from the first byte on."""
    with upstream.scripted(echoes(b"\x00hello")), Client(gateway.port) as client:
        head = client.send(ASK).head()
        assert head.status == 101
        assert (head.values("connection"), head.values("upgrade")) == (["Upgrade"], ["echo/1"])
        assert (head.value("x-upstream"), head.value("x-request-id") is not None) == ("yes", True)
        assert client.reader.exactly(6) == b"\x00hello"
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.reader.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        client.sock.shutdown(socket.SHUT_WR)
        assert client.reader.to_end() == b"bye"
    asked = upstream.only()
    assert (asked.values("connection"), asked.values("upgrade")) == (["Upgrade"], ["echo/1"])


def test_a_tunnel_may_be_silent(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The time an upstream has for a response does not end a tunnel in which nobody speaks."""
    with upstream.scripted(echoes()), Client(gateway.port) as client:
        client.send(ASK).head()
        with contextlib.suppress(TimeoutError):
            client.sock.settimeout(1.5)
            client.sock.recv(1)
        client.sock.settimeout(PATIENCE)
        client.send(b"still there")
        assert client.reader.exactly(11) == b"still there"


def test_back_pressure_both_ways(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Much that is said while the other side does not listen waits outside of the gateway, and all of it arrives."""
    before = gateway.memory()

    def script(conversation: Conversation) -> None:
        conversation.send(SWITCHED)
        got = conversation.reader.exactly(10 * MANY)
        conversation.send(got)
        conversation.close()

    with upstream.scripted(script), Client(gateway.port) as client:
        client.send(ASK).head()
        client.send(b"x" * 10 * MANY)
        assert client.reader.to_end() == b"x" * 10 * MANY
    assert gateway.memory() - before < 8_000_000


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_a_lost_side_ends_the_other(gateway: Gateway, upstream: RecordingUpstream, who: str) -> None:
    """When one side is reset the other is not left waiting, nor told that all is well."""
    ended = []

    def script(conversation: Conversation) -> None:
        conversation.send(SWITCHED)
        if who == "upstream":
            conversation.reader.exactly(1)
            conversation.reset()
        with contextlib.suppress(Exception):
            ended.append(conversation.reader.receive())
        ended.append(b"")

    with upstream.scripted(script), Client(gateway.port) as client:
        client.send(ASK).head()
        if who == "upstream":
            client.send(b"x")
            with pytest.raises(ConnectionResetError):
                client.sock.recv(1)
            return
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    eventually(lambda: ended)
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)


def test_an_upstream_that_declines_is_relayed(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A plain answer to a request to switch is a plain answer."""
    answer = exchange(gateway.port, ASK)
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize(
    "raw",
    [
        request("GET", PATH, ("Upgrade", "echo/1")),
        request("POST", PATH, ("Connection", "Upgrade"), ("Upgrade", "websocket"), body=b"{}"),
    ],
    ids=["not named by Connection", "with a body"],
)
def test_what_does_not_ask_to_switch_loses_upgrade(gateway: Gateway, upstream: RecordingUpstream, raw: bytes) -> None:
    """Upgrade that Connection does not name, or beside a body, does not go up."""
    assert exchange(gateway.port, raw).status == 200
    assert (upstream.only().values("upgrade"), upstream.only().values("connection")) == ([], [])


def test_a_switch_nobody_asked_for_is_502(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """An upstream that switches unasked is broken."""
    with upstream.scripted(echoes()):
        assert exchange(gateway.port, request("GET", PATH)).status == 502


def test_an_inspected_request_may_switch(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """At an inspected endpoint the query is judged, and the X-Stage fields are the gateway's, in a 101 as well."""
    raw = request("GET", "/api/funds/1/companies?stage=Series%20A", ("Connection", "Upgrade"), ("Upgrade", "echo/1"))
    with upstream.scripted(echoes()), Client(gateway.port) as client:
        head = client.send(raw).head()
    assert head.status == 101
    assert head.values("x-stage-warning") == ["reason=alias; count=1"]


@pytest.fixture
async def sockets() -> AsyncIterator[int]:
    """Serve a real WebSocket that echoes."""

    async def echo(asked: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(asked)
        async for message in connection:
            await connection.send_str(message.data)
        return connection

    app = web.Application()
    app.router.add_get(PATH, echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_websocket_works(serve: Serve, sockets: int) -> None:
    """A WebSocket connection opens, speaks and closes through the gateway."""
    gateway = await asyncio.to_thread(serve, configuration(sockets))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{gateway.port}{PATH}") as connection,
    ):
        for text in ("seed", "x" * 200_000):
            await connection.send_str(text)
            assert await connection.receive_str(timeout=PATIENCE) == text
        await connection.close()
        assert connection.close_code == 1000
