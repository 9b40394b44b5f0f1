"""A burst of invalid requests, from the first one to the person who clears the demotion, on the real servers."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.clock import PATIENCE, eventually
from support.process import COMMAND, Gateway, configuration
from support.prometheus import Server, alertmanager, free_port, prometheus
from support.redis import running
from support.upstream import RecordingUpstream
from support.wire import exchange, request

STRATEGIES = "/api/portfolio/strategies"
GOOD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}')
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')
QUICK = {"rate_window": "5s", "baseline_window": "30s", "baseline_offset": "3s", "minimum_requests": 5}
QUICK_ENDS = {"for": "1s", "keep_firing_for": "2s", "would_reject_for": "30s", "reload_memory": "60s"}


class Traffic:
    """Some twenty requests a second to each gateway."""

    def __init__(self) -> None:
        self._round = threading.Lock()
        self._good: tuple[int, ...] = ()
        self._bad: tuple[int, ...] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            with self._round:
                for port in self._good:
                    exchange(port, GOOD)
                for port in self._bad:
                    exchange(port, BAD)

    def send(self, *good: int, bad: tuple[int, ...] = ()) -> None:
        """Send good requests to these ports from now on and bad ones to those, and none to others."""
        with self._round:
            self._good, self._bad = good, bad

    @contextmanager
    def flowing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join(10)


class Scene:
    """Two gateways that share a Redis."""

    def __init__(self, folder: Path, port: int, redis: str, stack: ExitStack) -> None:
        endpoint = {"stages": [{"keys": "/stageAllocation"}], "autoDemote": True}
        modes = {STRATEGIES: "enforce"}
        limits = {"drainSeconds": 0.1}
        self._config = configuration(port, endpoints={STRATEGIES: endpoint}, endpointMode=modes, limits=limits)
        self._folder = folder
        self.token = folder / "token"
        self.token.write_text("the token\n")
        self._environment = {"STAGE_GATEWAY_STATE": redis, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(self.token)}
        self._stack = stack
        self._admin = {name: free_port() for name in ("asked", "other")}  # Prometheus finds them again after a restart

    def start(self, name: str) -> Gateway:
        (self._folder / name).mkdir(exist_ok=True)
        environment = {**self._environment, "STAGE_GATEWAY_ADMIN_PORT": str(self._admin[name])}
        return self._stack.enter_context(Gateway(self._folder / name, self._config, environment))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person does who has the token."""
        environment = {**os.environ, **self._environment}
        return subprocess.run(
            [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )


def mode(gateway: Gateway) -> str:
    found: str = gateway.status()["endpoints"][STRATEGIES]["mode"]
    return found


def firing(server: Server) -> bool:
    return bool(server.query('ALERTS{alertname="StageInvalidRateCeiling", alertstate="firing"}'))


def seen_on(server: Server, expression: str) -> int:
    """Return on how many gateways Prometheus sees what an expression selects."""
    return len({series["metric"]["instance"] for series in server.query(expression)})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def test_burst_demotes_until_a_person_clears(upstream: RecordingUpstream, tmp_path: Path, stack: ExitStack) -> None:
    """A burst on one gateway demotes both by the alert posted to the other, past its end, until a person clears."""
    store = stack.enter_context(running(tmp_path, password="s3cret"))
    scene = Scene(tmp_path, upstream.port, store.address, stack)
    asked, other = scene.start("asked"), scene.start("other")
    manager = stack.enter_context(alertmanager(tmp_path, f"http://127.0.0.1:{asked.admin}", scene.token))
    targets = {"stage-gateway": [asked.admin, other.admin], "stage-migration": [1]}  # no migration runs
    watching = stack.enter_context(prometheus(tmp_path, targets, manager.port, **QUICK, **QUICK_ENDS))
    traffic = Traffic()
    traffic.send(asked.port, other.port)
    with traffic.flowing():
        ratio = f'stage_validation_invalid_rate:ratio{{endpoint="{STRATEGIES}"}}'
        eventually(lambda: watching.query(f"{ratio} == 0"), timeout=20)
        judged = f'stage_validation_validations_total{{endpoint="{STRATEGIES}", result="pass"}} > 0'
        eventually(lambda: seen_on(watching, judged) == 2, timeout=20)
        assert not firing(watching)
        assert (exchange(asked.port, BAD).status, exchange(other.port, BAD).status) == (422, 422)

        traffic.send(asked.port, other.port, bad=(other.port,))
        eventually(lambda: mode(asked) == "warn", timeout=20)
        eventually(lambda: mode(other) == "warn", timeout=1.5)
        assert firing(watching)
        for gateway in (asked, other):
            response = exchange(gateway.port, BAD)
            assert (response.status, response.values("x-stage-warning")) == (200, ["reason=alias; count=1"])
            assert gateway.status()["endpoints"][STRATEGIES]["override"]["sources"] == ["alert"]
        [told] = asked.logs("override set")
        assert (told["source"], told["until"]) == ("alert", None)
        assert "StageInvalidRateCeiling" in told["reason"]
        demoted = f'stage_gateway_override{{endpoint="{STRATEGIES}", source="alert"}} == 1'
        eventually(lambda: seen_on(watching, demoted) == 2, timeout=20)

        traffic.send(asked.port)
        other.end()
        other = scene.start("other")
        assert (mode(other), exchange(other.port, BAD).status) == ("warn", 200)
        eventually(lambda: not firing(watching), timeout=20)
        assert (mode(asked), mode(other)) == ("warn", "warn")
        eventually(lambda: seen_on(watching, demoted) == 2, timeout=20)

        shown = scene.command("mode", "--json", "--admin", f"http://127.0.0.1:{other.admin}")
        [held] = json.loads(shown.stdout).values()
        assert held[STRATEGIES]["sources"] == ["alert"]
        cleared = scene.command("mode", "--clear", STRATEGIES, "--admin", f"http://127.0.0.1:{other.admin}")
        assert (cleared.returncode, cleared.stderr) == (0, "")
        assert exchange(other.port, BAD).status == 422
        eventually(lambda: mode(asked) == "enforce", timeout=1.5)
        assert exchange(asked.port, BAD).status == 422
        eventually(lambda: seen_on(watching, demoted) == 0, timeout=20)
