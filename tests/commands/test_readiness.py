"""`stage-gateway readiness` on running gateways, by their own counts."""

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support.process import Gateway, Serve, configuration
from support.prometheus import free_port
from support.upstream import RecordingUpstream
from support.wire import exchange, request
from support.workers import BAD, GOOD, STRATEGIES, TWO

from gateway.cli import main

STEADY = {"p99FloorSeconds": 2}  # a busy machine is no figure of these tests


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run where there is no plan, and no setting of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("PLAN", "PROMETHEUS_URL", "DATABASE_URL"):
        monkeypatch.delenv(f"STAGE_GATEWAY_{name}", raising=False)


def config(port: int, percent: int = 100, **members: Any) -> dict[str, Any]:
    return configuration(
        port, endpointMode={STRATEGIES: "enforce"}, **{"enforcementPercent": percent, "dryRun": True, **members}
    )


def plan(folder: Path, port: int, least: int = 10, **members: Any) -> Path:
    """Write a plan of one phase, which climbs from 10 to 100 %."""
    (folder / "a.json").write_text(json.dumps(config(port, **members)))
    phase = {"file": "a.json", "percent": [10, 100]}
    file = folder / "plan.json"
    file.write_text(json.dumps({"gates": {"minValidations": least, **STEADY}, "phases": [phase]}))
    return file


def ask(gateways: list[Gateway], *words: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the answer as JSON, and what stands on standard error."""
    out, err = io.StringIO(), io.StringIO()
    admins = [word for one in gateways for word in ("--admin", f"http://127.0.0.1:{one.admin}")]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["readiness", *admins, "--json", *words])
    return code, json.loads(out.getvalue() or "{}"), err.getvalue()


def send(gateway: Gateway, good: int, bad: int = 0) -> None:
    for sent in [GOOD] * good + [BAD] * bad:
        exchange(gateway.port, sent)


def figures(told: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {one["figure"]: (one["value"], one["answer"]) for one in told["findings"]}


@pytest.mark.parametrize("environment", [{}, TWO], ids=["one process", "workers"])
def test_two_gateways_together(
    serve: Serve, recorder: RecordingUpstream, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    """The counts of all gateways decide together: enough good requests are READY, one bad one too many is not."""
    file = plan(tmp_path, recorder.port, least=20)
    gateways = [serve(config(recorder.port, 10), environment) for _ in range(2)]
    send(gateways[0], 10)
    send(gateways[1], 9)
    code, told, _ = ask(gateways, "--plan", str(file))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert figures(told)["validations"] == ("19", "INSUFFICIENT_DATA")
    send(gateways[1], 1)
    code, told, _ = ask(gateways, "--plan", str(file))
    assert (code, told["answer"], told["doubts"]) == (0, "READY", [])
    assert told["about"] == "from step 1 of 2, a at 10 %, to step 2, a at 100 %"
    send(gateways[0], 0, bad=1)
    code, told, _ = ask(gateways, "--plan", str(file))
    assert (code, told["answer"]) == (1, "NOT_READY")
    assert figures(told)["refused"] == ("4.76 % (1)", "NOT_READY")


def test_one_table_for_people(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """The first line is the answer and the step that it is about; a row is a figure beside its threshold."""
    gateway = serve(config(recorder.port, 10))
    out = io.StringIO()
    with redirect_stdout(out):
        words = ["--admin", f"http://127.0.0.1:{gateway.admin}", "--plan", str(plan(tmp_path, recorder.port))]
        code = main(["readiness", *words])
    lines = out.getvalue().splitlines()
    assert (code, lines[0]) == (1, "INSUFFICIENT_DATA: from step 1 of 2, a at 10 %, to step 2, a at 100 %")
    [row] = [line for line in lines if "validations" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][:5] == [
        "validations",
        STRATEGIES,
        "0",
        "at least 10",
        "INSUFFICIENT_DATA",
    ]


def test_without_a_plan(serve: Serve, recorder: RecordingUpstream) -> None:
    """Without a plan the default gates hold for what enforces or may write, and the answer says so."""
    code, told, _ = ask([serve(config(recorder.port))])
    assert (code, told["plan"], told["about"]) == (1, None, "there is no plan; judged by the default gates")
    assert figures(told)["validations"] == ("0", "INSUFFICIENT_DATA")
    assert STRATEGIES in {one["endpoint"] for one in told["findings"]}
    assert {one["threshold"] for one in told["findings"] if one["figure"] == "validations"} == {"at least 1,000"}


def test_after_the_last_step(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """With the last step in force the answer is about staying there, by the default gates."""
    _, told, _ = ask([serve(config(recorder.port))], "--plan", str(plan(tmp_path, recorder.port)))
    assert told["about"].startswith("to stay at step 2 of 2, a at 100 %, the last of the plan")
    assert told["next"] is None


def test_file_that_was_changed_otherwise(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A configuration that enforces as a step does, and differs otherwise, is found as that step, and told."""
    changed = config(recorder.port, 10, metrics={"maxFunds": 7})
    _, told, _ = ask([serve(changed)], "--plan", str(plan(tmp_path, recorder.port)))
    assert told["about"].startswith("from step 1 of 2, a at 10 % (by what it enforces")
    assert told["step"]["exact"] is False


def test_another_configuration(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A configuration that is no step of the plan is judged by the default gates, and told."""
    gateway = serve(config(recorder.port, 55))
    _, told, _ = ask([gateway], "--plan", str(plan(tmp_path, recorder.port)))
    assert "is no step of" in told["about"]
    assert told["step"] is None


def test_two_configurations(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Gateways with two configurations are a doubt that names both, whatever their figures."""
    gateways = [serve(config(recorder.port, percent)) for percent in (10, 25)]
    for gateway in gateways:
        send(gateway, 20)
    code, told, _ = ask(gateways, "--plan", str(plan(tmp_path, recorder.port)))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    [doubt] = told["doubts"]
    for gateway in gateways:
        assert f"{gateway.status()['config']['fingerprint']} at http://127.0.0.1:{gateway.admin}" in doubt


def test_gateway_that_does_not_answer(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """One gateway that does not answer is a doubt with its name; when none answers the exit code is 3."""
    gateway = serve(config(recorder.port, 10))
    send(gateway, 20)
    dead = f"http://127.0.0.1:{free_port()}"
    code, told, _ = ask([gateway], "--plan", str(plan(tmp_path, recorder.port)), "--admin", dead)
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert [doubt.startswith(f"{dead}/status: cannot be asked") for doubt in told["doubts"]] == [True]
    code, told, err = ask([], "--admin", dead)
    assert (code, told) == (3, {})
    assert dead in err


def test_dry_run_off(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Below 100 % without dry run nobody counts what would be refused: the figure is missing, with the cure."""
    gateway = serve(config(recorder.port, 10, dryRun=False))
    send(gateway, 20)
    code, told, _ = ask([gateway], "--plan", str(plan(tmp_path, recorder.port, dryRun=False)))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert figures(told)["refused"] == ("missing", "INSUFFICIENT_DATA")
    [why] = [one["why"] for one in told["findings"] if one["figure"] == "refused"]
    assert why == "not counted while dry run is off (10 %); set dryRun to true in the configuration"


def test_override(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """While an endpoint is held at warn the step in force is not measured: NOT_READY until it is cleared."""
    gateway = serve(config(recorder.port, 10))
    send(gateway, 20)
    file = plan(tmp_path, recorder.port)
    gateway.hold(STRATEGIES, "warn")
    code, told, _ = ask([gateway], "--plan", str(file))
    assert (code, told["answer"]) == (1, "NOT_READY")
    assert figures(told)["override"][0] == f"warn at http://127.0.0.1:{gateway.admin} (person)"
    gateway.hold(STRATEGIES, None)
    assert ask([gateway], "--plan", str(file))[0] == 0


def test_held_in_between_with_dry_run_off(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Without dry run nobody knows what of that which a hold let through would be refused: the figure is missing."""
    gateway = serve(config(recorder.port, 100, dryRun=False))
    file = plan(tmp_path, recorder.port, dryRun=False)
    send(gateway, 20)
    gateway.hold(STRATEGIES, "warn")
    send(gateway, 0, bad=20)
    gateway.hold(STRATEGIES, None)
    code, told, _ = ask([gateway], "--plan", str(file))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    [why] = [one["why"] for one in told["findings"] if one["figure"] == "refused"]
    assert why.startswith("20 invalid requests were let through while dry run is off, as by a hold; set dryRun")


def test_one_gateway_by_several_names(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A gateway that several addresses lead to is told as one, and its counts are no yes."""
    gateway = serve(config(recorder.port, 10))
    send(gateway, 10)
    address = f"http://127.0.0.1:{gateway.admin}"
    other = f"http://localhost:{gateway.admin}"
    code, told, _ = ask([gateway], "--plan", str(plan(tmp_path, recorder.port, least=20)), "--admin", other)
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert f"{other}: is the same gateway as {address}; name each once" in told["doubts"]


def test_failed_reload(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A file that could not be read again is a doubt: what is in force is not what stands in the file."""
    gateway = serve(config(recorder.port, 10))
    send(gateway, 20)
    gateway.write("{")
    gateway.reload()
    code, told, _ = ask([gateway], "--plan", str(plan(tmp_path, recorder.port)))
    assert (code, told["answer"]) == (1, "INSUFFICIENT_DATA")
    assert "the last reload" in told["doubts"][0]


def test_unknown_values_rise(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Unknown values are compared with their share before the step, once a hundred requests were counted then."""
    gateway = serve(config(recorder.port, 25))
    unknown = request("POST", STRATEGIES, body=b'{"stageAllocation":{"nonsense":1}}')
    send(gateway, 99)
    exchange(gateway.port, unknown)
    file = plan(tmp_path, recorder.port)
    document = json.loads(file.read_text())
    document["gates"]["maxRefusedPercent"] = 50
    file.write_text(json.dumps(document))
    gateway.write(config(recorder.port, 10))
    gateway.reload()
    send(gateway, 198)
    exchange(gateway.port, unknown)
    exchange(gateway.port, unknown)
    _, told, _ = ask([gateway], "--plan", str(file))
    assert figures(told)["unknown values"] == ("1 % (2)", "READY")
    for _ in range(2):
        exchange(gateway.port, unknown)
    code, told, _ = ask([gateway], "--plan", str(file))
    assert (code, told["answer"]) == (1, "NOT_READY")
    assert figures(told)["unknown values"] == ("1.98 % (4)", "NOT_READY")


def test_one_endpoint(serve: Serve, recorder: RecordingUpstream) -> None:
    """An endpoint that is named is judged by itself; one that there is not ends by 2, with the one that was meant."""
    gateway = serve(config(recorder.port))
    _, told, _ = ask([gateway], "/api/monte-carlo/simulate")
    assert {one["endpoint"] for one in told["findings"]} == {"/api/monte-carlo/simulate", None}
    code, _, err = ask([gateway], "/api/portfolio/strategy")
    assert code == 2
    assert f"did you mean '{STRATEGIES}'?" in err


def test_since_needs_prometheus(serve: Serve, recorder: RecordingUpstream) -> None:
    """Gateways count since one moment; another one can be asked of Prometheus alone."""
    code, _, err = ask([serve(config(recorder.port))], "--since", "2026-01-31T12:00:00Z")
    assert code == 2
    assert "set STAGE_GATEWAY_PROMETHEUS_URL" in err


def test_plan_that_is_not_there(serve: Serve, recorder: RecordingUpstream) -> None:
    """A plan that was named and cannot be read ends by 2; only the default one may be missing."""
    code, _, err = ask([serve(config(recorder.port))], "--plan", "elsewhere.json")
    assert code == 2
    assert "elsewhere.json" in err
