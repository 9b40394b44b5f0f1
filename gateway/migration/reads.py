"""The read switch: views that show a table as it is, or the values as they were before the migration."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal

import psycopg
from psycopg import errors, sql

from gateway.errors import RefusedError
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.objects import home_of, is_installed
from gateway.migration.refusals import WrongDatabaseError
from gateway.migration.statements import marked, statement

ReadMode = Literal["canonical", "legacy"]


def install_views(connection: Connection, targets: Sequence[Target]) -> None:
    """Make the view of every table, where it is not there yet or the table has changed."""
    for group in _by_table(targets):
        first = group[0]
        mark = (
            f"{marked(connection.home)}; columns {', '.join(first.columns)}; undo rows {[t.target_id for t in group]}"
        )
        found = _under_the_name(connection, first)
        if found is None or found["comment"] != mark:
            connection.atomically(partial(_make_view, connection, group, mark))


def _make_view(connection: Connection, group: Sequence[Target], mark: str) -> None:
    connection.execute(_view(group))
    connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view_name(group[0]), sql.Literal(mark)))
    _let_viewers_in(connection, group)


def _let_viewers_in(connection: Connection, group: Sequence[Target]) -> None:
    """Let those who read a view that was there before read the undo rows that it now reads too."""
    values = {"schema": group[0].schema, "view": group[0].view}
    undo = sql.SQL(", ").join(target.slots()["undo"] for target in group)
    for row in connection.execute(statement("viewers"), values).fetchall():
        role = sql.SQL("PUBLIC") if row["role"] is None else sql.Identifier(row["role"])
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(undo, role))


def view_name(target: Target) -> sql.Identifier:
    """Return the qualified name of the view of a column's table."""
    return sql.Identifier(target.schema, target.view)


def _under_the_name(connection: Connection, target: Target) -> Mapping[str, Any] | None:
    values = {"schema": target.schema, "view": target.view}
    return connection.execute(statement("view_comment"), values).fetchone()


def _by_table(targets: Iterable[Target]) -> list[list[Target]]:
    name = lambda target: (target.schema, target.table)  # noqa: E731 - a name for an expression
    return [list(group) for _, group in groupby(sorted(targets, key=name), key=name)]


def _view(group: Sequence[Target]) -> sql.Composed:
    first = group[0]
    comma = sql.SQL(", ")
    aliases = {target.column: sql.Identifier(f"undo_{target.target_id}") for target in group}
    types = {target.column: target.cast for target in group}
    plain = {name: sql.SQL("t.") + sql.Identifier(name) for name in first.columns}
    as_before = sql.SQL("CASE WHEN {alias}.key IS NULL THEN {now} ELSE {alias}.before::{type} END AS {name}")
    legacy = [
        as_before.format(alias=aliases[name], now=now, type=types[name], name=sql.Identifier(name))
        if name in aliases
        else now
        for name, now in plain.items()
    ]
    return statement(
        "view",
        view=view_name(first),
        table=sql.Identifier(first.schema, first.table),
        columns=comma.join(plain.values()),
        legacy_columns=comma.join(legacy),
        undo_joins=sql.SQL("").join(
            statement("view_join", alias=aliases[target.column], **target.slots()) for target in group
        ),
    )


def has_reads(connection: Connection) -> bool:
    """Return whether there are reads to switch, which is so once a migration was started.

    Raises WrongDatabaseError, with the cure, when there are and this role, or this migration file, cannot.
    """
    tables = connection.execute(statement("read_rights")).fetchall()
    homes = {str(row["schema"]): row for row in tables if home_of(row["comment"]) == row["schema"]}
    own = homes.pop(connection.home, None)
    if own is None:
        if not is_installed(connection) and homes:
            raise WrongDatabaseError(
                f"schema {connection.home}: no migration keeps its own tables there, as the migration file says, but "
                f"one does in {', '.join(homes)}; name the file of that one with --spec"
            )
        return False
    if not own["may_use"]:
        cure = f"GRANT USAGE ON SCHEMA {own['quoted_schema']} TO {own['role']}"
        raise WrongDatabaseError(f"schema {own['schema']}: this role may not use it; {cure}")
    if not own["may_switch"]:
        cure = f"GRANT SELECT, UPDATE ON {own['quoted']} TO {own['role']}"
        raise WrongDatabaseError(f"table {own['quoted']}: this role may not switch the reads; {cure}")
    return is_installed(connection)


def set_reads(connection: Connection, mode: ReadMode) -> bool:
    """Let all views show this; returns whether anything changed. One UPDATE of one row."""
    return connection.execute(statement("read_mode"), {"mode": mode}).rowcount > 0


def generated(connection: Connection, targets: Iterable[Target]) -> Mapping[str, Sequence[str]]:
    """Return by table the generated columns that are made from migrated ones, which no view can show as they were."""
    made: dict[str, list[str]] = {}
    for target in targets:
        values = {"schema": target.schema, "table": target.table, "column": target.column}
        for row in connection.execute(statement("generated"), values).fetchall():
            names = made.setdefault(f"{target.schema}.{target.table}", [])
            names.extend({row["name"]} - {*names})
    return made


def shown_all_the_same(connection: Connection, targets: Callable[[], Iterable[Target]]) -> list[str]:
    """Return a line for each table of which views show canonical values in any mode; none where they cannot be read."""
    try:
        made = generated(connection, targets())
    except psycopg.Error:  # which is for information, and must not stand beside what was done
        return []
    return [
        f"{table}: canonical values are still shown by {', '.join(names)}, generated from what the table holds"
        for table, names in made.items()
    ]


def reads_status(connection: Connection) -> Mapping[str, Any]:
    """Return `mode`, `changed_at` and `changed_by`."""
    return one(connection, "SELECT mode, changed_at, changed_by FROM stage_read_mode")


def grant_reads(connection: Connection, targets: Sequence[Target], role: str, schema: str) -> list[str]:
    """Give a role what it needs to read through the views; returns the views' names.

    The right to read the tables themselves is not given. Raises RefusedError when the role lacks it, or is none.
    """
    for target in targets:
        values = {"role": role, "schema": target.schema, "table": target.table}
        try:
            may = one(connection, statement("may_read"), values)["may"]
        except errors.UndefinedObject:
            raise RefusedError(f"there is no role {role!r} in this database; nothing was granted") from None
        if not may:
            raise RefusedError(
                f"role {role!r} may not read {target.schema}.{target.table} itself, so neither through the view; "
                "grant it SELECT there first; nothing was granted"
            )
    connection.atomically(lambda: _grant(connection, targets, role, schema))
    return sorted({f"{target.schema}.{target.view}" for target in targets})


def _grant(connection: Connection, targets: Sequence[Target], role: str, schema: str) -> None:
    for target in targets:
        relations = sql.SQL(", ").join([view_name(target), target.slots()["undo"], sql.Identifier("stage_read_mode")])
        for name in {schema, target.schema}:
            connection.execute(
                statement("grant_reads", schema=sql.Identifier(name), relations=relations, role=sql.Identifier(role))
            )
