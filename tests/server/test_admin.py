"""The admin port: what anyone may ask, what only the holder of the token may."""

import asyncio
import json
import stat
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.clock import PATIENCE
from support.process import Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request

from gateway import __version__
from gateway.rules.load import load
from gateway.server import entrance
from gateway.server.active_configuration import ActiveConfiguration
from gateway.server.admin import Admin
from gateway.server.entrance import AdminServer
from gateway.server.in_process_server import InProcessServer
from gateway.server.override_service import OverrideService
from gateway.server.override_sync import OverrideSync
from gateway.server.reload import Reloader
from gateway.server.store import DirectoryStore
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Violation
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
    [unknown] = status["unknownValues"]
    assert unknown["firstSeen"] == unknown["lastSeen"]
    assert datetime.fromisoformat(unknown["lastSeen"]).utcoffset() == timedelta(0)
    told = {name: unknown[name] for name in ("endpoint", "value", "reason", "count", "funds", "suggestion")}
    assert told == {
        "endpoint": COMPANIES,
        "value": "nonsense",
        "reason": "disallowed_value",
        "count": 1,
        "funds": ["7"],
        "suggestion": None,
    }


def test_counts_begin_with_the_configuration(serve: Serve, recorder: RecordingUpstream) -> None:
    """Counts since this configuration begin at 0 with a new one, and go on when the same one is read again."""
    gateway = serve(configuration(recorder.port))
    bad = request("GET", "/api/funds/7/companies?stage=nonsense&stage=seed")

    def counts() -> tuple[str, int, dict[str, int], int, int]:
        status = gateway.status()
        found = status["endpoints"][COMPANIES]["sinceConfig"]
        since, judged = status["config"]["since"], found["judging"]["+Inf"]
        return since, found["totals"]["warn"], found["errors"], found["values"], judged

    exchange(gateway.port, bad)
    begun, *counted = counts()
    assert counted == [1, {"disallowed_value": 1}, 2, 1]
    gateway.reload()
    exchange(gateway.port, bad)
    assert counts() == (begun, 2, {"disallowed_value": 2}, 4, 2)
    gateway.write(configuration(recorder.port, dryRun=True))
    gateway.reload()
    later, *counted = counts()
    assert counted == [0, {}, 0, 0]
    assert later > begun
    assert gateway.status()["endpoints"][COMPANIES]["totals"]["warn"] == 2


HOSTS = [
    *[
        (host, True)
        for host in ("127.0.0.1", "localhost", "LocalHost:{port}", "127.0.0.1:{port}", "[::1]:1", "10.0.0.1")
    ],
    *[(host, False) for host in ("evil.example", "evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io")],
    *[(host, False) for host in ("", "[evil]", "127.0.0.1:x", "localhost@evil.example")],
]


@pytest.mark.parametrize(("host", "shown"), HOSTS)
def test_page_of_another_name_sees_no_values(host: str, shown: bool, gateway: Gateway) -> None:
    """On loopback values and configuration are shown only under an address or `localhost`, not to a page's name."""
    head = f"GET /status HTTP/1.1\r\nHost: {host.format(port=gateway.admin)}\r\n"
    answer = exchange(gateway.admin, f"{head}\r\n".encode())
    assert answer.status == 200
    without = json.loads(answer.body)
    assert ("unknownValues" in without, "document" in without["config"]) == (shown, shown)
    with_token = exchange(gateway.admin, f"{head}Authorization: Bearer {gateway.token()}\r\n\r\n".encode())
    told = json.loads(with_token.body)
    assert "unknownValues" in told
    assert told["config"]["document"] == dict(load(gateway.file).document)


MALFORMED = [
    (b"GET /s3cret bad\r\n\r\n", 400),
    (b"s3cret\r\n\r\n", 400),
    (b"\x16\x03\x01s3cret\r\n\r\n", 400),
    (b"GET /status HTTP/1.1\r\nHost: a\r\nbad s3cret: x\r\n\r\n", 400),
    (b"GET /status HTTP/1.1\r\nHost: a\r\nContent-Length: s3cret\r\n\r\n", 400),
    (b"GET /status HTTP/1.1\r\nHost: a\r\nX: " + b"s3cret" * 5000 + b"\r\n\r\n", 431),
    (b"GET /s3cret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
    (b"DELETE /status?s3cret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
    (b"POST /-/mode HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\nConnection: close\r\n\r\n", 401),
]


@pytest.mark.parametrize(("raw", "status"), MALFORMED)
def test_bad_request_is_a_problem(raw: bytes, status: int, gateway: Gateway) -> None:
    """What cannot be parsed, or asks for what there is not, gets a problem that echoes nothing, and no traceback."""
    before = len(gateway.lines)
    with Client(gateway.admin) as client:
        answer = client.send(raw).response()
        assert client.is_closed()
    assert answer.status == status
    assert answer.value("content-type") == "application/problem+json"
    assert json.loads(answer.body)["status"] == status
    assert b"s3cret" not in answer.head + answer.body
    assert [line for line in gateway.lines[before:] if "s3cret" in line or "traceback" in line] == []


SLOW = [
    (b"", b""),
    (b"G", b""),
    (b"\r\n", b""),
    (b"GET /status HTTP/1.1\r\nHost: a", b""),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /", b"HTTP/1.1 200 "),
    (
        b"POST /-/mode HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer right\r\nContent-Length: 5\r\n\r\n12",
        b"HTTP/1.1 408 ",
    ),
]


@pytest.mark.parametrize(("raw", "begins"), SLOW)
async def test_slow_client_is_let_go(
    raw: bytes, begins: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head, a body or a next request that does not come ends its connection."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(entrance, name, 0.1)
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    runner = web.ServerRunner(AdminServer(admin(file, Metrics(), "right").answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(raw)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
    finally:
        await runner.cleanup()
    assert answer.startswith(
        b"HTTP/1.1 408 " if raw.startswith(b"POST") else b"HTTP/1.1 200 " if b"healthz" in raw else b""
    )


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
    server = InProcessServer(rules, metrics)
    active = ActiveConfiguration(server, rules, metrics)
    overrides = OverrideService(active, OverrideSync(active.overrides, DirectoryStore(file.parent)))
    return Admin(server, active, Reloader(file, None, active, metrics), overrides, metrics, token)


@pytest.mark.parametrize("token", [None, "wrong", "right"])
async def test_unknown_values_from_afar(token: str | None, tmp_path: Path) -> None:
    """Who does not ask from the loopback interface sees the values that came in only with the token."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(1)))
    metrics = Metrics()
    metrics.unknown_values.note("/s", [Violation("/s", None, "private", Reason.DISALLOWED_VALUE, None, 1)], "7")
    runner = web.ServerRunner(AdminServer(admin(file, metrics, "right").answer))
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
    runner = web.ServerRunner(AdminServer(admin(file, Metrics(), None).answer))
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
