"""Express as a process of its own, alone and behind the gateway, and the law that ties the two together."""

import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.process import STAGES, Gateway, configuration
from support.wire import Response, exchange, request

FOLDER = Path(__file__).parent.parent / "differential"
APPS = ("4-plain", "4-lax", "5-plain", "5-lax")
_NO_STAGE = None  # what stands where a stage should, and is none whatever it says
READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Whatever the client did wrong, and what the gateway does not speak: transfer codings, versions.
_REFUSALS = frozenset({*range(400, 500), 501, 505})
LOCATIONS: dict[str, list[dict[str, str]]] = {
    "/api/strategies": [{"keys": "/stageAllocation"}],
    "/api/strategies/:id": [{"keys": "/stageAllocation"}],
    "/api/simulate": [{"each": "/stageDistribution", "field": "stage"}],
    "/api/value": [{"value": "/stage"}, {"query": "stage"}],
    "/api/nested": [{"value": "/items/*/stage"}],
    "/api/funds/:fundId/companies": [{"query": "stage"}],
}


def enforcing(port: int) -> dict[str, Any]:
    """Return the configuration that refuses every wrong stage before Express on this port."""
    endpoints = {pattern: {"stages": stages} for pattern, stages in LOCATIONS.items()}
    return configuration(port, endpoints=endpoints, endpointMode=dict.fromkeys(LOCATIONS, "enforce"))


@dataclass(frozen=True)
class Understood:
    """What Express made of one request; `endpoint` is None when no route took it."""

    endpoint: str | None
    method: str
    params: dict[str, str]
    query: dict[str, Any]
    body: Any

    @property
    def is_write(self) -> bool:
        return self.method not in READS

    @property
    def stages(self) -> list[Any]:
        """Return whatever stands where this endpoint's stages stand, wrong things included."""
        found: list[Any] = []
        body = self.body if isinstance(self.body, dict) else {}
        match self.endpoint:
            case "/api/strategies" | "/api/strategies/:id":
                there = body.get("stageAllocation", {})
                found += there if isinstance(there, dict) else [_NO_STAGE]
            case "/api/simulate":
                there = body.get("stageDistribution", [])
                found += [_member(one, "stage") for one in there] if isinstance(there, list) else [_NO_STAGE]
            case "/api/value":
                found += [body["stage"]] if "stage" in body else []
            case "/api/nested":
                items = body.get("items")
                each = items.values() if isinstance(items, dict) else items if isinstance(items, list) else []
                found += [one["stage"] for one in each if isinstance(one, dict) and "stage" in one]
        if self.endpoint in {"/api/value", "/api/funds/:fundId/companies"}:
            found += _leaves(self.query.get("stage", []))
        return found

    @property
    def is_wrong(self) -> bool:
        """Whether a write carries a stage that is not canonical."""
        return self.is_write and any(stage not in STAGES for stage in self.stages)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else _NO_STAGE


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for one in value for leaf in _leaves(one)] if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Outcome:
    """One request sent twice: what Express made of it alone, the gateway's answer, what came through."""

    alone: list[Understood]
    response: Response
    behind: list[Understood]


class Express:
    """All four applications in one process."""

    def __init__(self, port: int) -> None:
        self.port = port

    def seen(self, identity: str) -> list[Understood]:
        """Return, once, what was understood of the requests with this id."""
        # On a connection of its own: Node closes one that idles for 5 s, while other tests run.
        found = json.loads(exchange(self.port, request("GET", "/", ("X-Seen", identity))).body)
        names = Understood.__dataclass_fields__
        return [Understood(**{name: one[name] for name in names}) for one in found]


@contextlib.contextmanager
def running() -> Iterator[Express]:
    """Run Express; skips the test where Node or the modules are not installed."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("needs Node and `npm ci` in tests/differential, which `make test` sees to")
    process = subprocess.Popen([node, "apps.js"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            yield Express(int(process.stdout.readline()))
        finally:
            process.terminate()


def _reads_otherwise_as_a_path(raw: bytes) -> bool:
    """Whether the target is absolute, and Node turns a backslash in it, which it leaves alone in a path."""
    target = raw.split(b" ", 2)[1]
    return b"://" in target and b"\\" in target


@dataclass(frozen=True)
class Pair:
    """Express alone, and the same Express behind a gateway that enforces."""

    express: Express
    gateway: Gateway

    def send(self, app: str, raw: bytes) -> Outcome:
        """Send the same bytes to both, and hold them to the law.

        A wrong stage that Express alone understands in a write is refused and never reaches it, and whatever
        reaches it is understood there as it would be alone. `raw` has no id and names no app yet.
        """
        identity = str(uuid.uuid4())
        line, _, rest = raw.partition(b"\r\n")
        raw = b"\r\n".join([line, f"X-App: {app}\r\nX-Request-Id: {identity}".encode(), rest])
        exchange(self.express.port, raw)
        alone = self.express.seen(identity)
        response = exchange(self.gateway.port, raw)
        behind = self.express.seen(identity)
        told = (raw, alone, response.head, response.body)
        refused = response.value("content-type") == "application/problem+json" and response.status in _REFUSALS
        if any(understood.is_wrong for understood in alone):
            assert refused, told
        if refused:
            assert behind == [], told
        assert not any(understood.is_wrong for understood in behind), told
        assert behind in ([], alone) or _reads_otherwise_as_a_path(raw), told
        return Outcome(alone, response, behind)

    def send_to_all(self, raw: bytes) -> dict[str, Outcome]:
        """Send a request to each of the applications."""
        return {app: self.send(app, raw) for app in APPS}


def passed(outcome: Outcome) -> bool:
    """Whether a request went through untouched, with stages in it that Express understood and found right."""
    stages = [stage for understood in outcome.behind for stage in understood.stages]
    return outcome.response.status == 200 and outcome.alone == outcome.behind and bool(stages)
