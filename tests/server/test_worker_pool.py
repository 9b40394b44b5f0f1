"""Several processes look like one from outside: decisions, counts, limits, changes, signals."""

import os
import signal
import socket
import ssl
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
import trustme
from support.clock import PATIENCE, eventually, within
from support.process import COMMAND, Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request
from support.workers import BAD, GOOD, STRATEGIES, TWO, children, config, workers_of

from gateway.errors import GatewayError
from gateway.rules.load import load, parse


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


def test_what_a_worker_is_told_means_the_same(tmp_path: Path) -> None:
    """The document that is handed on to workers has the fingerprint of the file it comes from."""
    for file in sorted(Path("config").rglob("*.json")):
        try:
            rules = load(file)
        except GatewayError:
            continue  # it is no configuration of the gateway
        again = parse(orjson.dumps(dict(rules.document)).decode(), source=rules.source)
        assert again.fingerprint == rules.fingerprint
