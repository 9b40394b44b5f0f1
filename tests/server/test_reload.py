"""Reading the file again: a good one is in force at once and whole, a bad one changes nothing."""

import signal
from typing import Any

import pytest
from support.clock import eventually
from support.process import Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request

STRATEGIES = "/api/portfolio/strategies"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')


def config(port: int, mode: str = "warn", **members: Any) -> dict[str, Any]:
    return configuration(port, endpointMode={STRATEGIES: mode}, **members)


@pytest.fixture(scope="module")
def process(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port))


@pytest.fixture
def gateway(process: Gateway, upstream: RecordingUpstream) -> Gateway:
    """Put the gateway under its first configuration again, whatever a test made of it before."""
    process.write(config(upstream.port))
    process.reload()
    assert process.status()["lastReload"]["errors"] == []
    return process


def reloads(gateway: Gateway, result: str) -> float:
    return gateway.metrics().total("stage_gateway_config_reloads_total", result=result)


def test_good_file_replaces_the_old_one(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """After SIGHUP the new file decides, and every gauge describes it alone."""
    old = gateway.status()
    success = reloads(gateway, "success")
    assert exchange(gateway.port, BAD).status == 200
    gateway.write(config(upstream.port, "enforce", enforcementPercent=100, dryRun=True))
    gateway.reload()
    assert exchange(gateway.port, BAD).status == 422
    new, samples = gateway.status(), gateway.metrics()
    assert new["config"]["fingerprint"] != old["config"]["fingerprint"]
    assert reloads(gateway, "success") == success + 1
    (info,) = samples.series("stage_gateway_config_info")
    assert dict(info)["config"] == new["config"]["fingerprint"]
    assert samples.get("stage_gateway_endpoint_mode", endpoint=STRATEGIES, mode="enforce") == 1
    assert samples.get("stage_gateway_endpoint_mode", endpoint=STRATEGIES, mode="warn") == 0
    assert samples.get("stage_gateway_dry_run") == 1


def test_endpoint_that_is_gone(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Gauges of an endpoint that a new file leaves out go; its counters stay, and new ones begin at 0."""
    exchange(gateway.port, BAD)
    counted = gateway.metrics().total("stage_validation_validations_total", endpoint=STRATEGIES)
    assert counted > 0
    gateway.write(configuration(upstream.port, endpoints={"/other": {"stages": [{"query": "stage"}]}}))
    gateway.reload()
    samples = gateway.metrics()
    for name in ("stage_gateway_endpoint_mode", "stage_gateway_enforcement_percent"):
        assert {dict(labels)["endpoint"] for labels in samples.series(name)} == {"/other"}
    assert samples.total("stage_validation_validations_total", endpoint=STRATEGIES) == counted
    assert samples.get("stage_validation_validations_total", endpoint="/other", mode="warn", result="warn") == 0


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"upstreams": 1}', '{"defaultMode": "strict", "enforcementPercent": 101, "nonsense": 1}', "[]", None],
    ids=["empty", "no JSON", "wrong type", "three faults", "array", "missing"],
)
def test_bad_file_changes_nothing(content: str | None, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """After a bad or missing file the old one stays in force; errors are counted, logged and shown until a good one."""
    old, errors = gateway.status(), reloads(gateway, "error")
    logged = len([entry for entry in gateway.logs() if entry["level"] == "error"])
    if content is None:
        gateway.file.unlink()
    else:
        gateway.write(content)
    gateway.reload()
    status = gateway.status()
    assert reloads(gateway, "error") == errors + 1
    assert status["config"] == old["config"]
    assert status["lastReload"]["result"] == "error"
    assert len(status["lastReload"]["errors"]) >= (3 if content is not None and "nonsense" in content else 1)
    assert len(gateway.metrics().series("stage_gateway_config_info")) == 1
    eventually(lambda: len([entry for entry in gateway.logs() if entry["level"] == "error"]) > logged)
    assert exchange(gateway.port, BAD).values("x-stage-warning") == ["reason=alias; count=1"]
    gateway.write(config(upstream.port))
    gateway.reload()
    assert gateway.status()["lastReload"]["errors"] == []


def test_directory_in_place_of_the_file(gateway: Gateway) -> None:
    """A file that cannot be read is an error like any other."""
    gateway.file.unlink()
    gateway.file.mkdir()
    try:
        gateway.reload()
        assert gateway.status()["lastReload"]["result"] == "error"
    finally:
        gateway.file.rmdir()


def test_request_under_way_keeps_its_configuration(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A request that began under the old file is decided by it, even when it ends after a reload."""
    with Client(gateway.port) as client:
        client.send(BAD[:-5])
        upstream.wait_for(1)
        gateway.write(config(upstream.port, "enforce"))
        gateway.reload()
        response = client.send(BAD[-5:]).response()
        assert response.status == 200
        assert response.values("x-stage-warning") == ["reason=alias; count=1"]
        assert client.send(BAD).response().status == 422


def test_unchanged_upstream_keeps_its_connections(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A reload that does not touch an upstream does not cost its connections."""
    exchange(gateway.port, request("GET", "/x"))
    gateway.write(config(upstream.port, "enforce"))
    gateway.reload()
    exchange(gateway.port, request("GET", "/x"))
    assert len({received.connection for received in upstream.requests}) == 1


def test_moved_upstream_is_used_at_once(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """After a reload requests go where the new file says."""
    elsewhere = RecordingUpstream()
    try:
        exchange(gateway.port, request("GET", "/x"))
        gateway.write(config(elsewhere.port))
        gateway.reload()
        exchange(gateway.port, request("GET", "/x"))
        assert (len(upstream.requests), len(elsewhere.requests)) == (1, 1)
    finally:
        gateway.write(config(upstream.port))
        gateway.reload()
        elsewhere.close()


def test_dry_run_of_the_environment_wins_after_a_reload(serve: Serve, recorder: RecordingUpstream) -> None:
    """`DRY_RUN` beats the file at the start and after every reload, and a warning says so."""
    gateway = serve(config(recorder.port, dryRun=True), {"DRY_RUN": "false"})
    for count in (1, 2):
        assert gateway.status()["dryRun"] is False
        assert exchange(gateway.port, BAD).value("x-stage-would-reject") is None
        assert len([entry for entry in gateway.logs() if "DRY_RUN=false wins" in entry["message"]]) == count
        gateway.reload()


def test_many_signals_at_once(gateway: Gateway) -> None:
    """Signals that pile up are no trouble."""
    for _ in range(20):
        gateway.signal(signal.SIGHUP)
    gateway.reload()
    assert gateway.status()["lastReload"]["errors"] == []
