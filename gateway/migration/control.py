"""Steering a run from another terminal, and telling how far it is."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import RefusedError
from gateway.migration import ledger
from gateway.migration.database import Connection
from gateway.migration.guard import guard_status
from gateway.migration.reads import reads_status
from gateway.migration.statements import statement


def set_paused(connection: Connection, *, paused: bool) -> None:
    """Ask the run under way to pause, or to go on. Raises RefusedError when there is none."""
    ledger.want_installed(connection)
    alive = lock_holder(connection) is not None
    changed = connection.execute(statement("pause"), {"paused": paused}).rowcount if alive else 0
    if not changed:
        raise RefusedError("no run is under way; stage-gateway migrate status tells about the last one")


def lock_holder(connection: Connection) -> Mapping[str, Any] | None:
    """Return the session that holds the lock, None when nobody does."""
    return connection.execute(statement("lock_holder")).fetchone()


def status(connection: Connection) -> dict[str, Any]:
    """Return how far the last run is, as a document; `run` is None when there was none."""
    run = ledger.latest_run(connection)
    if run is None:
        return {"run": None}
    counts = ledger.counts(connection, run.run_id)
    holder = lock_holder(connection)
    seen = guard_status(connection)
    reads = reads_status(connection)
    state = run.status
    if state == "running":
        state = "interrupted" if holder is None else "paused" if run.paused else "running"
    elif state == "undoing" and holder is None:
        state = "undo interrupted"
    return {
        "run": run.run_id,
        "status": state,
        "vocabulary": run.fingerprint,
        "snapshot": run.snapshot,
        "onInvalid": run.on_invalid,
        "rows": counts["rows"],
        "rowsDone": counts["rows_done"],
        "updated": counts["updated"],
        "restored": counts["restored"],
        "invalidRows": counts["invalid_rows"],
        "batches": {name: counts[name] for name in ("pending", "running", "done", "failed")},
        "waitingFor": run.waiting_for,
        "lastError": run.last_error,
        "heldBy": None if holder is None else {"process": holder["pid"], "application": holder["application"]},
        "guard": {"mode": seen["mode"], "seen": seen["seen"]},
        "reads": reads["mode"],
    }
