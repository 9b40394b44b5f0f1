"""A place where a rollout is walked: two gateways with everything around them, in one folder as an operator has it.

Two gateways read one configuration file and share a Redis; Prometheus and, where it is asked for, Alertmanager watch
them; a PostgreSQL has rows in every spelling; traffic flows. Plan, phases and rules are the committed ones, but for
addresses, and numbers that let a test end: see `GATES` and `NUMBERS`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from gateway.rules.load import parse
from support.clock import PATIENCE, eventually
from support.migration import Migration
from support.postgres import EMBEDDED
from support.postgres import Server as Postgres
from support.process import COMMAND, Gateway
from support.prometheus import Server, alertmanager, free_port, prometheus
from support.redis import running
from support.rollout_traffic import ENDPOINTS, InForce, Traffic
from support.tables import TABLES
from support.upstream import RecordingUpstream

CONFIG = Path(__file__).parents[2] / "config"
# Few requests are enough; a p99 says nothing on a machine with better things to do.
GATES = {"minValidations": 150, "maxRefusedPercent": 1.4, "p99FloorSeconds": 1}
GATES_OF_A_LONG_WALK = {"minValidations": 1000, "maxRefusedPercent": 0.5, "p99FloorSeconds": 1}  # as in use
NUMBERS: Mapping[str, object] = {
    "rate_window": "5s",
    "baseline_window": "30s",
    "baseline_offset": "3s",
    "minimum_requests": 30,
    "invalid_floor": 0.05,
    "p99_floor_seconds": 1,
    "p99_ceiling_seconds": 2,
    "would_reject_for": "60s",
    "for": "3s",
    "keep_firing_for": "2s",
    "reload_memory": "60s",
}
ROWS = 400
RECORD = "requests.ndjson"


class Stand:
    """Everything is running. `folder` is where commands run, with `config/` in it."""

    def __init__(
        self,
        folder: Path,
        databases: Sequence[str],
        stack: ExitStack,
        first: Mapping[str, Any],
        *,
        demotes: bool,
        long: bool,
    ) -> None:
        self.folder = folder
        gates = GATES_OF_A_LONG_WALK if long else GATES
        self.enough = int(gates["minValidations"])
        self.database, scratch = databases
        self._stack = stack
        migration, *admin = (free_port() for _ in range(3))
        self.addresses = [f"http://127.0.0.1:{port}" for port in admin]
        self.admins = [word for address in self.addresses for word in ("--admin", address)]
        token = folder / "token"
        token.write_text("the token\n")
        manager = stack.enter_context(alertmanager(folder, self.addresses[0], token)).port if demotes else 1
        targets = {"stage-gateway": admin, "stage-migration": [migration]}
        self.prometheus: Server = stack.enter_context(prometheus(folder, targets, manager, **NUMBERS))
        portfolio, monte_carlo = (stack.enter_context(_upstream()).port for _ in range(2))
        file = _configured(folder, {"portfolio": portfolio, "monteCarlo": monte_carlo}, gates, first)
        shared = {
            "STAGE_GATEWAY_CONFIG": str(file),
            "STAGE_GATEWAY_PLAN": str(file.with_name("rollout.json")),
            "STAGE_GATEWAY_STATE": stack.enter_context(running(folder)).address,
            "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token),
        }
        self.gateways = [self._start(port, shared) for port in admin]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STAGE_GATEWAY_")},
            **shared,
            "STAGE_GATEWAY_DATABASE_URL": self.database,
            "STAGE_GATEWAY_PROMETHEUS_URL": f"http://127.0.0.1:{self.prometheus.port}",
            "PATH": f"{COMMAND.parent}:{EMBEDDED}:{os.environ['PATH']}",
            "COLUMNS": "200",
            # What the runbook's first block asks for beside these.
            "ADMIN": " ".join(self.addresses),
            "SCRATCH_DATABASE_URL": scratch,
            "MIGRATION_METRICS_PORT": str(migration),
            "RECORD": str(folder / str(admin[0]) / RECORD),
        }
        self.environment.pop("DRY_RUN", None)
        self.traffic = Traffic([gateway.port for gateway in self.gateways])
        self.traffic.allow(*self.in_force())
        stack.enter_context(self.traffic.flowing())
        eventually(lambda: len(self.prometheus.query('up{job="stage-gateway"} == 1')) == len(admin))

    def _start(self, port: int, environment: Mapping[str, str]) -> Gateway:
        folder = self.folder / str(port)
        folder.mkdir()
        own = {**environment, "STAGE_GATEWAY_ADMIN_PORT": str(port)}
        options = ["--record", str(folder / RECORD), "--record-per-second", "1000"]
        return self._stack.enter_context(Gateway(folder, {}, own, options))

    def phases(self) -> list[Path]:
        """Return the phases' files, in order."""
        return _phases(self.folder)

    def in_force(self) -> set[InForce]:
        """Return what the gateways have in force."""
        return {InForce.of(gateway.status()) for gateway in self.gateways}

    @contextmanager
    def changing(self, *, back: bool = False) -> Iterator[None]:
        """Let what is in force change meanwhile; on a way back every endpoint may be held at warn for a moment."""
        before = self.in_force()
        window = self.traffic.allow(*before, *({one.held() for one in before} if back else ()))
        yield
        after = self.in_force()
        window |= after | ({one.held() for one in after} if back else set())
        self.traffic.allow(*after)

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end as an operator does."""
        return subprocess.run(
            list(map(str, words)),
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the database; returns its rows."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def share(stand: Stand) -> dict[str, float]:
    """Return the share that is refused at each endpoint. Raises AssertionError while gateways differ."""
    [found] = stand.in_force()
    return dict(zip(ENDPOINTS, found.percent, strict=True))


def _phases(folder: Path) -> list[Path]:
    return sorted((folder / "config" / "phases").iterdir())


def _configured(folder: Path, ports: Mapping[str, int], gates: Mapping[str, object], first: Mapping[str, Any]) -> Path:
    """Copy the committed files, with these upstreams, and endpoints that an alert may demote; returns the gateways'."""
    config = folder / "config"
    config.mkdir()
    shutil.copytree(CONFIG / "phases", config / "phases")
    for path in _phases(folder):
        document = json.loads(path.read_text())
        document["upstreams"] = {name: {"url": f"http://127.0.0.1:{port}"} for name, port in ports.items()}
        document["endpoints"] = {
            name: {**{member: value for member, value in one.items() if value is not None}, "autoDemote": True}
            for name, one in parse(json.dumps(document), source=path.name).document["endpoints"].items()
        }
        document["limits"] = {"drainSeconds": 0.1}
        path.write_text(json.dumps(document, indent=2))
    plan = json.loads((CONFIG / "rollout.json").read_text())
    (config / "rollout.json").write_text(json.dumps({**plan, "gates": gates}, indent=2))
    shutil.copy(CONFIG / "migration.json", config)
    file = config / "gateway.json"
    file.write_text(json.dumps({**json.loads(_phases(folder)[0].read_text()), **first}, indent=2))
    return file


@contextmanager
def _upstream() -> Iterator[RecordingUpstream]:
    upstream = RecordingUpstream()
    try:
        yield upstream
    finally:
        upstream.close()


@contextmanager
def standing(folder: Path, *, demotes: bool = False, long: bool = False, **first: Any) -> Iterator[Stand]:
    """Set everything up in a folder. The gateways begin with the baseline, but for what `first` has instead.

    `demotes`: Alertmanager runs too, and posts to the first gateway. `long`: gates want as many requests as in use.
    """
    with ExitStack() as stack:
        server = stack.enter_context(Postgres())
        database, scratch = server.create("stages"), server.create("scratch")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(TABLES)
        Migration.fill_database(database, ROWS)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE portfoliocompanies SET stage = 'Series.A' WHERE id % 7 = 0")
            connection.execute("UPDATE portfoliocompanies SET stage = 'Growth' WHERE id % 101 = 0")
        yield Stand(folder, (database, scratch), stack, first, demotes=demotes, long=long)
