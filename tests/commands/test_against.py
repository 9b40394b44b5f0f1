"""`stage-gateway check --against` on running gateways: what it warns of, and how it exits."""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support.process import Gateway, Serve, configuration
from support.prometheus import free_port
from support.upstream import RecordingUpstream, answer
from support.wire import exchange, request
from support.workers import BAD, GOOD, STRATEGIES

from gateway.cli import main

SIMULATE = "/api/monte-carlo/simulate"
COMPANIES = "/api/funds/:fundId/companies"
STEADY = {"p99FloorSeconds": 2}  # a busy machine is no figure of these tests


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run where there is no plan, and no setting of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("PLAN", "PROMETHEUS_URL", "DATABASE_URL", "CONFIG"):
        monkeypatch.delenv(f"STAGE_GATEWAY_{name}", raising=False)


def config(port: int, mode: str = "enforce", **members: Any) -> dict[str, Any]:
    return configuration(port, endpointMode={STRATEGIES: mode}, dryRun=True, **members)


def check(file: Mapping[str, Any], gateways: Sequence[Gateway | str], *words: str) -> tuple[int, str, str]:
    """Check a file against gateways; returns the exit code, and what was printed on both streams."""
    Path("new.json").write_text(json.dumps(file), encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    urls = [one if isinstance(one, str) else f"http://127.0.0.1:{one.admin}" for one in gateways]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["check", "--config", "new.json", *(word for url in urls for word in ("--against", url)), *words])
    return code, out.getvalue(), err.getvalue()


def told(file: Mapping[str, Any], gateways: Sequence[Gateway | str]) -> tuple[int, dict[str, Any], set[str]]:
    """Return the exit code, the JSON, and what is warned of."""
    code, out, _ = check(file, gateways, "--json")
    document = json.loads(out)
    return code, document, {caution["kind"] for caution in document["cautions"]}


def send(gateway: Gateway, good: int, bad: int = 0) -> None:
    for sent in [GOOD] * good + [BAD] * bad:
        exchange(gateway.port, sent)


def test_nothing_changes(serve: Serve, upstream: RecordingUpstream) -> None:
    """The file that is in force may be put in force, on all gateways together."""
    gateways = [serve(config(upstream.port)) for _ in range(2)]
    code, out, err = check(config(upstream.port), gateways)
    assert (code, err) == (0, "")
    assert "nothing changes" in out
    assert out.endswith("may be put in force\n")
    code, document, _ = told(config(upstream.port), gateways)
    assert (code, document["may"], document["cautions"]) == (0, True, [])
    [group] = document["against"]
    assert (len(group["gateways"]), group["endpoints"], group["changes"]) == (2, [], [])
    assert group["config"] == document["config"]


def test_changes_are_shown(serve: Serve, upstream: RecordingUpstream) -> None:
    """A limit and a mode are shown with what they are and what they become, for people and for machines."""
    gateway = serve(config(upstream.port, "warn"))
    then = config(upstream.port, "warn", limits={"maxBodyBytes": 5000}, enforcementPercent=50)
    then["endpointMode"][COMPANIES] = "off"
    code, document, kinds = told(then, [gateway])
    assert (code, kinds) == (0, set())  # it only reads
    [group] = document["against"]
    assert {"place": "$.limits.maxBodyBytes", "now": 104857600, "then": 5000} in group["changes"]
    [endpoint] = group["endpoints"]
    assert endpoint == {
        "endpoint": COMPANIES,
        "now": {"mode": "warn", "percent": 0},
        "then": {"mode": "off", "percent": 0},
    }
    _, out, _ = check(then, [gateway])
    for line in (("$.limits.maxBodyBytes", "104857600", "5000"), (COMPANIES, "warn", "off")):
        assert any(all(word in row for word in line) for row in out.splitlines())


def test_more_is_enforced_than_figures_allow(serve: Serve, upstream: RecordingUpstream) -> None:
    """Without figures and with bad ones an endpoint may not be enforced more, and the figures say why."""
    gateway = serve(config(upstream.port, "warn"))
    then = config(upstream.port, enforcementPercent=10)
    code, document, kinds = told(then, [gateway])
    assert (code, kinds, document["may"]) == (1, {"raises"}, False)
    [caution] = document["cautions"]
    assert caution["endpoint"] == STRATEGIES
    assert "INSUFFICIENT_DATA: validations" in caution["why"]
    assert "0, expected at least 1,000" in caution["why"]
    send(gateway, 0, 6)
    code, out, err = check(then, [gateway])
    assert code == 1
    assert "NOT_READY" in err
    assert "(6), expected at most 0.5 %" in err
    assert out.endswith("may not be put in force, see the warnings\n")


def test_next_step_of_the_plan(serve: Serve, upstream: RecordingUpstream) -> None:
    """The plan's next step goes by the plan's gates, a later one is told to be one, and going back asks for none."""
    Path("config").mkdir()
    for name, mode in (("watch", "warn"), ("enforce", "enforce")):
        Path(f"config/{name}.json").write_text(json.dumps(config(upstream.port, mode)), encoding="utf-8")
    phases: list[dict[str, Any]] = [{"file": "watch.json"}, {"file": "enforce.json", "percent": [10, 100]}]
    plan = {"gates": {"minValidations": 5, **STEADY}, "phases": phases}
    Path("config/rollout.json").write_text(json.dumps(plan), encoding="utf-8")
    gateway = serve(config(upstream.port, "warn"))
    step = config(upstream.port, enforcementPercent=10)
    code, document, kinds = told(step, [gateway])
    assert (code, kinds) == (1, {"raises"})
    assert "INSUFFICIENT_DATA" in document["cautions"][0]["why"]
    send(gateway, 5)
    assert told(step, [gateway])[0::2] == (0, set())
    code, document, kinds = told(config(upstream.port), [gateway])
    assert (code, kinds) == (1, {"raises"})
    assert any("next is step 2" in caution["why"] for caution in document["cautions"])


def test_endpoint_that_begins_enforced(serve: Serve, upstream: RecordingUpstream) -> None:
    """An endpoint that is none yet has no figures, so it may not begin enforced."""
    gateway = serve(config(upstream.port))
    endpoints = {"/new": {"stages": [{"value": "/s"}]}}
    now = gateway.status()["config"]["document"]["endpoints"]
    then = config(upstream.port, endpoints={**now, **endpoints})
    assert told(then, [gateway])[0] == 0
    then["endpointMode"]["/new"] = "enforce"
    code, document, kinds = told(then, [gateway])
    assert (code, kinds) == (1, {"raises"})
    assert "let it begin at warn" in document["cautions"][0]["why"]


def test_writes_are_protected_less(serve: Serve, upstream: RecordingUpstream) -> None:
    """Less enforcement of writes, less inspection and aliases that pass are warned of; less of reads is not."""
    gateway = serve(config(upstream.port))
    weaker = [
        config(upstream.port, "warn"),
        config(upstream.port, enforcementPercent=50),
        config(upstream.port, vocabulary={"acceptAliases": True}),
    ]
    for then in weaker:
        code, _, kinds = told(then, [gateway])
        assert (code, kinds) == (1, {"lowers"})


def test_endpoint_with_traffic_is_dropped(serve: Serve, upstream: RecordingUpstream) -> None:
    """An endpoint that has had requests, or is held, is not dropped silently."""
    gateway = serve(config(upstream.port))
    endpoints = dict(gateway.status()["config"]["document"]["endpoints"])
    del endpoints[SIMULATE], endpoints[COMPANIES]
    then = config(upstream.port, endpoints=endpoints)
    assert told(then, [gateway])[0] == 0  # both only read, and nothing came
    exchange(gateway.port, request("GET", "/api/funds/7/companies?stage=seed"))
    assert gateway.hold(SIMULATE, "off")[0] == 200
    code, document, kinds = told(then, [gateway])
    assert (code, kinds) == (1, {"drops"})
    assert {caution["endpoint"] for caution in document["cautions"]} == {SIMULATE, COMPANIES}


def test_other_requests_are_chosen(serve: Serve, upstream: RecordingUpstream) -> None:
    """Another enforcement key is warned of."""
    code, _, kinds = told(config(upstream.port, enforcementKey="fundId"), [serve(config(upstream.port))])
    assert (code, kinds) == (1, {"enforcementKey"})


def test_gateways_differ(serve: Serve, upstream: RecordingUpstream) -> None:
    """Gateways with two configurations in force are warned of, each beside what would change there."""
    other = config(upstream.port, limits={"drainSeconds": 1})
    code, document, kinds = told(config(upstream.port), [serve(config(upstream.port)), serve(other)])
    assert (code, kinds) == (1, {"differ"})
    assert [len(group["changes"]) for group in document["against"]] == [0, 1]


def test_new_vocabulary_without_a_database(serve: Serve, upstream: RecordingUpstream) -> None:
    """Where no database is named, a new vocabulary is shown and the migration told not to be looked at."""
    then = config(upstream.port, vocabulary={"canonical": ["seed"]})
    gateway = serve(config(upstream.port))
    code, out, err = check(then, [gateway])
    assert code == 0
    assert "was not looked at: set STAGE_GATEWAY_DATABASE_URL" in err
    assert "$.vocabulary.canonical" in out
    assert len(told(then, [gateway])[1]["notLookedAt"]) == 1


def test_bad_file_and_gateway_that_is_away(serve: Serve, upstream: RecordingUpstream) -> None:
    """A bad file is 2 with all its faults; a gateway that cannot be reached is named and 3, the others are compared."""
    gateway = serve(config(upstream.port))
    assert check({"defaultMode": "of"}, [gateway])[0] == 2
    away = f"http://127.0.0.1:{free_port()}"
    code, out, err = check(config(upstream.port), [away, gateway])
    assert code == 3
    assert away in err
    assert "nothing changes" in out
    assert "may be put in force" not in out
    assert told(config(upstream.port), [away, gateway])[1]["may"] is False
    assert check(config(upstream.port), [away])[0] == 3
    assert check(config(upstream.port), [gateway], "--print")[0] == 2


@pytest.mark.parametrize("name", ["unknownValues", "endpoints", "dryRun"])
def test_gateway_that_tells_too_little(serve: Serve, upstream: RecordingUpstream, name: str) -> None:
    """One that hides its configuration is 1, as nothing was compared; one of another version is 3."""
    status = serve(config(upstream.port)).status()
    if name == "endpoints":
        status[name].clear()
    else:
        del status[name]
    body = json.dumps(status).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream.script = answer(head + body)
    code, out, err = check(config(upstream.port), [f"http://127.0.0.1:{upstream.port}"])
    assert "may be put in force" not in out
    assert code == (1 if name == "unknownValues" else 3)
    assert ("hides its configuration" in err) is (name == "unknownValues")
