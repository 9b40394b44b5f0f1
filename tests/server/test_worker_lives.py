"""The end of a worker is survived, and every worker has one: it is replaced, drained, and outlives nobody."""

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.clock import PATIENCE, eventually, until, within
from support.process import Gateway, Serve
from support.upstream import Conversation, RecordingUpstream
from support.wire import BrokenOffError, Client, exchange, request
from support.workers import BAD, GOOD, STRATEGIES, TWO, children, config, is_running, workers_of

from gateway.rules.load import load
from gateway.server.app import App
from gateway.settings import Settings

# A worker of another release: it tells something that this one does not know, and goes on.
STRANGER = """
import socket, struct, sys, time
message = b'{"do":"dance"}'
socket.socket(fileno=int(sys.argv[4])).sendall(struct.pack(">I", len(message)) + message)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def process(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port), TWO)


@pytest.fixture
def gateway(process: Gateway, upstream: RecordingUpstream) -> Gateway:
    eventually(lambda: process.status()["workers"]["serving"] == 2)
    return process


def test_worker_that_dies_is_replaced(gateway: Gateway) -> None:
    """A new worker takes its place, no count falls, what was held by it is held no more, and it is told."""
    raw = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}' + b" " * 1000)
    before = gateway.metrics().total("stage_validation_validations_total")
    restarts = gateway.status()["workers"]["restarts"]
    with Client(gateway.port) as one, Client(gateway.port) as other:
        for client in (one, other):
            client.send(raw[:-30])
        eventually(lambda: gateway.metrics().get("stage_gateway_held_bytes") == 2000)
        os.kill(children(gateway)[0], signal.SIGKILL)
        eventually(lambda: gateway.metrics().get("stage_gateway_held_bytes") == 1000)
        assert {exchange(gateway.port, GOOD).status for _ in range(4)} == {200}
        eventually(lambda: gateway.status()["workers"] == {"wanted": 2, "serving": 2, "restarts": restarts + 1})
        assert {exchange(gateway.port, BAD).status for _ in range(4)} == {422}
    assert gateway.metrics().total("stage_validation_validations_total") >= before + 8
    assert gateway.metrics().get("stage_gateway_worker_restarts_total") == restarts + 1
    assert gateway.logs("a worker ended")[-1]["code"] == -signal.SIGKILL


def test_connection_that_waits_for_a_dying_worker_is_not_lost(gateway: Gateway) -> None:
    """What was handed to a worker that dies before it takes it is carried by the one in its place."""
    stopped = children(gateway)[1]
    os.kill(stopped, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)).send(BAD) for _ in range(10)]
        time.sleep(0.3)  # the other worker answers its half, the rest lies in the queue
        os.kill(stopped, signal.SIGKILL)
        assert [client.response().status for client in clients] == [422] * 10


def test_dead_workers_lose_no_connection_that_comes_meanwhile(gateway: Gateway) -> None:
    """While no worker is left, connections wait, and are carried by those that come."""
    for worker in children(gateway):
        os.kill(worker, signal.SIGKILL)
    assert [exchange(gateway.port, BAD).status for _ in range(4)] == [422] * 4
    eventually(lambda: gateway.status()["workers"]["serving"] == 2)


def test_connection_that_comes_alone_while_no_worker_is_left_is_not_forgotten(gateway: Gateway) -> None:
    """It is carried by the worker that comes, though no other connection follows it."""
    for worker in children(gateway):
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: gateway.status()["workers"]["serving"] == 0)
    assert exchange(gateway.port, BAD).status == 422
    eventually(lambda: gateway.status()["workers"]["serving"] == 2, timeout=20)


def test_silent_worker_is_passed_over_then_replaced(serve: Serve, upstream: RecordingUpstream) -> None:
    """Nobody waits long for one that does not answer, no connection and no scrape; soon another has its place."""
    gateway = serve(config(upstream.port), TWO)
    silent = children(gateway)[1]
    os.kill(silent, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)).send(BAD) for _ in range(10)]
        assert [client.response().status for client in clients] == [422] * 10
    assert gateway.status()["workers"] == {"wanted": 2, "serving": 1, "restarts": 0}
    with within(1):
        assert gateway.metrics().total("stage_validation_validations_total") == 10
        assert gateway.hold(STRATEGIES, "warn")[0] == 200
        assert {exchange(gateway.port, BAD).status for _ in range(4)} == {200}
    eventually(lambda: gateway.status()["workers"] == {"wanted": 2, "serving": 2, "restarts": 1}, timeout=20)
    assert not is_running(silent)
    assert {exchange(gateway.port, BAD).status for _ in range(4)} == {200}


def test_worker_comes_back_once_there_are_descriptors_again(gateway: Gateway) -> None:
    """A slot stays empty only as long as the system gives the main process no descriptor."""
    process = gateway.process.pid
    restarts = gateway.status()["workers"]["restarts"]
    limit = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (3, limit[1]))
    try:
        os.kill(children(gateway)[0], signal.SIGKILL)
        gateway.wait_for_log("a worker cannot be started")
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, limit)
    eventually(lambda: gateway.status()["workers"]["serving"] == 2, timeout=20)
    assert gateway.status()["workers"]["restarts"] > restarts
    assert {exchange(gateway.port, BAD).status for _ in range(4)} == {422}


def test_worker_without_descriptors_leaves_connections_waiting(gateway: Gateway) -> None:
    """What a worker has no descriptor for is carried once it has one."""
    eventually(lambda: gateway.status()["workers"]["serving"] == 2)
    workers = children(gateway)
    limits = [resource.prlimit(worker, resource.RLIMIT_NOFILE) for worker in workers]
    with ExitStack() as stack:
        for worker, (_, most) in zip(workers, limits, strict=True):
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, most))
        clients = [stack.enter_context(Client(gateway.port)).send(BAD) for _ in range(4)]
        gateway.wait_for_log("no connection can be taken")
        for worker, limit in zip(workers, limits, strict=True):
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
        assert [client.response().status for client in clients] == [422] * 4


@asynccontextmanager
async def serving(given: dict[str, Any], folder: Path) -> AsyncIterator[App]:
    """Yield a gateway with two workers whose main process is this one."""
    file = folder / "gateway.json"
    file.write_bytes(orjson.dumps(given))
    app = App(Settings(config=file, host="127.0.0.1", port=0, admin_port=0, state=str(folder), workers=2), load(file))
    task = asyncio.create_task(app.run(lambda *_: None))
    await until(lambda: app.request_server.describe()["serving"] == 2)
    try:
        yield app
    finally:
        app.stop()
        await asyncio.wait_for(task, PATIENCE)


async def test_drain_does_not_wait_for_a_worker_to_be_started_again(
    upstream: RecordingUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is to be started again in a day is not waited for, once the process is told to end."""
    monkeypatch.setattr("gateway.server.worker_pool._FIRST_PAUSE_SECONDS", 86_400)
    async with serving(config(upstream.port, limits={"drainSeconds": 1}), tmp_path):
        os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
        await until(lambda: "a worker ended" in caplog.messages)


async def test_worker_that_tells_what_nobody_knows_is_replaced(
    upstream: RecordingUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message of no known kind is logged with its worker, which is ended and has another in its slot."""
    stranger = tmp_path / "stranger.py"
    stranger.write_text(STRANGER)
    once = tmp_path / "once"
    python = tmp_path / "python"
    real = sys.executable
    python.write_text(f'#!/bin/sh\nrm {once} 2>/dev/null && exec {real} {stranger} "$@"\nexec {real} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    async with serving(config(upstream.port), tmp_path) as app:
        once.touch()
        os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
        await until(lambda: app.request_server.describe() == {"wanted": 2, "serving": 2, "restarts": 2})
        [told] = [one for one in caplog.records if one.message == "a message between processes is not understood"]
        ended = [vars(one) for one in caplog.records if one.message == "a worker ended"]
    assert (vars(told)["worker"], told.exc_info is not None) == (0, True)
    assert [(one["worker"], one["code"]) for one in ended] == [(0, -signal.SIGKILL)] * 2


def slow(release: threading.Event, conversation: Conversation) -> None:
    conversation.read_body()
    release.wait(PATIENCE)
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@contextmanager
def under_way(gateway: Gateway, upstream: RecordingUpstream) -> Iterator[tuple[Client, threading.Event]]:
    """Yield a client whose request has reached the upstream, and what lets the upstream answer it."""
    release = threading.Event()
    with upstream.scripted(lambda conversation: slow(release, conversation)), Client(gateway.port) as client:
        client.send(GOOD)
        upstream.wait_for(1)
        yield client, release


def test_drain(serve: Serve, upstream: RecordingUpstream) -> None:
    """On SIGTERM requests under way come to their end, the last on their connections; then all processes are gone."""
    gateway = serve(config(upstream.port, limits={"drainSeconds": 10}), TWO)
    workers = children(gateway)
    release = threading.Event()
    with upstream.scripted(lambda conversation: slow(release, conversation)), ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)).send(GOOD) for _ in range(4)]
        upstream.wait_for(4)
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.call("/readyz")[0] == 503)
        with Client(gateway.port) as late:
            assert late.send(BAD).response().value("connection") == "close"
        eventually(lambda: not gateway.listens())
        assert gateway.process.poll() is None
        release.set()
        responses = [client.response() for client in clients]
    assert [(response.status, response.value("connection")) for response in responses] == [(200, "close")] * 4
    assert gateway.wait() == 0
    assert not any(map(is_running, workers))


def test_drain_has_an_end(serve: Serve, upstream: RecordingUpstream) -> None:
    """After `drainSeconds` what is still under way is broken off."""
    gateway = serve(config(upstream.port, limits={"drainSeconds": 1}), TWO)
    workers = children(gateway)
    with under_way(gateway, upstream) as (client, release):
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        with pytest.raises(BrokenOffError):
            client.response()
        release.set()
    assert not any(map(is_running, workers))


def test_workers_do_not_outlive_the_process(serve: Serve, upstream: RecordingUpstream) -> None:
    """When the main process is killed the workers carry what they have to its end, and end."""
    gateway = serve(config(upstream.port), TWO)
    workers = children(gateway)
    with under_way(gateway, upstream) as (client, release):
        gateway.process.kill()
        gateway.wait()
        release.set()
        assert client.response().status == 200
    eventually(lambda: not any(map(is_running, workers)))


def test_workers_without_the_process_have_an_end(serve: Serve, upstream: RecordingUpstream) -> None:
    """When the main process is killed, a request that does not end keeps a worker for `drainSeconds` only."""
    gateway = serve(config(upstream.port, limits={"drainSeconds": 1}), TWO)
    workers = children(gateway)
    with under_way(gateway, upstream) as (_, release):
        gateway.process.kill()
        gateway.wait()
        try:
            eventually(lambda: not any(map(is_running, workers)))
        finally:
            release.set()


def test_dead_workers_leave_nothing_behind(gateway: Gateway) -> None:
    """However many workers die, the main process keeps no descriptor and no zombie of theirs."""
    folder = Path(f"/proc/{gateway.process.pid}/fd")
    eventually(lambda: exchange(gateway.port, GOOD).status == 200)
    before = len(list(folder.iterdir()))
    for _ in range(3):
        gone = children(gateway)
        for worker in gone:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: gateway.status()["workers"]["serving"] == 2, timeout=20)
        assert not any(Path(f"/proc/{worker}").exists() for worker in gone)
    eventually(lambda: len(list(folder.iterdir())) <= before)
