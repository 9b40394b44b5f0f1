"""Inspections on their way: told to the log in one line, counted once, and closed when the validator fails."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from support.clock import PATIENCE, eventually
from support.process import Gateway, Samples, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Response, exchange, request

from gateway.rules.load import load
from gateway.server.app import App
from gateway.settings import Settings

ENDPOINTS = {f"/{mode}": {"stages": [{"keys": "/stages"}], "fundId": {"query": "fund"}} for mode in ("off", "warn")} | {
    "/enforce": {"stages": [{"keys": "/stages"}], "fundId": {"query": "fund"}}
}
MODES = {pattern: pattern[1:] for pattern in ENDPOINTS}


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, endpoints=ENDPOINTS, endpointMode=MODES, dryRun=True))


def lines_of(gateway: Gateway, identity: str) -> list[dict[str, object]]:
    return [entry for entry in gateway.logs() if entry.get("requestId") == identity]


@pytest.mark.parametrize(
    ("place", "method", "message"),
    [("/enforce", "POST", "request refused"), ("/warn", "POST", "request would be refused"), ("/warn", "GET", None)],
)
def test_one_line_of_log(
    place: str, method: str, message: str | None, gateway: Gateway, upstream: RecordingUpstream
) -> None:
    """A refused or would-be-refused request is one JSON line: what, where, why, values cut, nothing of the body."""
    identity = str(uuid.uuid4())
    body = json.dumps({"secret": "hidden", "stages": {"v" * 500: 1, "Series A": 1, "a": 1, "b": 1}}).encode()
    exchange(gateway.port, request(method, f"{place}?fund=7", ("X-Request-Id", identity), body=body))
    if message is None:
        exchange(gateway.port, request("POST", "/enforce", ("X-Request-Id", "after"), body=body))
        eventually(lambda: lines_of(gateway, "after"))
        assert lines_of(gateway, identity) == []
        return
    eventually(lambda: lines_of(gateway, identity))
    (line,) = lines_of(gateway, identity)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "gateway.validation", message)
    assert (line["endpoint"], line["reason"], line["count"]) == (place, "disallowed_value", 4)
    assert line["fundId"] == "7"
    assert line["violations"] == [
        {"place": "/stages/" + "v" * 56 + "…", "value": "v" * 64, "reason": "disallowed_value", "occurrences": 1},
        {"place": "/stages/Series A", "value": "Series A", "reason": "alias", "occurrences": 1},
        {"place": "/stages/a", "value": "a", "reason": "disallowed_value", "occurrences": 1},
    ]
    assert "hidden" not in json.dumps(line)
    assert len(json.dumps(line)) < 1500


def test_long_names_are_cut(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Whatever a client sends, its request id and fund take little of a log line."""
    fund, identity = "f" * 3000, "i" * 128
    exchange(gateway.port, request("POST", f"/enforce?fund={fund}", ("X-Request-Id", identity), body=b"no"))
    eventually(lambda: lines_of(gateway, "i" * 64 + "…"))
    assert len(json.dumps(lines_of(gateway, "i" * 64 + "…")[0])) < 1000


@pytest.fixture
async def in_process(
    recorder: RecordingUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[int, int]]:
    """Run a gateway in this process whose JSON library fails on one kind of body; gives its two ports."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(configuration(recorder.port, endpoints=ENDPOINTS, endpointMode=MODES)))
    settings = Settings(config=file, host="127.0.0.1", port=0, admin_port=0, state=str(tmp_path))
    genuine = orjson.loads

    def failing(data: bytes) -> object:
        if b"poison" in data:
            raise MemoryError
        return genuine(data)

    app = App(settings, load(file))
    ports: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(app.run(lambda port, admin: ports.set_result((port, admin))))
    both = await asyncio.wait_for(ports, PATIENCE)
    monkeypatch.setattr(orjson, "loads", failing)
    yield both
    monkeypatch.undo()
    app.stop()
    app.stop()
    await asyncio.wait_for(serving, PATIENCE)


async def send(port: int, raw: bytes) -> Response:
    return await asyncio.to_thread(exchange, port, raw)


@pytest.mark.parametrize("place", ["/off", "/warn", "/enforce"])
async def test_validator_that_fails(
    place: str,
    in_process: tuple[int, int],
    upstream: RecordingUpstream,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault in the validator passes with `off`, warns with `warn`, is a 500 with `enforce`, and is logged."""
    port, admin = in_process
    body = b'{"stages":{"poison":1}}'
    response = await send(port, request("POST", place, ("X-Request-Id", "mine"), body=body))
    scrape = await send(admin, request("GET", "/metrics"))
    count = Samples(scrape.body.decode()).get("stage_validation_errors_total", endpoint=place, reason="internal_error")
    assert count == (0 if place == "/off" else 1)
    assert response.value("x-request-id") == "mine"
    if place == "/enforce":
        assert response.status == 500
        assert response.value("content-type") == "application/problem+json"
        assert b"urn:stage-gateway:internal_error" in response.body
        assert b"MemoryError" not in response.body
        assert upstream.requests == []
    else:
        assert (response.status, response.body) == (200, b"ok")
        assert upstream.only().framed == body
        warned = response.values("x-stage-warning")
        assert warned == ([] if place == "/off" else ["reason=internal_error; count=1"])
    faults = [record for record in caplog.records if record.getMessage() == "the validator failed"]
    assert len(faults) == (0 if place == "/off" else 1)
    assert all(record.exc_info for record in faults)
