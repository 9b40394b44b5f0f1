"""The demo as people run it, and the sample upstreams on their own."""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from support.clock import PATIENCE
from support.process import COMMAND, configuration
from support.prometheus import free_port
from support.wire import exchange, request

from gateway.demo.run import sample_requests
from gateway.demo.upstreams import MonteCarlo, Portfolio

DEMO = [str(COMMAND), "demo", "--port", "0", "--admin-port", "0"]


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_GATEWAY_") and k != "DRY_RUN"}
    return {**inherited, "PYTHONUNBUFFERED": "1", **(given or {})}


@pytest.mark.parametrize(
    "env",
    [{}, {"DRY_RUN": "false"}, {"STAGE_GATEWAY_CONFIG": "/nowhere", "STAGE_GATEWAY_STATE": "/proc/nowhere"}],
    ids=["plain", "dry run", "other settings"],
)
def test_demo_once_makes_every_request_and_ends(env: dict[str, str]) -> None:
    """`demo --once` gets the answer it announced to each request, whatever the environment says, and ends with 0."""
    made = subprocess.run(
        [*DEMO, "--once"], env=environment(env), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (made.returncode, re.findall(r"^\[(.*?)\]", made.stdout, re.MULTILINE)) == (
        0,
        ["ok"] * len(sample_requests()),
    )
    assert all(f"# {sample.title}" in made.stdout for sample in sample_requests())
    assert "Traceback" not in made.stderr


@contextmanager
def running_demo() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Give a demo that waits for Ctrl-C, and the lines it printed up to there."""
    with subprocess.Popen(
        DEMO, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        guard = threading.Timer(30, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("Press Ctrl-C"):
                    break
            yield process, lines
        finally:
            guard.cancel()
            process.kill()


def test_demo_serves_what_it_prints_until_interrupted() -> None:
    """The printed requests can be made as they stand; Ctrl-C ends the demo with 130 and without a word more."""
    with running_demo() as (process, lines):
        ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", lines[0])]
        for sample, line in zip(sample_requests(), [line for line in lines if line.startswith("curl ")], strict=True):
            words = shlex.split(line)
            target = words[-1].partition(f":{ports[0]}")[2]
            body = words[words.index("-d") + 1].encode() if "-d" in words else None
            response = exchange(ports[0], request(sample.method, target, body=body))
            assert response.status == sample.status
            assert sample.field is None or response.values(sample.field)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/readyz", timeout=PATIENCE) as ready:
            assert ready.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert "Traceback" not in errors


async def served(application: web.Application) -> TestClient[web.Request, web.Application]:
    client = TestClient(TestServer(application))
    await client.start_server()
    return client


async def test_portfolio_keeps_strategies() -> None:
    """A strategy is made, read, replaced and forgotten by its id, with whatever stages it was given."""
    client = await served(Portfolio().application())
    path = "/api/portfolio/strategies"
    try:
        made = await client.post(path, json={"name": "a", "stageAllocation": {"Series A": 1}})
        assert (made.status, await made.json()) == (201, {"id": 1, "name": "a", "stageAllocation": {"Series A": 1}})
        replaced = await client.put(f"{path}/1", json={"name": "b", "id": 9})
        assert (replaced.status, await replaced.json()) == (200, {"id": 1, "name": "b"})
        assert await (await client.get(path)).json() == [{"id": 1, "name": "b"}]
        assert (await client.get(f"{path}/1")).status == 200
        assert (await client.delete(f"{path}/1")).status == 204
        for missing in ("1", "x", "٣"):
            assert (await client.get(f"{path}/{missing}")).status == 404
    finally:
        await client.close()


async def test_portfolio_lists_companies_by_stage() -> None:
    """The companies of a fund are all of them, or those of the stage asked for; of an unknown stage there are none."""
    client = await served(Portfolio().application())
    try:
        for query, count in (("", 3), ("?stage=series-a", 2), ("?stage=Series%20A", 0)):
            response = await client.get(f"/api/funds/7/companies{query}")
            assert (response.status, len(await response.json())) == (200, count)
    finally:
        await client.close()


async def simulate(client: TestClient[web.Request, web.Application], **body: Any) -> dict[str, Any]:
    response = await client.post("/api/monte-carlo/simulate", json=body)
    assert response.status == 200
    document: dict[str, Any] = json.loads(await response.read())
    return document


async def test_simulation_leaves_out_stages_it_does_not_know() -> None:
    """A wrong stage silently counts for nothing, and the same seed gives the same numbers."""
    client = await served(MonteCarlo().application())
    good = [{"stage": "seed", "weight": 0.4}, {"stage": "series-a", "weight": 0.6}]
    bad = [{"stage": "Seed", "weight": 0.4}, {"stage": "series-a", "weight": 0.6}, 5, {"weight": 1}, {"stage": []}]
    try:
        first, second = [await simulate(client, stageDistribution=good, runs=50, seed=3) for _ in range(2)]
        assert first == second
        assert (first["runs"], first["weightUnderstood"]) == (50, 1)
        assert first["p5"] <= first["median"] <= first["p95"]
        assert (await simulate(client, stageDistribution=bad, runs=50))["weightUnderstood"] == 0.6
        assert (await simulate(client, runs=10**9))["runs"] == 10_000
    finally:
        await client.close()


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"5"])
@pytest.mark.parametrize("application", [Portfolio, MonteCarlo])
async def test_samples_refuse_what_is_no_json_object(application: type[Portfolio | MonteCarlo], body: bytes) -> None:
    """A body that is no JSON object is answered 400 by both samples."""
    client = await served(application().application())
    path = "/api/portfolio/strategies" if application is Portfolio else "/api/monte-carlo/simulate"
    try:
        assert (await client.post(path, data=body)).status == 400
    finally:
        await client.close()


WRONG: list[dict[str, Any]] = [
    *({"runs": None}, {"runs": "x"}, {"runs": []}, {"runs": 1e400}, {"runs": -5}, {"seed": None}, {"seed": "x"}),
    *({"stageDistribution": None}, {"stageDistribution": 5}, {"stageDistribution": {"stage": "seed"}}),
    {"stageDistribution": [{"stage": [], "weight": 1}]},
    {"stageDistribution": [{"stage": "seed", "weight": "heavy"}]},
]


@pytest.mark.parametrize("body", WRONG, ids=str)
async def test_simulation_never_fails_on_what_a_person_tries(body: dict[str, Any]) -> None:
    """Members of wrong types are answered with a result or a 400, never with a 500."""
    client = await served(MonteCarlo().application())
    try:
        response = await client.post("/api/monte-carlo/simulate", data=json.dumps(body))
        assert response.status in {200, 400}
    finally:
        await client.close()


def test_upstreams_alone_serve_where_the_configuration_has_them(tmp_path: Path) -> None:
    """`demo --upstreams` serves both APIs where the file has them until SIGTERM, or names the place that is taken."""
    portfolio, monte_carlo = free_port(), free_port()
    config = tmp_path / "gateway.json"
    config.write_text(json.dumps(configuration(portfolio, monte_carlo)))
    alone = [str(COMMAND), "demo", "--upstreams"]
    env = environment({"STAGE_GATEWAY_CONFIG": str(config)})
    with subprocess.Popen(alone, env=env, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(30, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"portfolio serves on http://127.0.0.1:{portfolio}.\n"
            assert process.stdout.readline() == f"monteCarlo serves on http://127.0.0.1:{monte_carlo}.\n"
            again = subprocess.run(alone, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert (again.returncode, again.stderr.count("\n")) == (2, 1)
            assert again.stderr.startswith(f"127.0.0.1:{portfolio}: portfolio cannot listen there")
            assert exchange(portfolio, request("GET", "/api/portfolio/strategies")).body == b"[]"
            answer = exchange(monte_carlo, request("POST", "/api/monte-carlo/simulate", body=b"{}"))
            assert json.loads(answer.body)["runs"] == 1000
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            guard.cancel()
            process.kill()


def test_upstreams_alone_need_one_that_they_know(tmp_path: Path) -> None:
    """`demo --upstreams` with a file that names neither of the two ends with 2 and says so."""
    config = tmp_path / "gateway.json"
    config.write_text(json.dumps({"upstreams": {"other": {"url": "http://127.0.0.1:9"}}}))
    made = subprocess.run(
        [COMMAND, "demo", "--upstreams"],
        env=environment({"STAGE_GATEWAY_CONFIG": str(config)}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (made.returncode, made.stderr) == (2, f"{config}: none of the upstreams is named portfolio or monteCarlo\n")
