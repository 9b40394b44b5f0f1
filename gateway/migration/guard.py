"""The guard: triggers that record names coming in that are not canonical, or refuse them, and count rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from psycopg import sql

from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.shapes import literal_suspect
from gateway.migration.statements import HOME, statement
from gateway.stages.vocabulary import Vocabulary

GuardMode = Literal["record", "refuse", "off"]


def install_functions(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> None:
    """Make the functions that the triggers call."""
    connection.execute(statement("count_function", body=_body(connection, "count_body")))
    for target in targets:
        slots = _slots(target, vocabulary)
        connection.execute(statement("guard_function", **slots, body=_body(connection, "guard_body", **slots)))


def install_triggers(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> None:
    """Put the triggers on every table where they are not there yet, or were made for another vocabulary.

    DDL waits for writers a little at a time: while it waits, it makes other writers wait behind it. Raises BusyError
    when a table stays locked.
    """
    for target in targets:
        wanted = [
            ("stage_migration_count_insert", None, "count_triggers"),
            (_trigger(target, "insert"), vocabulary.fingerprint, "guard_triggers"),
        ]
        for trigger, argument, file in wanted:
            if not _has_trigger(connection, target, trigger, argument):
                connection.execute(statement(file, **_slots(target, vocabulary)))


def _body(connection: Connection, name: str, **slots: sql.Composable) -> sql.Literal:
    """Return the body of a function as a literal, which the driver quotes: a name in it may hold any dollar quote."""
    return sql.Literal(statement(name, **slots).as_string(connection))


def _slots(target: Target, vocabulary: Vocabulary) -> dict[str, sql.Composable]:
    column = sql.Identifier(target.column)
    holes = {name: sql.Literal(getattr(target, name)) for name in ("field", "weight", "weighted")}
    new, old = (sql.SQL(row) + column for row in ("NEW.", "OLD."))
    return {
        **target.slots(),
        "target": sql.Literal(target.target_id),
        "column_name": sql.Literal(target.column),
        "function": HOME + sql.SQL(".") + sql.Identifier(f"stage_migration_guard_{target.target_id}"),
        "fingerprint": sql.Literal(vocabulary.fingerprint),
        "on_insert": sql.Identifier(_trigger(target, "insert")),
        "on_update": sql.Identifier(_trigger(target, "update")),
        "suspect": literal_suspect(target, vocabulary, new),
        "new_names": statement(f"come_{target.shape}", value=new, **holes),
        "old_names": statement(f"come_{target.shape}", value=old, **holes),
    }


def _trigger(target: Target, event: str) -> str:
    return f"stage_migration_guard_{target.target_id}_{event}"


def _has_trigger(connection: Connection, target: Target, trigger: str, argument: str | None) -> bool:
    values = {"schema": target.schema, "table": target.table, "trigger": trigger, "argument": argument}
    return bool(one(connection, statement("has_trigger"), values)["there"])


def set_guard(connection: Connection, mode: GuardMode) -> None:
    """Let the guard record, refuse, or look away. One UPDATE; the triggers stay, and count rows all the same."""
    connection.execute(statement("guard_mode"), {"mode": mode})


@contextmanager
def looking_away(connection: Connection) -> Iterator[None]:
    """Within a transaction, let the guard take no notice of what this transaction itself writes."""
    mode = one(connection, statement("guard_quiet"))["mode"]
    yield
    set_guard(connection, mode)


def guard_status(connection: Connection) -> dict[str, Any]:
    """Return `mode`, `seen` (names that came in and are not canonical) and `last_seen`."""
    return one(connection, statement("guard_status"))
