"""Asking a running gateway: its status, or a clear word about why there is none."""

import socket

import pytest
from support.process import Serve, configuration
from support.upstream import RecordingUpstream, answer

from gateway.errors import UnreachableError
from gateway.server.client import fetch_status

SAID = (
    r"status: (answered 404, expected|cannot be asked: (its answer is not what was asked for|it broke)|"
    r"is not the admin port)"
)


async def test_status_of_a_running_gateway(serve: Serve, recorder: RecordingUpstream) -> None:
    """The status is the document of the admin port, with or without a token and a trailing slash."""
    gateway = serve(configuration(recorder.port))
    address = f"http://127.0.0.1:{gateway.admin}"
    assert "endpoints" in await fetch_status(address, None)
    assert "unknownValues" in await fetch_status(address + "/", gateway.token())


async def test_nobody_there() -> None:
    """An address where nobody listens is unreachable, and the message names it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(UnreachableError) as caught:
            await fetch_status(f"http://{host}:{port}", None)
        cure = "name the admin port with --admin"
        assert str(caught.value) == f"http://{host}:{port}/status: cannot be asked: Connection refused; {cure}"


async def test_name_of_nobody() -> None:
    """A host that there is not is told as such."""
    with pytest.raises(UnreachableError, match=r"cannot be asked: its host's name is not known; name the admin port"):
        await fetch_status("http://nobody.invalid:8081", None)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"garbage\r\n\r\n",
    ],
    ids=["404", "other document", "no JSON", "cut short", "no HTTP"],
)
async def test_something_else_there(raw: bytes, upstream: RecordingUpstream) -> None:
    """Whatever does not answer as an admin port does is unreachable, and the message tells the option to change."""
    with upstream.scripted(answer(raw, close=True)), pytest.raises(UnreachableError, match=SAID):
        await fetch_status(f"http://127.0.0.1:{upstream.port}", None)
