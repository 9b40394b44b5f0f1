"""What the verifier must be able to read, asked without reading it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.migration import ledger
from gateway.migration.database import Connection
from gateway.migration.refusals import WrongDatabaseError
from gateway.migration.verification.queries import query

_OWN = tuple(f"stage_migration_{name}" for name in ("targets", "runs", "batches", "seen", "counts"))


def want_rights(connection: Connection) -> None:
    """Raise WrongDatabaseError, with a line and a cure for each table that the verifier could not read."""
    _want(connection, [(connection.home, name) for name in _OWN])
    ledger.want_in_place(connection)
    migrated = ledger.present(connection)
    undo = [(connection.home, f"stage_migration_undo_{target.target_id}") for target in migrated]
    _want(connection, [*undo, *{(target.schema, target.table) for target in migrated}])


def _want(connection: Connection, places: Sequence[tuple[str, str]]) -> None:
    values = {"schemas": [schema for schema, _ in places], "tables": [table for _, table in places]}
    lacking = connection.execute(query("rights"), values).fetchall()
    if lacking:
        raise WrongDatabaseError("\n".join(dict.fromkeys(line for row in lacking for line in _lines(row))))


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    if not row["may_use"]:
        cure = f"GRANT USAGE ON SCHEMA {row['quoted_schema']} TO {row['role']}"
        yield f"schema {row['quoted_schema']}: this role may not use it; {cure}"
    if not row["may_read"]:
        yield f"table {row['quoted']}: this role may not read it; GRANT SELECT ON {row['quoted']} TO {row['role']}"
    if row["hides_rows"]:
        yield f"table {row['quoted']}: row-level security hides rows from this role; use the owner or BYPASSRLS"
