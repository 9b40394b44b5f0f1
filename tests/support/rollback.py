"""The command `rollback` on gateways and a database of a test's own, in this process or as one of its own."""

import json
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.migration import Ended, Migration
from support.process import COMMAND, Gateway
from support.prometheus import free_port

TOKEN = "the token of the tests"
STRATEGIES = "/api/portfolio/strategies"
ONE = "/api/portfolio/strategies/:id"
SIMULATE = "/api/monte-carlo/simulate"
COMPANIES = "/api/funds/:fundId/companies"
MODES = {STRATEGIES: "enforce", ONE: "enforce", SIMULATE: "warn", COMPANIES: "off"}
BACK = {STRATEGIES: "warn", ONE: "warn", SIMULATE: "warn", COMPANIES: "off"}
AUTO_DEMOTED = {STRATEGIES: {"stages": [{"keys": "/stageAllocation"}], "autoDemote": True}}
SECONDS = 2  # that modes and reads may take
PATIENT = 4  # for who does not answer: the bound, and what surrounds it


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.admin}"


@dataclass(frozen=True)
class Rollback:
    """What a person has in hand: addresses of gateways, a file with the token, a database and its files."""

    migration: Migration
    token: Path
    admins: tuple[str, ...]
    url: str | None = None

    def environment(self) -> dict[str, str]:
        made = {**self.migration.environment(self.url), "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(self.token)}
        made["STAGE_GATEWAY_STATE"] = str(self.migration.folder / "no state")
        if self.url == "":
            del made["STAGE_GATEWAY_DATABASE_URL"]
        return made

    def arguments(self, *options: str) -> list[str]:
        admins = [word for one in self.admins for word in ("--admin", one)]
        return [*self.migration.arguments("rollback", *options), *admins]

    def __call__(self, *options: str) -> Ended:
        return self.plainly(*self.arguments(*options))

    def plainly(self, *arguments: str, program: Iterable[str | Path] = (COMMAND,)) -> Ended:
        """Run a command just as it is, as a process of its own, with all that was given by the environment."""
        made = subprocess.run(
            [*map(str, program), *arguments], env=self.environment(), capture_output=True, text=True, check=False
        )
        return Ended(made.returncode, made.stdout, made.stderr)

    def together(self, *options: str) -> list[str]:
        """Return the lines of both streams in the order in which they came."""
        made = subprocess.run(
            (str(COMMAND), *self.arguments(*options)),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return made.stdout.splitlines()

    def document(self, *options: str) -> tuple[int, dict[str, Any]]:
        made = self(*options, "--json")
        document: dict[str, Any] = json.loads(made.out)
        return made.code, document


def modes(gateway: Gateway) -> Mapping[str, str]:
    """Return the mode in force of every endpoint."""
    return {pattern: endpoint["mode"] for pattern, endpoint in gateway.status()["endpoints"].items()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def hold(gateway: Gateway, endpoint: str, mode: str | None, **more: object) -> int:
    document = {"endpoint": endpoint, "mode": mode, "reason": "before", "by": "tester", **more}
    return gateway.call("/-/mode", method="POST", token=TOKEN, body=json.dumps(document).encode())[0]


def demote(gateway: Gateway, endpoint: str) -> None:
    labels = {"alertname": "Ceiling", "action": "demote", "endpoint": endpoint}
    document = {"version": "4", "alerts": [{"status": "firing", "labels": labels}]}
    body = json.dumps(document).encode()
    assert gateway.call("/-/alerts", method="POST", token=TOKEN, body=body)[0] == 200


def reads(migration: Migration) -> str:
    [(mode,)] = migration.execute("SELECT mode FROM stage_read_mode")
    return str(mode)


@contextmanager
def frozen(gateway: Gateway) -> Iterator[None]:
    gateway.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        gateway.signal(signal.SIGCONT)


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"
