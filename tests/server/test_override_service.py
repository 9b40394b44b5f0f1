"""The calls that steer a running gateway: a person's override, and Alertmanager's alerts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import within
from support.process import Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import exchange, request

STRATEGIES = "/api/portfolio/strategies"
SIMULATE = "/api/monte-carlo/simulate"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')
ENDPOINTS = {
    STRATEGIES: {"stages": [{"keys": "/stageAllocation"}], "autoDemote": True},
    SIMULATE: {"operation": "write", "stages": [{"each": "/stageDistribution", "field": "stage"}]},
}
MODES = {STRATEGIES: "enforce", SIMULATE: "enforce"}


@pytest.fixture(scope="module")
def process(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, endpoints=ENDPOINTS, endpointMode=MODES))


@pytest.fixture
def gateway(process: Gateway, upstream: RecordingUpstream) -> Gateway:
    """Let go of everything that a test has left."""
    for endpoint in ENDPOINTS:
        assert process.hold(endpoint, None)[0] == 200
    return process


def alert(endpoint: str = STRATEGIES, began: float = 1, **changes: Any) -> dict[str, Any]:
    """Return a firing alert that began so many seconds from now."""
    labels = {"alertname": "StageInvalidRateCeiling", "severity": "critical", "action": "demote", "endpoint": endpoint}
    starts = (datetime.now(UTC) + timedelta(seconds=began)).isoformat()
    document = {"status": "firing", "labels": labels, "annotations": {"summary": "too much"}, "startsAt": starts}
    return {**document, **changes}


def post(gateway: Gateway, *alerts: dict[str, Any], **members: Any) -> tuple[int, dict[str, Any]]:
    document = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "gateways", "alerts": alerts}
    return call(gateway, "/-/alerts", json.dumps({**document, **members}).encode())


def call(gateway: Gateway, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    status, answer = gateway.call(path, method="POST", token=gateway.token(), body=body)
    document: dict[str, Any] = json.loads(answer)
    return status, document


def mode(gateway: Gateway, endpoint: str = STRATEGIES) -> str:
    found: str = gateway.status()["endpoints"][endpoint]["mode"]
    return found


class TestMode:
    def test_in_force_at_once(self, gateway: Gateway, upstream: RecordingUpstream) -> None:
        """An override is in force within 100 ms of the call, for traffic, status and metrics, and so is its end."""
        assert exchange(gateway.port, BAD).status == 422
        with within(0.1):
            status, answer = gateway.hold(STRATEGIES, "warn")
            response = exchange(gateway.port, BAD)
        assert (status, answer["mode"], answer["stored"]) == (200, "warn", True)
        assert (response.status, response.values("x-stage-warning")) == (200, ["reason=alias; count=1"])
        found = gateway.status()["endpoints"][STRATEGIES]
        assert (found["mode"], found["configuredMode"]) == ("warn", "enforce")
        assert found["override"].items() >= {"reason": "a test", "by": "tester", "sources": ["person"]}.items()
        samples = gateway.metrics()
        assert samples.get("stage_gateway_override", endpoint=STRATEGIES, source="person") == 1
        assert samples.get("stage_gateway_endpoint_mode", endpoint=STRATEGIES, mode="warn") == 1
        assert samples.get("stage_gateway_endpoint_mode", endpoint=STRATEGIES, mode="enforce") == 0
        assert gateway.hold(STRATEGIES, None)[1]["mode"] == "enforce"
        assert exchange(gateway.port, BAD).status == 422
        assert gateway.metrics().get("stage_gateway_override", endpoint=STRATEGIES, source="person") == 0

    def test_reload_makes_nothing_stricter(self, gateway: Gateway) -> None:
        """An override outlasts reloads, also ones without the endpoint, and holds it when it comes back."""
        good = json.loads(gateway.file.read_text())
        gateway.hold(STRATEGIES, "warn")
        gateway.reload()
        assert mode(gateway) == "warn"
        rest = {SIMULATE: ENDPOINTS[SIMULATE]}
        gateway.write({**good, "endpoints": rest, "endpointMode": {SIMULATE: "enforce"}})
        gateway.reload()
        assert STRATEGIES not in gateway.status()["endpoints"]
        assert gateway.metrics().series("stage_gateway_override").keys() == {
            frozenset({("endpoint", SIMULATE), ("source", source)}) for source in ("person", "alert", "damaged_state")
        }
        gateway.write(good)
        gateway.reload()
        assert (mode(gateway), exchange(gateway.port, BAD).status) == ("warn", 200)

    def test_configuration_is_only_read(self, gateway: Gateway) -> None:
        """Overrides by a person and by an alert leave the configuration file and its folder as they are."""

        def found() -> tuple[bytes, int, int]:
            return gateway.file.read_bytes(), gateway.file.stat().st_mtime_ns, gateway.folder.stat().st_mtime_ns

        before = found()
        gateway.hold(SIMULATE, "warn")
        post(gateway, alert())
        gateway.hold(STRATEGIES, None)
        gateway.reload()
        assert (found(), mode(gateway, SIMULATE), mode(gateway)) == (before, "warn", "enforce")

    def test_endpoint_that_is_gone_can_be_cleared(self, gateway: Gateway) -> None:
        """What holds an endpoint that a reload took away can be cleared before it comes back."""
        good = json.loads(gateway.file.read_text())
        gateway.hold(STRATEGIES, "warn")
        gateway.write({**good, "endpoints": {SIMULATE: ENDPOINTS[SIMULATE]}, "endpointMode": {}})
        gateway.reload()
        try:
            assert gateway.hold(STRATEGIES, None)[1].items() >= {"mode": None, "override": None, "stored": True}.items()
            assert gateway.hold(STRATEGIES, None)[0] == 404
        finally:
            gateway.write(good)
            gateway.reload()
        assert mode(gateway) == "enforce"

    def test_less_strict_file(self, gateway: Gateway) -> None:
        """Where the file is less strict than the override, the file is in force."""
        good = json.loads(gateway.file.read_text())
        gateway.hold(STRATEGIES, "warn")
        gateway.write({**good, "endpointMode": {STRATEGIES: "off"}})
        gateway.reload()
        assert mode(gateway) == "off"
        gateway.write(good)
        gateway.reload()
        assert mode(gateway) == "warn"

    def test_time_limit(self, gateway: Gateway) -> None:
        """An override for a time ends by itself, soon after its end, and that is told."""
        told = len(gateway.logs("override expired"))
        assert gateway.hold(STRATEGIES, "off", seconds=0.3)[1]["mode"] == "off"
        gateway.wait_for_log("override expired", count=told + 1, timeout=2)
        assert (mode(gateway), exchange(gateway.port, BAD).status) == ("enforce", 422)

    def test_audit(self, gateway: Gateway) -> None:
        """Every change is one line of log with what, where, why and who."""
        before = len(gateway.logs("override set")), len(gateway.logs("override cleared"))
        gateway.hold(STRATEGIES, "warn", reason="partner", by="ann@host")
        gateway.hold(STRATEGIES, None, by="bob@host")
        one = gateway.wait_for_log("override set", count=before[0] + 1)
        told = {"endpoint": STRATEGIES, "mode": "warn", "reason": "partner", "by": "ann@host", "source": "person"}
        assert one.items() >= {**told, "logger": "gateway.audit"}.items()
        two = gateway.wait_for_log("override cleared", count=before[1] + 1)
        assert two.items() >= {"endpoint": STRATEGIES, "clearedBy": "bob@host"}.items()
        assert (len(gateway.logs("override set")), len(gateway.logs("override cleared"))) == (
            before[0] + 1,
            before[1] + 1,
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"mode": "enforce"},
            {"mode": "Warn"},
            {"mode": 1},
            {"reason": None},
            {"reason": "  "},
            {"reason": "x" * 501},
            {"seconds": 0},
            {"seconds": -1},
            {"seconds": 1e12},
            {"seconds": float("nan")},
            {"seconds": "long"},
            {"nonsense": 1},
            {"rehearse": "no"},
            {"rehearse": 1},
            {"endpoint": ""},
            {"endpoint": None},
        ],
        ids=str,
    )
    def test_call_that_is_wrong(self, gateway: Gateway, changes: dict[str, Any]) -> None:
        """A call that asks for what cannot be is 422, names the member and changes nothing."""
        document = {"endpoint": STRATEGIES, "mode": "warn", "reason": "r", **changes}
        status, answer = call(gateway, "/-/mode", json.dumps(document).encode())
        assert (status, mode(gateway)) == (422, "enforce")
        assert next(iter(changes)) in answer["detail"]

    @pytest.mark.parametrize("asked", ["off", "warn", None])
    def test_rehearsal(self, gateway: Gateway, asked: str | None) -> None:
        """A call that is rehearsed is answered with what is in force, and changes, stores and logs nothing."""
        gateway.hold(STRATEGIES, "warn", reason="before")
        before = gateway.status()["endpoints"], content(gateway), len(gateway.logs())
        status, answer = gateway.hold(STRATEGIES, asked, rehearse=True)
        assert status == 200
        assert answer == {
            "endpoint": STRATEGIES,
            "mode": "warn",
            "override": before[0][STRATEGIES]["override"],
            "rehearsed": True,
            "storeError": None,
        }
        assert (gateway.status()["endpoints"], content(gateway), len(gateway.logs())) == before

    @pytest.mark.parametrize(
        ("token", "changes", "expected"),
        [
            ("wrong", {}, 401),
            (None, {}, 401),
            ("right", {"endpoint": "/api/nonsense"}, 404),
            ("right", {"reason": None}, 422),
            ("right", {"mode": "enforce"}, 422),
        ],
    )
    def test_rehearsal_of_what_would_be_refused(
        self, gateway: Gateway, token: str | None, changes: dict[str, Any], expected: int
    ) -> None:
        """A rehearsal is refused where the call itself would be."""
        document = {"endpoint": STRATEGIES, "mode": "warn", "reason": "r", "rehearse": True, **changes}
        given = gateway.token() if token == "right" else token
        body = json.dumps(document).encode()
        assert gateway.call("/-/mode", method="POST", token=given, body=body)[0] == expected

    def test_rehearsal_where_nothing_can_be_stored(self, recorder: RecordingUpstream, tmp_path: Path) -> None:
        """A rehearsal tells why an override could not be stored, and holds nothing."""
        config = configuration(recorder.port, endpoints=ENDPOINTS, endpointMode=MODES, limits={"drainSeconds": 0.1})
        with Gateway(tmp_path, config) as gateway:
            token = gateway.token()
            gateway.state.rename(tmp_path / "moved")
            gateway.state.write_text("no directory")
            document = {"endpoint": STRATEGIES, "mode": "warn", "reason": "r", "rehearse": True}
            body = json.dumps(document).encode()
            status, answer = gateway.call("/-/mode", method="POST", token=token, body=body)
            assert (status, mode(gateway)) == (200, "enforce")
            assert "overrides.json: cannot be written" in json.loads(answer)["storeError"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"mode": "warn"}'])
    def test_body_that_is_none(self, gateway: Gateway, body: bytes) -> None:
        """A body that is no call is 422."""
        assert call(gateway, "/-/mode", body)[0] == 422

    def test_unknown_endpoint(self, gateway: Gateway) -> None:
        """An endpoint that is none is 404, and the answer lists those there are."""
        status, answer = gateway.hold("/api/nonsense", "warn")
        assert status == 404
        assert STRATEGIES in answer["detail"]


def content(gateway: Gateway) -> dict[str, bytes]:
    """Return every file in the gateway's directory."""
    return {file.name: file.read_bytes() for file in gateway.state.iterdir()}


class TestAlerts:
    def test_demotion(self, gateway: Gateway, upstream: RecordingUpstream) -> None:
        """A firing alert that asks for it sets its endpoint to warn without an end, told as an alert's."""
        status, answer = post(gateway, alert())
        assert (status, answer) == (200, {"demoted": [STRATEGIES], "ignored": [], "stored": True})
        assert exchange(gateway.port, BAD).status == 200
        override = gateway.status()["endpoints"][STRATEGIES]["override"]
        assert (override["mode"], override["until"], override["sources"]) == ("warn", None, ["alert"])
        assert override["reason"] == "StageInvalidRateCeiling: too much"
        assert gateway.metrics().get("stage_gateway_override", endpoint=STRATEGIES, source="alert") == 1

    def test_repeat_and_end(self, gateway: Gateway) -> None:
        """A repeat and the alert's end change nothing: the demotion stays as it is."""
        post(gateway, alert())
        before = gateway.status()["endpoints"][STRATEGIES]["override"]
        assert post(gateway, alert())[1]["demoted"] == []
        assert post(gateway, alert(status="resolved"), status="resolved")[1]["demoted"] == []
        assert gateway.status()["endpoints"][STRATEGIES]["override"] == before

    def test_alert_that_a_person_has_answered(self, gateway: Gateway) -> None:
        """After a person's clearing, an alert that began before it changes nothing, one that begins later does."""
        old = alert(began=-0.1)
        post(gateway, old)
        gateway.hold(STRATEGIES, None)
        status, answer = post(gateway, old)
        assert (status, answer["demoted"], mode(gateway)) == (200, [], "enforce")
        assert "a person cleared" in answer["ignored"][0]
        assert post(gateway, alert(began=0.1))[1]["demoted"] == [STRATEGIES]

    def test_answer_outlasts_a_restart(self, recorder: RecordingUpstream, tmp_path: Path) -> None:
        """After a restart the alert that a person had answered changes nothing, and the next one demotes."""
        config = configuration(recorder.port, endpoints=ENDPOINTS, endpointMode=MODES, limits={"drainSeconds": 0.1})
        old = alert(began=-0.1)
        with Gateway(tmp_path, config) as first:
            post(first, old)
            assert first.hold(STRATEGIES, None)[1]["mode"] == "enforce"
        with Gateway(tmp_path, config) as again:
            assert (post(again, old)[1]["demoted"], mode(again)) == ([], "enforce")
            assert post(again, alert(began=0.1))[1]["demoted"] == [STRATEGIES]
        with Gateway(tmp_path, config) as last:
            assert mode(last) == "warn"

    def test_alert_without_a_beginning(self, gateway: Gateway) -> None:
        """An alert that does not say when it began demotes."""
        one = alert()
        del one["startsAt"]
        assert post(gateway, one)[1]["demoted"] == [STRATEGIES]

    def test_off_stays_off(self, gateway: Gateway) -> None:
        """A demotion makes nothing stricter, and outlasts the person's override."""
        gateway.hold(STRATEGIES, "off")
        post(gateway, alert())
        assert mode(gateway) == "off"
        told = len(gateway.logs("override expired"))
        gateway.hold(STRATEGIES, "warn", seconds=0.1)
        gateway.wait_for_log("override expired", count=told + 1)
        assert mode(gateway) == "warn"

    @pytest.mark.parametrize(
        ("one", "why"),
        [
            (alert(status="resolved"), "only a person"),
            (alert(SIMULATE), "autoDemote is not set"),
            (alert("/api/nonsense"), "no such endpoint"),
            (alert(labels={"alertname": "X", "action": "demote"}), "no such endpoint"),
            (alert(labels={"alertname": "X", "endpoint": STRATEGIES}), "does not ask"),
            (alert(labels={"alertname": "X", "endpoint": STRATEGIES, "action": "page"}), "does not ask"),
            (alert(labels={}), "does not ask"),
        ],
        ids=["resolved", "not allowed", "unknown", "no endpoint", "no action", "other action", "no labels"],
    )
    def test_alert_that_changes_nothing(self, gateway: Gateway, one: dict[str, Any], why: str) -> None:
        """An alert that demotes nothing is answered with 200, so that it is not sent again, and the reason."""
        status, answer = post(gateway, one)
        assert (status, answer["demoted"]) == (200, [])
        assert why in answer["ignored"][0]
        assert (mode(gateway), mode(gateway, SIMULATE)) == ("enforce", "enforce")

    def test_one_of_many(self, gateway: Gateway) -> None:
        """Of many alerts each is followed or not by itself; no more than 20 of the others are listed."""
        status, answer = post(gateway, *(alert(f"/api/{number}") for number in range(1000)), alert())
        assert (status, answer["demoted"], len(answer["ignored"])) == (200, [STRATEGIES], 20)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"\xff", b'{"version": "4"}', b'{"version": "3", "alerts": []}', b'{"alerts": []}'],
    )
    def test_foreign_body(self, gateway: Gateway, body: bytes) -> None:
        """A body that is not Alertmanager's version 4 is 400."""
        assert call(gateway, "/-/alerts", body)[0] == 400

    def test_wrong_alert(self, gateway: Gateway) -> None:
        """An alert of a wrong form is 400 without an echo of it, and the ones beside it are not followed."""
        status, answer = post(gateway, alert(), {"status": "s3cret"})
        assert (status, mode(gateway)) == (400, "enforce")
        assert "s3cret" not in json.dumps(answer)

    def test_no_alerts(self, gateway: Gateway) -> None:
        """A webhook without alerts is followed: there is nothing to do."""
        assert post(gateway) == (200, {"demoted": [], "ignored": [], "stored": True})


@pytest.mark.parametrize("path", ["/-/mode", "/-/alerts"])
class TestBoth:
    def test_huge_body(self, gateway: Gateway, path: str) -> None:
        """A body over a MiB is 413."""
        assert call(gateway, path, b" " * (1024 * 1024 + 1))[0] == 413

    @pytest.mark.parametrize("token", [None, "", "wrong"])
    def test_token(self, gateway: Gateway, path: str, token: str | None) -> None:
        """Without the token, or with another one, the answer is 401 and nothing changes."""
        document = {"version": "4", "alerts": [alert()], "endpoint": STRATEGIES, "mode": "warn", "reason": "r"}
        body = json.dumps(document).encode()
        assert gateway.call(path, method="POST", token=token, body=body)[0] == 401
        assert mode(gateway) == "enforce"

    def test_is_no_get(self, gateway: Gateway, path: str) -> None:
        """A changing call is a POST."""
        assert gateway.call(path, token=gateway.token())[0] == 405
