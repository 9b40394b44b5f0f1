"""A plan, the file that gateways of a test read, and the commands `rollout` for them."""

import io
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.promotion.loading import load_plan
from gateway.promotion.plan import Plan
from support.process import COMMAND, Gateway, Serve, configuration
from support.wire import exchange, request

TOKEN = "the token of the tests"
STRATEGIES, SIMULATE = "/api/portfolio/strategies", "/api/monte-carlo/simulate"
GOOD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}')
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Sede":1}}')
PATIENT = {"minValidations": 5, "p99FloorSeconds": 2, "p99Factor": 1, "maxRefusedPercent": 0.5}
NAMES = ("1-base", "2-writes at 10 %", "2-writes at 100 %", "3-all at 50 %", "3-all at 100 %")


class Told:
    """A command that came to its end."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def all(self) -> str:
        return self.out + self.err

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def phases(port: int) -> dict[str, dict[str, Any]]:
    """Return the files of a plan that goes from warnings to writes to everything."""

    def phase(writes: str, reads: str) -> dict[str, Any]:
        modes = {STRATEGIES: writes, f"{STRATEGIES}/:id": writes, SIMULATE: reads}
        return {"$schema": "../gateway.schema.json", **configuration(port, endpointMode=modes, dryRun=True)}

    return {
        "1-base": phase("warn", "warn"),
        "2-writes": phase("enforce", "warn"),
        "3-all": phase("enforce", "enforce"),
    }


def write_plan(folder: Path, port: int, gates: Mapping[str, Any] | None = None) -> Path:
    """Write a plan of five steps and its phases; returns its file."""
    (folder / "phases").mkdir(parents=True, exist_ok=True)
    for name, document in phases(port).items():
        (folder / "phases" / f"{name}.json").write_text(json.dumps(document, indent=2))
    listed: list[dict[str, Any]] = [
        {"file": "phases/1-base.json"},
        {"file": "phases/2-writes.json", "percent": [10, 100]},
        {"file": "phases/3-all.json", "percent": {SIMULATE: [50, 100]}},
    ]
    file = folder / "rollout.json"
    file.write_text(json.dumps({"gates": {**PATIENT, **(gates or {})}, "phases": listed}))
    return file


@dataclass
class Rollout:
    """A folder with a plan and the file that gateways read, those gateways, and what commands are given."""

    folder: Path
    port: int
    gates: Mapping[str, Any] | None = None
    gateways: list[Gateway] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # addresses that are named as well

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = write_plan(self.folder, self.port, self.gates)
        self.target = self.folder / "gateway.json"
        self.token = self.folder / "token"
        self.token.write_text(TOKEN)
        self.put(1)

    @property
    def plan(self) -> Plan:
        return load_plan(self.file)

    def start(self, serve: Serve, number: int = 2, **environment: str) -> "Rollout":
        """Start gateways that read the file."""
        own = {
            "STAGE_GATEWAY_CONFIG": str(self.target),
            "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(self.token),
            "STAGE_GATEWAY_PLAN": str(self.file),
        }
        self.gateways += [serve({}, {**own, **environment}) for _ in range(number)]
        return self

    def put(self, number: int) -> None:
        """Put a step's file there, by hand."""
        self.target.write_text(self.plan.steps[number - 1].text)

    def reset(self, number: int) -> None:
        """Put all gateways at a step with nothing held."""
        self.put(number)
        for gateway in self.gateways:
            self.reload(gateway)
            for pattern in (STRATEGIES, f"{STRATEGIES}/:id", SIMULATE):
                gateway.call(
                    "/-/mode", method="POST", token=TOKEN, body=json.dumps({"endpoint": pattern, "mode": None}).encode()
                )

    def reload(self, gateway: Gateway) -> None:
        assert gateway.call("/-/reload", method="POST", token=TOKEN)[0] == 200

    def hold(self, gateway: Gateway, endpoint: str, **more: Any) -> None:
        change = {"endpoint": endpoint, "mode": "warn", "reason": "a person's", "by": "ann", **more}
        assert gateway.call("/-/mode", method="POST", token=TOKEN, body=json.dumps(change).encode())[0] == 200

    def words(self, *words: str) -> list[str]:
        admins = [f"http://127.0.0.1:{gateway.admin}" for gateway in self.gateways] + self.others
        named = [word for one in admins for word in ("--admin", one)]
        return ["rollout", *words, "--config", str(self.target), "--plan", str(self.file), *named]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGE_GATEWAY_")}
        own = {"STAGE_GATEWAY_STATE": str(self.folder / "no state"), "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(self.token)}
        return {**kept, **own, "COLUMNS": "250"}

    def __call__(self, *words: str) -> Told:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in [name for name in os.environ if name.startswith("STAGE_GATEWAY_")]:
                patch.delenv(name)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            code = main(self.words(*words))
        return Told(code, out.getvalue(), err.getvalue())

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own."""
        command: Sequence[str] = [str(COMMAND), *self.words(*words)]
        return subprocess.Popen(
            command, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def steps(self) -> list[int]:
        """Return the number of the step that each gateway has in force, 0 for none."""
        plan = self.plan
        found = [plan.at(gateway.status()["config"]["fingerprint"]) for gateway in self.gateways]
        return [0 if step is None else step.number for step in found]

    def on_disk(self) -> int:
        """Return the number of the step whose file is there."""
        from gateway.rules.load import load

        step = self.plan.at(load(self.target).fingerprint)
        return 0 if step is None else step.number

    def held(self) -> list[dict[str, str]]:
        """Return why endpoints are held, by gateway."""
        found = [gateway.status()["endpoints"] for gateway in self.gateways]
        return [{p: e["override"]["reason"] for p, e in endpoints.items() if e["override"]} for endpoints in found]

    def send(self, sent: bytes = GOOD, times: int = 5) -> None:
        """Send requests to every gateway."""
        for gateway in self.gateways:
            for _ in range(times):
                exchange(gateway.port, sent)

    def fill(self) -> None:
        """Make every figure of the next gate there and good."""
        simulation = request("POST", SIMULATE, body=b'{"stageDistribution":[{"stage":"seed","weight":1}]}')
        one = request("PUT", f"{STRATEGIES}/5", body=b'{"stageAllocation":{"seed":1}}')
        for sent in (GOOD, simulation, one):
            self.send(sent)
