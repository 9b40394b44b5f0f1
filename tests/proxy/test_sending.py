"""A long request on its way up, over transports that are fed by hand: what is known of its end, and when."""

import asyncio
import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import configuration

from gateway.proxy.body import Arrived
from gateway.proxy.client import ClientWriter
from gateway.proxy.connection import Connection
from gateway.proxy.exchange import Call, Exchange
from gateway.proxy.request import RequestHead
from gateway.proxy.routing import route
from gateway.proxy.service import Service
from gateway.rules.load import load
from gateway.telemetry.metrics import Metrics

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BLOCK = b"x" * 100_000


class Wire(asyncio.Transport):
    """A transport that leads nowhere. Behind `expected` bytes `connection` is answered, in the loop's next turn."""

    def __init__(self, sock: socket.socket, expected: int = 0) -> None:
        super().__init__({"socket": sock, "peername": ("192.0.2.7", 1)})
        self.connection: Connection | None = None
        self.expected = expected
        self.taken = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.taken += data.count(b"x") if isinstance(data, bytes) else bytes(data).count(b"x")
        if self.connection is not None and self.taken == self.expected:
            asyncio.get_running_loop().call_soon(self.connection.data_received, OK)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Someone:
    """A client."""

    def __init__(self, wire: Wire) -> None:
        self.writer = ClientWriter(wire)

    def set_parser(self, parser: Any) -> None:
        """No tunnel is made."""


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


async def test_upstream_that_answers_with_the_last_byte_is_kept(sock: socket.socket, tmp_path: Path) -> None:
    """The end of a long request is known as its last byte is written: an answer in that very turn is to all of it."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    service = Service.of(load(file), Metrics())
    fields = [(b"Host", b"h"), (b"Content-Length", b"%d" % (3 * len(BLOCK)))]
    head = RequestHead.of("POST", "/api/other", (1, 1), fields, "192.0.2.7", iter(["id"]))
    way = route(service.rules, head)
    pool, connection, wire = service.pools[way.upstream.name], Connection(), Wire(sock, 3 * len(BLOCK))
    connection.connection_made(wire)
    connection.idle_since = math.inf  # never too long
    pool._idle.append(connection)
    wire.connection = connection
    call = Call(head, Arrived(3 * len(BLOCK)), Someone(Wire(sock)), service, lambda: True)
    assert await Exchange(call, way).forward([BLOCK, BLOCK, BLOCK], None)
    assert pool.has_idle, "the connection was closed although the request was wholly sent"
    pool.retire()
    connection.connection_lost(None)
