"""`stage-gateway demo`: the sample upstreams, a gateway in front of them, and requests to try."""

import asyncio
import json
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web

from gateway.demo.upstreams import MonteCarlo, Portfolio
from gateway.errors import GatewayError
from gateway.rules.load import Rules, load
from gateway.server.app import App
from gateway.settings import Settings

_SAMPLES: Mapping[str, type[Portfolio] | type[MonteCarlo]] = MappingProxyType(
    {"portfolio": Portfolio, "monteCarlo": MonteCarlo}
)


@dataclass(frozen=True, slots=True)
class SampleRequest:
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


def sample_requests() -> tuple[SampleRequest, ...]:
    """Return the requests of the demo, each with what it shows."""
    strategy = {
        "name": "Core early stage",
        "modelType": "strategic",
        "checkSizeRange": {"min": 250_000, "max": 2_000_000},
        "sectorAllocation": {"fintech": 0.5, "health": 0.5},
    }
    return (
        SampleRequest(
            "passes: every stage is canonical",
            "POST",
            "/api/portfolio/strategies?fundId=1",
            {**strategy, "stageAllocation": {"seed": 0.4, "series-a": 0.6}},
            201,
        ),
        SampleRequest(
            "is refused with 422: the endpoint persists, and is at enforce",
            "POST",
            "/api/portfolio/strategies?fundId=1",
            {**strategy, "stageAllocation": {"Seed": 0.4, "Series A": 0.6}},
            422,
        ),
        SampleRequest(
            "passes with a warning: reads never block",
            "GET",
            "/api/funds/7/companies?stage=Series%20A",
            None,
            200,
            "X-Stage-Warning",
        ),
        SampleRequest(
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


def _configuration(ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "endpointMode": {"/api/portfolio/strategies": "enforce", "/api/portfolio/strategies/:id": "enforce"},
        "dryRun": True,
        "upstreams": {name: {"url": f"http://127.0.0.1:{port}"} for name, port in ports.items()},
        "limits": {"drainSeconds": 1},
    }


async def run_demo(settings: Settings, say: Callable[[str], None], *, once: bool) -> bool:
    """Serve the demo and print requests to try; with `once` make them, show the answers, and end.

    Returns whether every request made had the answer it should have.
    """
    anywhere = dict.fromkeys(_SAMPLES, ("127.0.0.1", 0))
    async with _upstreams(anywhere) as ports:
        with tempfile.TemporaryDirectory(prefix="stage-gateway-demo-") as folder:
            config = Path(folder) / "gateway.json"
            config.write_text(json.dumps(_configuration(ports), indent=2) + "\n", encoding="utf-8")
            own = {"config": config, "host": "127.0.0.1", "state": folder, "admin_token_file": None, "dry_run": None}
            return await _serve(settings.model_copy(update=own), say, once=once)


async def run_upstreams(rules: Rules, say: Callable[[str], None]) -> None:
    """Serve the sample upstreams alone, where a configuration has them, until SIGTERM.

    Raises GatewayError when it has neither, or one cannot listen there.
    """
    places = {name: (one.host, one.port) for name, one in rules.upstreams.items() if name in _SAMPLES}
    if not places:
        raise GatewayError(f"{rules.source}: none of the upstreams is named {' or '.join(_SAMPLES)}")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with _upstreams(places) as ports:
        for name, port in ports.items():
            say(f"{name} serves on http://{places[name][0]}:{port}.")
        await ended.wait()


@asynccontextmanager
async def _upstreams(places: Mapping[str, tuple[str, int]]) -> AsyncIterator[dict[str, int]]:
    """Serve the named ones at these places, and yield their ports; 0 takes any free one."""
    async with AsyncExitStack() as running:
        ports = {}
        for name, (host, port) in places.items():
            runner = web.AppRunner(_SAMPLES[name]().application(), access_log=None)
            await runner.setup()
            running.push_async_callback(runner.cleanup)
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise GatewayError(f"{host}:{port}: {name} cannot listen there: {error.strerror}") from error
            ports[name] = runner.addresses[0][1]
        yield ports


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
    say(f"It runs with {settings.config}; change the file, then reload it: kill -HUP {os.getpid()}\n")
    for sample in sample_requests():
        say(f"# {sample.title}\n{sample.curl(address)}\n")
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
        for sample in sample_requests():
            url = address + sample.target
            async with session.request(sample.method, url, json=sample.body) as response:
                text = await response.text()
                expected = response.status == sample.status and (
                    sample.field is None or sample.field in response.headers
                )
                good = good and expected
                shown = [f"{n}: {v}" for n, v in response.headers.items() if n.lower().startswith("x-stage-")]
                mark = "ok" if expected else f"NOT AS EXPECTED ({sample.status})"
                say(f"[{mark}] {sample.title}\n  {response.status} {' '.join(shown)}\n  {text}\n")
    return good
