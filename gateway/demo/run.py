"""`stage-gateway demo`: the sample upstreams, a gateway in front of them, and requests to try."""

import asyncio
import json
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.demo.upstreams import MonteCarlo, Portfolio
from gateway.rules.load import load
from gateway.server.app import App
from gateway.settings import Settings

_STRATEGY = {
    "name": "Core early stage",
    "modelType": "strategic",
    "checkSizeRange": {"min": 250_000, "max": 2_000_000},
    "sectorAllocation": {"fintech": 0.5, "health": 0.5},
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A request that shows one result, and what its response must look like."""

    title: str
    method: str
    target: str
    body: Any
    status: int
    field: str | None = None

    def curl(self, address: str) -> str:
        """Return the request as a line for a shell."""
        parts = ["curl", "-i"]
        if self.body is not None:
            parts += ["-H", "Content-Type: application/json", "-d", json.dumps(self.body)]
        return shlex.join([*parts, address + self.target])


TRIALS = (
    Trial(
        "passes: every stage is canonical",
        "POST",
        "/api/portfolio/strategies?fundId=1",
        {**_STRATEGY, "stageAllocation": {"seed": 0.4, "series-a": 0.6}},
        201,
    ),
    Trial(
        "is refused with 422: the endpoint persists, and is at enforce",
        "POST",
        "/api/portfolio/strategies?fundId=1",
        {**_STRATEGY, "stageAllocation": {"Seed": 0.4, "Series A": 0.6}},
        422,
    ),
    Trial(
        "passes with a warning: reads never block",
        "GET",
        "/api/funds/7/companies?stage=Series%20A",
        None,
        200,
        "X-Stage-Warning",
    ),
    Trial(
        "passes, and would be refused at enforce: the endpoint is at warn under dry run",
        "POST",
        "/api/monte-carlo/simulate",
        {
            "fundId": 1,
            "runs": 1000,
            "stageDistribution": [{"stage": "preseed", "weight": 0.4}, {"stage": "seed", "weight": 0.6}],
        },
        200,
        "X-Stage-Would-Reject",
    ),
)


def _configuration(portfolio: int, monte_carlo: int) -> dict[str, Any]:
    return {
        "endpointMode": {"/api/portfolio/strategies": "enforce", "/api/portfolio/strategies/:id": "enforce"},
        "dryRun": True,
        "upstreams": {
            "portfolio": {"url": f"http://127.0.0.1:{portfolio}"},
            "monteCarlo": {"url": f"http://127.0.0.1:{monte_carlo}"},
        },
        "limits": {"drainSeconds": 1},
    }


async def run_demo(settings: Settings, say: Callable[[str], None], *, once: bool) -> bool:
    """Serve the demo and print requests to try; with `once` make them, show the answers, and end.

    Returns whether every request made had the answer it should have.
    """
    ports: list[int] = []
    runners = []
    for application in (Portfolio().application(), MonteCarlo().application()):
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        runners.append(runner)
    try:
        with tempfile.TemporaryDirectory(prefix="stage-gateway-demo-") as folder:
            config = Path(folder) / "gateway.json"
            config.write_text(json.dumps(_configuration(*ports), indent=2) + "\n", encoding="utf-8")
            own = {"config": config, "host": "127.0.0.1", "state": folder, "admin_token_file": None, "dry_run": None}
            return await _serve(settings.model_copy(update=own), say, once=once)
    finally:
        for runner in runners:
            await runner.cleanup()


async def _serve(settings: Settings, say: Callable[[str], None], *, once: bool) -> bool:
    app = App(settings, load(settings.config, dry_run=settings.dry_run))
    ready: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(app.run(lambda port, admin: ready.set_result((port, admin))))
    serving.add_done_callback(lambda _: ready.cancel())
    try:
        await ready
    except asyncio.CancelledError:
        await serving  # it ended before it served, and says why
        raise
    port, admin = ready.result()
    address = f"http://127.0.0.1:{port}"
    say(f"The gateway serves on {address}, its metrics and status are on http://127.0.0.1:{admin}.")
    say(f"It runs with {settings.config}; change the file and send SIGHUP to this process to reload.\n")
    for trial in TRIALS:
        say(f"# {trial.title}\n{trial.curl(address)}\n")
    if not once:
        say("Press Ctrl-C to end.")
        await serving
        return True
    good = await try_all(address, say)
    app.stop()
    await serving
    return good


async def try_all(address: str, say: Callable[[str], None]) -> bool:
    """Make every request of the demo, show the answers; returns whether each was as it should be."""
    good = True
    async with aiohttp.ClientSession(trust_env=False) as session:
        for trial in TRIALS:
            url = address + trial.target
            async with session.request(trial.method, url, json=trial.body) as response:
                text = await response.text()
                expected = response.status == trial.status and (trial.field is None or trial.field in response.headers)
                good = good and expected
                shown = [f"{n}: {v}" for n, v in response.headers.items() if n.lower().startswith("x-stage-")]
                mark = "ok" if expected else f"NOT AS EXPECTED ({trial.status})"
                say(f"[{mark}] {trial.title}\n  {response.status} {' '.join(shown)}\n  {text}\n")
    return good
