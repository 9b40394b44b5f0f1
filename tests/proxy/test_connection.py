"""A connection to an upstream, fed by hand: where a response ends, and what follows it."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.clock import PATIENCE, at_least

from gateway.proxy.connection import Connection
from gateway.proxy.failures import UpstreamError, UpstreamTimeoutError
from gateway.proxy.response import ResponseHead

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n"
HEAD_ONLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
SWITCH = b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
SECOND = b"HTTP/1.1 500 X\r\nX-Evil: 1\r\nContent-Length: 3\r\n\r\nbad"


class Wire(asyncio.Transport):
    """A transport that leads nowhere."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.closed = False
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: object) -> None:
        """Nobody reads it."""

    def pause_reading(self) -> None:
        """Nothing is read from it."""

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


async def respond(sock: socket.socket, raw: bytes, method: str = "GET") -> tuple[ResponseHead, bytes, bool]:
    """Return what came of a response that arrives in one piece: head, body, and whether the connection is kept."""
    connection = Connection()
    connection.connection_made(Wire(sock))
    connection.start(method, b"", 5)
    connection.end()
    try:
        connection.data_received(raw)
        head = await connection.head()
        body = b""
        while data := await connection.read():
            body += data
        return head, body, connection.finish()
    finally:
        connection.finish()
        connection.connection_lost(None)


@pytest.mark.parametrize("behind", [SECOND, b"H", b"bad", SWITCH], ids=["whole", "begun", "none", "101"])
@pytest.mark.parametrize(
    ("method", "first", "status", "body"),
    [
        ("GET", OK, 200, b"hi"),
        ("GET", CHUNKED % b"chunked", 200, b"hi"),
        ("GET", NOTHING, 204, b""),
        ("HEAD", HEAD_ONLY, 200, b""),
    ],
    ids=["counted", "chunked", "204", "HEAD"],
)
async def test_nothing_behind_a_response_is_taken(
    method: str, first: bytes, status: int, body: bytes, behind: bytes, sock: socket.socket
) -> None:
    """What follows a response in the same piece changes nothing about it, and the connection is not kept."""
    plain, _, kept = await respond(sock, first, method)
    assert kept
    head, got, kept = await respond(sock, first + behind, method)
    assert (head.status, got) == (status, body)
    assert head == plain
    assert not kept


@pytest.mark.parametrize(("sent", "waiting", "kept"), [(True, 0, True), (False, 0, False), (True, 1, False)])
async def test_an_answer_to_less_than_the_request_is_the_last(
    sent: bool, waiting: int, kept: bool, sock: socket.socket
) -> None:
    """An upstream that answers while the request is not wholly sent may close on the rest, and is sent no other."""
    connection, wire = Connection(), Wire(sock)
    connection.connection_made(wire)
    connection.start("POST", b"", 5)
    wire.waiting = waiting
    if sent:
        connection.end()
    connection.data_received(NOTHING)
    wire.waiting = 0
    connection.end()
    assert connection.finish() is kept
    connection.connection_lost(None)


async def test_chunk_behind_the_answer_to_head(sock: socket.socket) -> None:
    """A chunked body after the answer to HEAD is dropped, and the connection with it."""
    raw = CHUNKED % b"chunked"
    assert (await respond(sock, raw[: raw.index(b"2\r\n")], "HEAD"))[2]
    for end in (b"2\r\nhi\r\n0\r\n\r\n", b"0\r\n\r\n"):
        _, body, kept = await respond(sock, raw[: raw.index(b"2\r\n")] + end, "HEAD")
        assert (body, kept) == (b"", False)


async def test_interim_response_is_no_second_one(sock: socket.socket) -> None:
    """The response behind an interim one is the response, and its connection is kept."""
    head, body, kept = await respond(sock, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert (head.reason, list(head.headers)) == (b"OK", [(b"Content-Length", b"2")])
    assert (head.status, body, kept) == (200, b"hi", True)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"chunked ", b" \tchunked   "])
async def test_chunked_is_understood(coding: bytes, sock: socket.socket) -> None:
    """Spaces and case do not make chunked another coding."""
    head, body, kept = await respond(sock, CHUNKED % coding)
    assert (head.chunked, head.length, body, kept) == (True, None, b"hi", True)


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"gzip,chunked", b"gzip\r\nTransfer-Encoding: chunked", b"gzip", b"chunked\t"]
)
async def test_other_transfer_coding_is_refused(coding: bytes, sock: socket.socket) -> None:
    """A transfer coding that the client would not be told of fails, also with a plain response behind it."""
    for behind in (b"", OK):
        with pytest.raises(UpstreamError) as failed:
            await respond(sock, CHUNKED % coding + behind)
        assert (failed.value.status, failed.value.reason) == (502, "upstream_failed")


async def test_no_descriptor_left(sock: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is out of descriptors still uses the connections it has."""

    def fail(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", fail)
    assert (await respond(sock, OK))[1:] == (b"hi", True)


async def test_every_exchange_has_its_own_timeout(sock: socket.socket) -> None:
    """Silence counts from the exchange's own beginning and by its own bound, whatever the one before it had."""
    connection = Connection()
    connection.connection_made(Wire(sock))
    for timeout in (60, 1):
        connection.start("GET", b"", timeout)
        connection.end()
        connection.data_received(OK)
        assert (await connection.head()).status == 200
        assert await connection.read() == b"hi"
        assert connection.finish()
    await asyncio.sleep(0.7)
    connection.start("GET", b"", 1)
    with at_least(0.9), pytest.raises(UpstreamTimeoutError):
        await asyncio.wait_for(connection.head(), PATIENCE)
    connection.connection_lost(None)


async def test_connection_that_is_not_read_on_is_not_kept(sock: socket.socket) -> None:
    """A long body that nobody took leaves reading paused, in which the next response would never arrive."""
    connection = Connection()
    connection.connection_made(Wire(sock))
    connection.start("GET", b"", 5)
    connection.end()
    body = b"x" * 300_000
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert connection.reader.is_whole
    assert not connection.finish()
    connection.connection_lost(None)
