"""The process: its start, its signals, its way out."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import PATIENCE, at_least, eventually
from support.process import COMMAND, Gateway, configuration
from support.upstream import OK, Conversation, RecordingUpstream
from support.wire import Client, exchange, request

from gateway.rules.load import load
from gateway.server.app import App
from gateway.server.in_process_server import InProcessServer
from gateway.settings import Settings

Start = Callable[..., Gateway]


@pytest.fixture
def start(upstream: RecordingUpstream, tmp_path: Path) -> Iterator[Start]:
    """Start a gateway with these limits; it ends with the test."""
    started: list[Gateway] = []

    def make(**limits: Any) -> Gateway:
        gateway = Gateway(tmp_path, configuration(upstream.port, limits=limits))
        started.append(gateway)
        return gateway

    yield make
    for gateway in started:
        gateway.end()


class Gate:
    """A script that answers once it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, conversation: Conversation) -> None:
        conversation.read_body()
        self.opened.wait(PATIENCE)
        conversation.send(OK)


def test_drain(start: Start, upstream: RecordingUpstream) -> None:
    """On SIGTERM: not ready, still answering with `Connection: close`, then closed; what is under way ends; exit 0."""
    gateway, gate = start(drainSeconds=30), Gate()  # of which 5 s are for what comes below
    with Client(gateway.port) as resting, Client(gateway.port) as waiting:
        assert resting.send(request("GET", "/")).response().value("connection") is None
        with upstream.scripted(gate):
            waiting.send(request("GET", "/slow"))
            upstream.wait_for(2)
        gateway.signal(signal.SIGTERM)
        gateway.wait_for_log("draining")
        assert gateway.call("/readyz")[0] == 503
        assert gateway.call("/healthz")[0] == 200
        assert gateway.status()["draining"] is True
        assert resting.send(request("GET", "/")).response().values("connection") == ["close"]
        assert resting.is_closed()
        assert exchange(gateway.port, request("GET", "/new")).values("connection") == ["close"]
        eventually(lambda: not gateway.listens())
        assert gateway.process.poll() is None
        gate.opened.set()
        assert waiting.response().body == b"ok"
    assert gateway.wait() == 0


def test_drain_has_an_end(start: Start, upstream: RecordingUpstream) -> None:
    """What takes longer than `drainSeconds` is broken off, and the exit is still 0."""
    gateway, gate = start(drainSeconds=0.5), Gate()
    with upstream.scripted(gate), Client(gateway.port) as client:
        client.send(request("GET", "/slow"))
        upstream.wait_for(1)
        with at_least(0.4):
            gateway.signal(signal.SIGTERM)
            assert gateway.wait() == 0
        gate.opened.set()


def test_second_signal_ends_the_wait(start: Start, upstream: RecordingUpstream) -> None:
    """A second SIGTERM does not wait for what is under way."""
    gateway, gate = start(drainSeconds=30), Gate()
    with upstream.scripted(gate), Client(gateway.port) as client:
        client.send(request("GET", "/slow"))
        upstream.wait_for(1)
        gateway.signal(signal.SIGTERM)
        gateway.wait_for_log("draining")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        gate.opened.set()


def sized(conversation: Conversation) -> None:
    conversation.read_body()
    size = int(conversation.request.line.split()[1].removeprefix(b"/"))
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


async def ask_without_reading(app: App, port: int, size: int) -> Client | None:
    """Ask for a response of this size; returns the client when all of it gets written though nobody reads."""
    client = await asyncio.to_thread(lambda: Client(port, receive_buffer=4096).send(request("GET", f"/{size}")))
    for _ in range(10):  # the upstream is a thread of this process: where that is slow, so are these
        await asyncio.sleep(0.03)
        if not app.request_server.in_flight:
            return client
    client.sock.close()
    return None


async def test_drain_sends_all_of_a_response(upstream: RecordingUpstream, tmp_path: Path) -> None:
    """A response that is written, but waits for its client to read, is sent to the last byte before the process ends.

    How much the kernel takes is searched for: a little more than that waits in the process.
    """
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(upstream.port, limits={"drainSeconds": 3})))
    settings = Settings(config=file, host="127.0.0.1", port=0, admin_port=0, state=str(tmp_path))
    app = App(settings, load(file))
    ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(app.run(lambda port, _: ports.set_result(port)))
    port = await asyncio.wait_for(ports, PATIENCE)
    with upstream.scripted(sized):
        fits, too_much, waiting = 0, 16_000_000, None
        while too_much - fits > 8_000:
            size = (fits + too_much) // 2
            client = await ask_without_reading(app, port, size)
            if client is None:
                too_much = size
                continue
            if waiting is not None:
                waiting.sock.close()
            fits, waiting = size, client
        assert waiting is not None
        assert isinstance(app.request_server, InProcessServer)
        assert app.request_server.server.has_unsent
        app.stop()
        await asyncio.sleep(1)
        assert not serving.done()
        response = await asyncio.to_thread(waiting.response)
        waiting.sock.close()
    assert len(response.body) == fits
    await asyncio.wait_for(serving, PATIENCE)


def test_interrupt(start: Start) -> None:
    """SIGINT drains too, and exits 130."""
    gateway = start(drainSeconds=0.1)
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 130


def test_logs_are_json(start: Start) -> None:
    """Every line of log is one JSON object with time, level, logger and message."""
    gateway = start(drainSeconds=0.1)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert [entry["message"] for entry in gateway.logs()] == ["serving", "draining", "stopped"]
    for entry in gateway.logs():
        assert {"time", "level", "logger", "message"} <= entry.keys()


def environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGE_GATEWAY_")}
    own = {"PORT": "0", "ADMIN_PORT": "0", "HOST": "127.0.0.1", "STATE": str(folder / "state"), **changes}
    return kept | {f"STAGE_GATEWAY_{name}": value for name, value in own.items()}


def run_to_its_end(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "serve"],
        env=environment(folder, **changes),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    """A start with a bad file exits 2 and names the fault."""
    file = tmp_path / "gateway.json"
    file.write_text('{"upstreams": {}}')
    ended = run_to_its_end(tmp_path, CONFIG=str(file))
    assert ended.returncode == 2
    assert "upstreams" in ended.stderr


@pytest.mark.parametrize("variable", ["PORT", "ADMIN_PORT"])
def test_port_that_is_taken(variable: str, tmp_path: Path) -> None:
    """A start on a port in use exits 2 and names the variable to change."""
    file = tmp_path / "gateway.json"
    file.write_text('{"upstreams": {"api": {"url": "http://127.0.0.1:1"}}}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_to_its_end(tmp_path, CONFIG=str(file), **{variable: str(taken.getsockname()[1])})
    assert ended.returncode == 2
    assert f"STAGE_GATEWAY_{variable}" in ended.stderr


def test_variable_that_nobody_reads_is_told_at_the_start(upstream: RecordingUpstream, tmp_path: Path) -> None:
    """A variable with the prefix that is no setting is a warning of the start; Kubernetes' own are not."""
    given = {"STAGE_GATEWAY_PROT": "80", "STAGE_GATEWAY_SERVICE_PORT": "80", "STAGE_GATEWAY_PORT_80_TCP": "tcp://a:80"}
    with Gateway(tmp_path, configuration(upstream.port), given) as gateway:
        told = [line["message"] for line in gateway.logs() if line["level"] == "warning"]
    assert told == ["environment: STAGE_GATEWAY_PROT is read by nothing, did you mean 'STAGE_GATEWAY_PORT'?"]
