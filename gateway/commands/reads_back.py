"""The way back of the reads: legacy in the database, and what the verifier says of it then."""

import random
from functools import partial
from pathlib import Path
from typing import Any

from gateway.commands.environment import SPEC
from gateway.commands.session import Session
from gateway.commands.steps import Outcome, Result
from gateway.migration import ledger
from gateway.migration.database import Connection, connected, database_of
from gateway.migration.objects import is_installed
from gateway.migration.reads import has_reads, reads_status, set_reads, shown_all_the_same
from gateway.migration.spec import load_spec
from gateway.migration.verification import verifier
from gateway.migration.verification.report import Report
from gateway.migration.verification.rights import want_rights
from gateway.migration.wording import counted

_SAMPLE = 100
_MOST_SHOWN = 20  # violations, which are lines already that stand for many rows


def switch(spec: Path | None, url: str) -> Result:
    """Let readers be shown legacy values. Raises GatewayError."""
    with connected(url, load_spec(spec or SPEC), "rollback", brisk=True) as connection:
        if not has_reads(connection):
            return _none(connection, url)
        changed = set_reads(connection, "legacy")
        below = shown_all_the_same(connection, partial(ledger.present, connection))
    told = f"{database_of(url)}: readers are shown legacy values{'' if changed else ', as before'}"
    return Result(told, {"reads": "legacy", "changed": changed}, tuple(below))


def rehearse_switch(spec: Path | None, url: str) -> Result:
    """See whether `switch` could be done. Raises GatewayError."""
    with connected(url, load_spec(spec or SPEC), "rollback --rehearse", brisk=True) as connection:
        connection.read_only = True

        def look() -> dict[str, Any] | None:
            return {"reads": reads_status(connection)["mode"], "changed": False} if has_reads(connection) else None

        details = connection.atomically(look)
        if details is None:
            return _none(connection, url)
    return Result(f"{database_of(url)}: would show legacy values, now {details['reads']}; rights are good", details)


def verify(spec: Path | None, config: Path | None, url: str) -> Result:
    """Check the database as `stage-gateway verify` does. Raises GatewayError when it cannot be checked."""
    session = Session.of(spec, config)
    with session.connected("rollback verify", writes=False, brisk=True) as connection:
        if not is_installed(connection):
            return Result(f"{database_of(url)}: nothing was migrated", {})
        ledger.want_in_place(connection)
        places = session.spec.column_places()
        seed = random.randrange(2**31)  # noqa: S311 - a sample, no secret
        report = verifier.verify(connection, session.vocabulary, places, sample=_SAMPLE, seed=seed)
    return _reported(report, database_of(url))


def rehearse_verify(spec: Path | None, config: Path | None, url: str) -> Result:
    """See whether `verify` could be done. Raises GatewayError."""
    session = Session.of(spec, config)
    with session.connected("rollback --rehearse", writes=False, brisk=True) as connection:
        connection.read_only = True

        def look() -> bool:
            if not is_installed(connection):
                return False
            want_rights(connection)
            return True

        if not connection.atomically(look):
            return Result(f"{database_of(url)}: nothing was migrated", {})
    return Result(f"{database_of(url)}: may be read, vocabulary {session.vocabulary.fingerprint}", {})


def _none(connection: Connection, url: str) -> Result:
    told = f"{database_of(url)}: no migration was ever started in schema {connection.home}, reads are as ever"
    return Result(told, {"reads": None, "changed": False})


def _reported(report: Report, where: str) -> Result:
    details = {"report": report.document()}
    if report.holds:
        return Result(f"{where}: all checks hold", details)
    found = [f"violation: {violation}" for violation in report.violations]
    more = [f"and {len(found) - _MOST_SHOWN} more, see: stage-gateway verify"] if len(found) > _MOST_SHOWN else []
    told = f"{where}: {counted(len(found), 'violation')}"
    return Result(told, details, (*found[:_MOST_SHOWN], *more), Outcome.VIOLATIONS)
