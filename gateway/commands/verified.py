"""What the verifier's report and the database say of a migration, for the gate of the step that follows it."""

import json
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.errors import ConfigurationError, GatewayError
from gateway.promotion.gates import Verification
from gateway.settings import Settings


def verification(settings: Settings, report: Path) -> Verification:
    """Return what is known of the migration's verifier, with what is missing and its cure."""
    try:
        document = _read(report)
        time = datetime.fromisoformat(document["time"])
        passed, vocabulary, run = document["holds"], document["vocabulary"], document["run"]
    except GatewayError as error:
        return Verification(problem=str(error))
    except (KeyError, TypeError, ValueError):
        return Verification(problem=f"{report}: is no report of verify; {_again(report)}")
    if not (isinstance(passed, bool) and isinstance(vocabulary, str) and time.tzinfo is not None):
        return Verification(problem=f"{report}: is no report of verify; {_again(report)}")
    return _beside_database(settings, report, run, Verification(None, passed, vocabulary, time))


def _read(report: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GatewayError(f"{report}: is not there; {_again(report)}, or name it with --report") from None
    except OSError as error:
        raise GatewayError(f"{report}: cannot be read: {error.strerror}; name another with --report") from error
    return document


def _again(report: Path) -> str:
    return f"make it with: stage-gateway verify --output {report}"


def _beside_database(settings: Settings, report: Path, of_run: object, found: Verification) -> Verification:
    if settings.database_url is None:
        return Verification(problem="the last run is not known; set STAGE_GATEWAY_DATABASE_URL")
    if find_spec("psycopg") is None:
        cure = "pip install 'stage-gateway[migration]'"
        return Verification(problem=f"the last run is not known without the PostgreSQL driver; get it with: {cure}")
    from gateway.commands.environment import SPEC
    from gateway.migration import ledger
    from gateway.migration.database import connected
    from gateway.migration.spec import load_spec

    try:
        with connected(settings.database_url, load_spec(SPEC), "readiness", writes=False) as connection:
            run = ledger.latest_run(connection)
    except ConfigurationError as error:
        return Verification(problem=f"the last run is not known: {'; '.join(str(error).splitlines())}")
    except GatewayError as error:
        return Verification(problem=f"the last run is not known: {error}")
    if run is None:
        return Verification(problem="the database knows of no run of the migration; start one with: migrate run")
    if run.run_id != of_run:
        return Verification(problem=f"{report}: is of run {of_run}, the last is {run.run_id}; {_again(report)}")
    ended = run.finished_at if run.status == "done" else None
    told = f"run {run.run_id} {run.status}"
    return Verification(None, found.passed, found.vocabulary, found.at, told, ended)
