"""Several processes look like one from outside: decisions, counts, limits, changes; and the end of one is survived."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from support.clock import PATIENCE, eventually, until, within
from support.process import COMMAND, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream
from support.wire import BrokenOffError, Client, exchange, request

from gateway.errors import GatewayError
from gateway.rules.load import load, parse
from gateway.server.app import App
from gateway.settings import Settings

STRATEGIES = "/api/portfolio/strategies"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')
GOOD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}')
TWO = {"STAGE_GATEWAY_WORKERS": "2"}


def config(port: int, **members: Any) -> dict[str, Any]:
    return configuration(port, endpointMode={STRATEGIES: "enforce"}, **members)


def children(gateway: Gateway) -> list[int]:
    """Return the process ids of the workers, in the order of their slots."""
    return workers_of(gateway.process.pid)


def workers_of(process: int) -> list[int]:
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            words = folder.joinpath("cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == str(process) and b"gateway.server.worker" in words:
            found[int(words[-2])] = int(folder.name)
    return [found[slot] for slot in sorted(found)]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def process(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port, metrics={"maxFunds": 2}), TWO)


@pytest.fixture
def gateway(process: Gateway, upstream: RecordingUpstream) -> Gateway:
    eventually(lambda: process.status()["workers"]["serving"] == 2)
    return process


def test_connections_are_shared_out_evenly(gateway: Gateway) -> None:
    """Of 200 connections that stay open each worker has half."""
    before = len(gateway.logs("request refused"))
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)) for _ in range(200)]
        assert {client.send(BAD).response().status for client in clients} == {422}
    gateway.wait_for_log("request refused", count=before + 200)
    workers = Counter(entry["worker"] for entry in gateway.logs("request refused")[before:])
    assert workers == {0: 100, 1: 100}


def test_counts_of_all_are_told(gateway: Gateway) -> None:
    """A scrape right after a request has it counted, whichever worker carried it; so has the status."""
    before = gateway.metrics()
    seen = gateway.status()["endpoints"][STRATEGIES]["totals"]
    for _ in range(6):
        assert exchange(gateway.port, BAD).status == 422
        assert exchange(gateway.port, GOOD).status == 200
    after = gateway.metrics()

    def more(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    assert more("stage_validation_validations_total", endpoint=STRATEGIES, result="reject") == 6
    assert more("stage_validation_validations_total", endpoint=STRATEGIES, result="pass") == 6
    assert more("stage_validation_errors_total", reason="alias") == 6
    assert more("stage_validation_values_total") == 12
    assert more("stage_validation_duration_seconds_count") == 12
    assert more("stage_gateway_requests_total", code="422") == 6
    assert more("stage_gateway_upstream_duration_seconds_count") == 6
    totals = gateway.status()["endpoints"][STRATEGIES]["totals"]
    assert (totals["pass"] - seen["pass"], totals["reject"] - seen["reject"]) == (6, 6)


def test_every_series_is_there_from_the_start(serve: Serve, upstream: RecordingUpstream) -> None:
    """Before the first request the counts are 0, not absent, and the gauges describe one configuration."""
    samples = serve(config(upstream.port), TWO).metrics()
    found = samples.get(
        "stage_validation_validations_total", endpoint="/api/monte-carlo/simulate", mode="warn", result="would_reject"
    )
    assert found == 0
    assert samples.get("stage_gateway_worker_restarts_total") == 0
    assert samples.get("stage_gateway_requests_in_flight") == 0
    assert len(samples.series("stage_gateway_config_info")) == 1


def test_funds_have_one_limit(gateway: Gateway) -> None:
    """However the funds fall on the workers, no more of them have a name than the limit says."""
    for fund in (1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4):
        target = f"{STRATEGIES}?fundId={fund}"
        assert exchange(gateway.port, request("POST", target, body=b'{"stageAllocation":{}}')).status == 200
    samples = gateway.metrics()
    funds = {dict(labels)["fund_id"] for labels in samples.series("stage_validation_fund_validations_total")}
    assert len(funds - {"none", "other"}) == 2
    assert samples.total("stage_validation_fund_validations_total", fund_id="other") == 6


def test_unknown_values_are_told(gateway: Gateway) -> None:
    """The status shows the values that came in most, over all workers."""
    for _ in range(4):
        exchange(gateway.port, request("POST", STRATEGIES, body=b'{"stageAllocation":{"quite new":1}}'))
    assert ("quite new", 4) in [(one["value"], one["count"]) for one in gateway.status()["unknownValues"]]


def test_override_is_in_force_everywhere_once_answered(gateway: Gateway) -> None:
    """After the answer to a change no worker decides by what was before."""
    for mode, status in (("warn", 200), (None, 422)) * 3:
        with within(1):
            assert gateway.hold(STRATEGIES, mode)[0] == 200
        assert {exchange(gateway.port, BAD).status for _ in range(4)} == {status}


def test_reload_reaches_all(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """After SIGHUP to the one process every worker has the new file; a bad one changes nothing in any."""
    gateway.write(configuration(upstream.port, defaultMode="warn"))
    gateway.reload()
    assert {exchange(gateway.port, BAD).status for _ in range(4)} == {200}
    gateway.write("{")
    gateway.reload()
    assert {exchange(gateway.port, BAD).status for _ in range(4)} == {200}
    gateway.write(config(upstream.port, metrics={"maxFunds": 2}))
    gateway.reload()
    assert {exchange(gateway.port, BAD).status for _ in range(4)} == {422}


def test_held_bytes_have_one_limit(serve: Serve, upstream: RecordingUpstream) -> None:
    """A body held by one worker takes the room from the other, and gives it back."""
    limits = {"heldBytes": 150_000, "maxBodyBytes": 150_000}
    gateway = serve(config(upstream.port, limits=limits), TWO)
    raw = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}' + b" " * 100_000)
    with Client(gateway.port) as first, Client(gateway.port) as second:
        first.send(raw[:-30])
        eventually(lambda: gateway.metrics().get("stage_gateway_held_bytes") == 100_000)
        assert second.send(raw).response().status == 503
        assert first.send(raw[-30:]).response().status == 200
        eventually(lambda: gateway.metrics().get("stage_gateway_held_bytes") == 0)
        assert exchange(gateway.port, raw).status == 200


def test_connections_have_one_limit(serve: Serve, upstream: RecordingUpstream) -> None:
    """The connection past the limit is turned away, whichever worker it falls to."""
    gateway = serve(config(upstream.port, limits={"maxConnections": 3}), TWO)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.port)) for _ in range(3)]
        assert {client.send(GOOD).response().status for client in clients} == {200}
        assert exchange(gateway.port, GOOD).status == 503
    eventually(lambda: exchange(gateway.port, GOOD).status == 200)


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


async def test_drain_does_not_wait_for_a_worker_to_be_started_again(
    upstream: RecordingUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is to be started again in a day is not waited for, once the process is told to end."""
    monkeypatch.setattr("gateway.server.worker_pool._FIRST_PAUSE_SECONDS", 86_400)
    file = tmp_path / "gateway.json"
    file.write_bytes(orjson.dumps(config(upstream.port, limits={"drainSeconds": 1})))
    settings = Settings(config=file, host="127.0.0.1", port=0, admin_port=0, state=str(tmp_path), workers=2)
    app = App(settings, load(file))
    serving = asyncio.create_task(app.run(lambda *_: None))
    await until(lambda: app.request_server.describe()["serving"] == 2)
    os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
    await until(lambda: "a worker ended" in caplog.messages)
    app.stop()
    await asyncio.wait_for(serving, PATIENCE)


def test_file_of_an_authority_is_read_once_for_all(serve: Serve, upstream: RecordingUpstream, tmp_path: Path) -> None:
    """A worker that is started after a `caFile` was taken away trusts what the file held, as the others do."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    file.write_bytes("# Autorität\n".encode() + authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    secure = RecordingUpstream(context)
    try:
        address = {"url": f"https://127.0.0.1:{secure.port}", "caFile": str(file)}
        given = config(upstream.port) | {"upstreams": {"portfolio": address, "monteCarlo": address}}
        gateway = serve(given, TWO)
        file.unlink()
        os.kill(children(gateway)[0], signal.SIGKILL)
        eventually(lambda: gateway.status()["workers"] == {"wanted": 2, "serving": 2, "restarts": 1})
        assert {exchange(gateway.port, GOOD).status for _ in range(4)} == {200}
    finally:
        secure.close()


def test_signals_of_a_terminal_are_not_for_workers(gateway: Gateway) -> None:
    """SIGHUP, SIGINT and SIGTERM to a worker change nothing: a service manager sends them to all at once."""
    workers = children(gateway)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        for worker in workers:
            os.kill(worker, number)
    assert [exchange(gateway.port, BAD).status for _ in range(4)] == [422] * 4
    assert children(gateway) == workers


def test_reload_while_workers_start(upstream: RecordingUpstream, tmp_path: Path) -> None:
    """SIGHUP that comes before the workers serve does not end the process; it reads the file again."""
    file = tmp_path / "gateway.json"
    file.write_bytes(orjson.dumps(config(upstream.port)))
    own = {"CONFIG": file, "PORT": 0, "ADMIN_PORT": 0, "STATE": tmp_path, "WORKERS": 2}
    environment = {**os.environ, **{f"STAGE_GATEWAY_{name}": str(value) for name, value in own.items()}}
    with subprocess.Popen([COMMAND, "serve"], env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: process.poll() is not None or workers_of(process.pid))
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            messages = [orjson.loads(process.stderr.readline())["message"] for _ in range(2)]
            assert messages == ["configuration reloaded", "serving"]
        finally:
            process.terminate()
            process.terminate()


@pytest.mark.parametrize("count", ["1", "2"])
def test_standard_streams_may_be_closed(count: str, upstream: RecordingUpstream, tmp_path: Path) -> None:
    """With no standard stream at all the gateway serves; none of its sockets is taken for one."""
    file = tmp_path / "gateway.json"
    file.write_bytes(orjson.dumps(config(upstream.port)))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, admin = one.getsockname()[1], other.getsockname()[1]
    own = {"CONFIG": file, "HOST": "127.0.0.1", "PORT": port, "ADMIN_PORT": admin, "STATE": tmp_path, "WORKERS": count}
    environment = {**os.environ, **{f"STAGE_GATEWAY_{name}": str(value) for name, value in own.items()}}
    command = ["sh", "-c", 'exec "$0" serve <&- >&- 2>&-', str(COMMAND)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            eventually(lambda: process.poll() is not None or listens(port), timeout=30)
            assert [exchange(port, BAD).status for _ in range(4)] == [422] * 4
            process.terminate()
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


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


def test_what_a_worker_is_told_means_the_same(tmp_path: Path) -> None:
    """The document that is handed on to workers has the fingerprint of the file it comes from."""
    for file in sorted(Path("config").rglob("*.json")):
        try:
            rules = load(file)
        except GatewayError:
            continue  # it is no configuration of the gateway
        again = parse(orjson.dumps(dict(rules.document)).decode(), source=rules.source)
        assert again.fingerprint == rules.fingerprint
