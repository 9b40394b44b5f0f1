"""What a request costs in the express lane, counted, and what is left of one whose client goes away."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from support.answers import by_name
from support.clock import PATIENCE, until, within
from support.counting import CountingLoop, Counts
from support.process import configuration
from support.upstream import OK, Conversation, RecordingUpstream
from support.wire import Client, request

from gateway.proxy.forms import Forms
from gateway.proxy.service import Service
from gateway.rules.load import load
from gateway.server.app import App
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics

ENDPOINTS = {pattern: {"stages": [{"value": "/stage"}]} for pattern in ("/warn", "/enforce", "/off")}
MODES = {"/warn": "warn", "/enforce": "enforce", "/off": "off"}
MANY = 200
BESIDE = MANY // 10  # for what goes on beside the requests, such as what is left to be done of the start
RIGHT, WRONG = b'{"stage":"seed"}', b'{"stage":"Seed"}'


@asynccontextmanager
async def serving(folder: Path, upstream: int, *, lane: bool = True) -> AsyncIterator[tuple[App, int]]:
    """Run a gateway on this loop; gives it and its port."""
    file = folder / "gateway.json"
    file.write_text(json.dumps(configuration(upstream, endpoints=ENDPOINTS, endpointMode=MODES)))
    app = App(Settings(config=file, host="127.0.0.1", port=0, admin_port=0, state=str(folder), lane=lane), load(file))
    ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(app.run(lambda port, _: ports.set_result(port)))
    yield app, await asyncio.wait_for(ports, PATIENCE)
    app.stop()
    app.stop()
    await asyncio.wait_for(running, PATIENCE)


class Cost(NamedTuple):
    """What `MANY` requests took, and how many of their responses had this status."""

    counts: Counts
    as_expected: int


def cost(folder: Path, upstream: int, raw: bytes, status: int, *, lane: bool = True) -> Cost:
    """Count what the loop does for requests on one connection, once one has opened a connection to the upstream."""
    loop = CountingLoop()

    def ask(port: int, done: Callable[[Cost], object]) -> None:
        with Client(port) as client:
            client.send(request("GET", "/elsewhere")).response()
            before = loop.counts
            right = sum(
                client.send(raw).response(raw.partition(b" ")[0].decode()).status == status for _ in range(MANY)
            )
            done(Cost(loop.counts - before, right))

    async def run() -> Cost:
        async with serving(folder, upstream, lane=lane) as (_, port):
            found: asyncio.Future[Cost] = loop.create_future()
            asking = threading.Thread(
                target=ask, args=(port, lambda told: loop.call_soon_threadsafe(found.set_result, told))
            )
            asking.start()
            told = await asyncio.wait_for(found, PATIENCE)
            asking.join()
            return told

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(run())


KINDS = {
    "uninspected": (request("GET", "/elsewhere"), 200),
    "head": (request("HEAD", "/elsewhere"), 200),
    "off": (request("POST", "/off", body=WRONG), 200),
    "warned": (request("POST", "/warn", body=WRONG), 200),
    "held": (request("POST", "/enforce", body=RIGHT), 200),
    "in chunks from upstream": (request("POST", "/enforce", ("X-Answer", "in chunks"), body=RIGHT), 200),
    "refused": (request("POST", "/enforce", body=WRONG), 422),
}


@pytest.mark.parametrize("kind", KINDS)
def test_small_request_makes_no_task_and_no_future(kind: str, upstream: RecordingUpstream, tmp_path: Path) -> None:
    """In the lane a request takes one turn of the loop for each side that speaks, and nothing is made or put off."""
    raw, status = KINDS[kind]
    with upstream.scripted(by_name):
        counts, as_expected = cost(tmp_path, upstream.port, raw, status)
    assert as_expected == MANY
    assert max(counts.tasks, counts.futures, counts.callbacks) <= BESIDE
    assert counts.turns <= MANY * (1 if kind == "refused" else 2) + BESIDE


def test_general_way_does_more(upstream: RecordingUpstream, tmp_path: Path) -> None:
    """The same count finds tasks or futures, and more turns, where the lane is off: it does count."""
    raw, status = KINDS["held"]
    counts, as_expected = cost(tmp_path, upstream.port, raw, status, lane=False)
    assert as_expected == MANY
    assert counts.tasks + counts.futures >= MANY
    assert counts.turns > MANY * 2.5


@pytest.mark.parametrize("path", ["/elsewhere", "/enforce"])
@pytest.mark.parametrize("first", ["client", "upstream"])
def test_client_that_resets_as_the_response_comes(
    first: str, path: str, upstream: RecordingUpstream, tmp_path: Path
) -> None:
    """When both happen within one turn of the loop, whichever is seen first, nothing of the request is left."""
    opened = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        if conversation.request.value("x-answer"):
            opened.wait(PATIENCE)
        conversation.send(OK)

    async def run() -> None:
        async with serving(tmp_path, upstream.port) as (app, port):
            await asyncio.to_thread(warm, port)
            client = await asyncio.to_thread(Client, port)
            client.send(request("POST", path, ("X-Answer", "later"), body=RIGHT))
            await asyncio.to_thread(upstream.wait_for, 2)
            assert app.request_server.in_flight == 1
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for step in ("client", "upstream") if first == "client" else ("upstream", "client"):
                client.sock.close() if step == "client" else opened.set()
                time.sleep(0.1)  # noqa: ASYNC251 - the loop must not see one before the other
            await until(lambda: app.request_server.in_flight == 0)
            await asyncio.to_thread(warm, port)
            assert app.request_server.in_flight == 0

    with upstream.scripted(script), asyncio.Runner() as runner:
        runner.run(run())


@pytest.mark.parametrize("behind", [b"", b"G", request("POST", "/warn", body=RIGHT), b"x" * 60_000])
def test_client_that_leaves_with_bytes_behind(behind: bytes, upstream: RecordingUpstream, tmp_path: Path) -> None:
    """A client's leaving is seen at once, and its request given up, also where it has sent more behind that."""

    async def run() -> None:
        async with serving(tmp_path, upstream.port) as (app, port):
            await asyncio.to_thread(warm, port)
            with Client(port) as client:
                client.send(request("GET", "/elsewhere", ("X-Answer", "holds")))
                _, held = await asyncio.to_thread(upstream.wait_for, 2)
                client.send(behind)
            with within(5):  # far from the upstream's time
                await until(lambda: app.request_server.in_flight == 0)
            assert await asyncio.to_thread(held.ended.wait, PATIENCE)

    with upstream.scripted(by_name), asyncio.Runner() as runner:
        runner.run(run())


def test_good_heads_are_remembered_within_a_bound(tmp_path: Path) -> None:
    """Whoever sends ever new heads to ever new addresses does not fill the memory with what becomes of them."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    service, forms = Service.of(load(file), Metrics()), Forms()
    for number in range(3_000):
        form, _ = forms.of_request(b"\r\nHost: a\r\nX-%d: b" % number) or pytest.fail("a plain head has a form")
        service.remember((b"POST /%d HTTP/1.1" % number, form), None)
    assert len(service.good) <= 1024


def warm(port: int) -> None:
    with Client(port) as client:
        assert client.send(request("GET", "/elsewhere")).response().status == 200
