"""The guard: triggers that record names coming in that are not canonical, or refuse them, and count rows."""

import random
import time
from collections.abc import Sequence
from typing import Any, Literal

from psycopg import errors, sql

from gateway.errors import RefusedError
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.statements import statement

GuardMode = Literal["record", "refuse", "off"]
_ATTEMPTS = 20


def install_guard(connection: Connection, targets: Sequence[Target]) -> None:
    """Put the triggers on every table where they are not there yet. Raises RefusedError when a table stays locked."""
    connection.execute(statement("count_function"))
    for target in targets:
        slots = _slots(target)
        connection.execute(statement("guard_function", **slots))
        wanted = [("stage_migration_count_insert", "count_triggers"), (_trigger(target, "insert"), "guard_triggers")]
        for trigger, file in wanted:
            if not _has_trigger(connection, target, trigger):
                _patiently(connection, target, statement(file, **slots))


def _slots(target: Target) -> dict[str, sql.Composable]:
    column = sql.Identifier(target.column)
    field = sql.Literal(target.field)
    return {
        **target.slots(),
        "target": sql.Literal(target.target_id),
        "column_name": sql.Literal(target.column),
        "function": sql.Identifier(f"stage_migration_guard_{target.target_id}"),
        "on_insert": sql.Identifier(_trigger(target, "insert")),
        "on_update": sql.Identifier(_trigger(target, "update")),
        "new_names": statement(f"names_{target.shape}", value=sql.SQL("NEW.") + column, field=field),
        "old_names": statement(f"names_{target.shape}", value=sql.SQL("OLD.") + column, field=field),
    }


def _trigger(target: Target, event: str) -> str:
    return f"stage_migration_guard_{target.target_id}_{event}"


def _has_trigger(connection: Connection, target: Target, trigger: str) -> bool:
    query = statement("has_trigger")
    values = {"schema": target.schema, "table": target.table, "trigger": trigger}
    return bool(one(connection, query, values)["there"])


def _patiently(connection: Connection, target: Target, ddl: sql.Composed) -> None:
    """Run DDL that waits for writers, a little at a time: while it waits, it makes other writers wait behind it."""
    for attempt in range(_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(ddl)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            time.sleep(random.uniform(0.05, 0.2) * (attempt + 1))  # noqa: S311 - jitter, no secret
        else:
            return
    raise RefusedError(f"table {target.table}: a long transaction holds it, its triggers could not be made; try again")


def set_guard(connection: Connection, mode: GuardMode) -> None:
    """Let the guard record, refuse, or look away. One UPDATE; the triggers stay, and go on counting rows."""
    connection.execute(statement("guard_mode"), {"mode": mode})


def guard_status(connection: Connection) -> dict[str, Any]:
    """Return `mode`, `seen` (names that came in and are not canonical) and `last_seen`."""
    return one(connection, statement("guard_status"))
