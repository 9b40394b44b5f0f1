"""The admin port: what anyone may ask, what only the holder of the token may."""

import asyncio
import json
import stat
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.process import Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import exchange, request

from gateway import __version__
from gateway.rules.load import load
from gateway.server.admin import Admin
from gateway.server.carrier import InProcess
from gateway.server.control import Control
from gateway.server.keeper import Keeper
from gateway.server.reload import Reloader
from gateway.server.steering import Steering
from gateway.server.store import DirectoryStore
from gateway.telemetry.metrics import Metrics

COMPANIES = "/api/funds/:fundId/companies"


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, enforcementPercent=25, dryRun=True))


def test_health(gateway: Gateway) -> None:
    """A running gateway is alive and ready."""
    assert gateway.call("/healthz")[0] == 200
    assert gateway.call("/readyz")[0] == 200


def test_status(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The status says what is in force, what was counted, and how the last reload went."""
    exchange(gateway.port, request("GET", "/api/funds/7/companies?stage=nonsense"))
    exchange(gateway.port, request("GET", "/api/funds/7/companies?stage=seed"))
    status = gateway.status()
    samples = gateway.metrics()
    assert status["version"] == __version__
    assert status["config"]["source"] == str(gateway.file)
    assert samples.get(
        "stage_gateway_config_info",
        config=status["config"]["fingerprint"],
        vocabulary=status["vocabulary"]["fingerprint"],
        version=__version__,
    )
    endpoint = status["endpoints"][COMPANIES]
    assert (endpoint["mode"], endpoint["percent"], endpoint["override"]) == ("warn", 0, None)
    assert (endpoint["configuredMode"], endpoint["configuredPercent"]) == ("warn", 25)
    assert endpoint["totals"] == {"pass": 1, "warn": 1, "reject": 0, "would_reject": 0}
    assert status["lastReload"]["errors"] == []
    assert status["inFlight"] == 0
    assert status["unknownValues"] == [{"value": "nonsense", "count": 1}]


def test_token_is_made_for_its_owner_only(gateway: Gateway) -> None:
    """Without a token file a token is made in the state directory, readable by its owner alone."""
    file = gateway.state / "admin-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(gateway.token()) >= 32
    assert gateway.token() not in "".join(gateway.lines)


@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_change_needs_the_token(token: str | None, gateway: Gateway) -> None:
    """A reload without the right token is 401 and changes nothing."""
    before = gateway.metrics().total("stage_gateway_config_reloads_total")
    bearer = {} if token is None else {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    status, body = gateway.call("/-/reload", method="POST", headers=bearer)
    assert status == 401
    assert json.loads(body)["status"] == 401
    assert gateway.metrics().total("stage_gateway_config_reloads_total") == before


def test_token_as_another_scheme_is_none(gateway: Gateway) -> None:
    """Only the Bearer scheme carries the token."""
    given = {"Authorization": f"Basic {gateway.token()}"}
    assert gateway.call("/-/reload", method="POST", headers=given)[0] == 401


def test_reload_with_the_token(gateway: Gateway) -> None:
    """With the token a reload is made: 200 and the new status, or 422 and the errors."""
    good = json.loads(gateway.file.read_text())
    status, body = gateway.call("/-/reload", method="POST", token=gateway.token())
    assert (status, json.loads(body)["lastReload"]["result"]) == (200, "success")
    gateway.write({**good, "defaultMode": "strict"})
    status, body = gateway.call("/-/reload", method="POST", token=gateway.token())
    assert status == 422
    assert "defaultMode" in json.loads(body)["lastReload"]["errors"][0]
    gateway.write(good)
    assert gateway.call("/-/reload", method="POST", token=gateway.token())[0] == 200


def test_reload_is_no_get(gateway: Gateway) -> None:
    """A changing call is a POST."""
    assert gateway.call("/-/reload", token=gateway.token())[0] == 405


def admin(file: Path, metrics: Metrics, token: str | None) -> Admin:
    rules = load(file)
    carrier = InProcess(rules, metrics)
    steering = Steering(carrier, rules, metrics)
    control = Control(steering, Keeper(steering.overrides, DirectoryStore(file.parent)))
    return Admin(carrier, steering, Reloader(file, None, steering, metrics), control, metrics, token)


@pytest.mark.parametrize("token", [None, "wrong", "right"])
async def test_unknown_values_from_afar(token: str | None, tmp_path: Path) -> None:
    """Who does not ask from the loopback interface sees the values that came in only with the token."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    metrics = Metrics()
    metrics.note_unknown(["private"])
    runner = web.AppRunner(admin(file, metrics, "right").application())
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "socket")).start()
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        connector = aiohttp.UnixConnector(str(tmp_path / "socket"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://admin/status", headers=headers) as response,
        ):
            document = await response.json()
    finally:
        await runner.cleanup()
    assert ("unknownValues" in document) is (token == "right")
    assert ("private" in json.dumps(document)) is (token == "right")


async def test_no_change_without_any_token(tmp_path: Path) -> None:
    """Where no token could be made every changing call is refused."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    runner = web.AppRunner(admin(file, Metrics(), None).application())
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        raw = request("POST", "/-/reload", ("Authorization", "Bearer "), ("Connection", "close"))
        response = await asyncio.to_thread(exchange, port, raw)
    finally:
        await runner.cleanup()
    assert response.status == 403
