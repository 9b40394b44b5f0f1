"""The end of a migration: everything it put into the database is taken away, and with it the way back."""

from collections.abc import Sequence

from psycopg import sql

from gateway.errors import RefusedError
from gateway.migration import ledger
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.index import Index
from gateway.migration.objects import want_free, want_no_dependents
from gateway.migration.reads import reads_status, view_name
from gateway.migration.statements import HOME, statement


def undo_rows(connection: Connection) -> int:
    """Return how many values can still be undone."""
    queries = [statement("undo_count", **target.slots()) for target in ledger.registered(connection)]
    return sum(int(one(connection, query)["rows"]) for query in queries)


def want_ours(connection: Connection) -> None:
    """Raise WrongDatabaseError when something that finish would drop is somebody else's, or somebody builds on it."""
    targets = ledger.registered(connection)
    want_free(connection, targets)
    want_no_dependents(connection, targets)


def finish(connection: Connection) -> None:
    """Remove views, triggers, functions, indexes and all tables of the migration, in one transaction but the indexes.

    Raises RefusedError while readers are shown the values before the migration, WrongDatabaseError when something that
    would be dropped is not ours.
    """
    ledger.want_installed(connection)
    if reads_status(connection)["mode"] == "legacy":
        raise RefusedError("readers are shown the values before the migration; first: stage-gateway reads canonical")
    targets = ledger.registered(connection)
    for target in targets:
        Index(target).drop(connection)
    connection.atomically(lambda: _remove(connection, targets))


def _remove(connection: Connection, targets: Sequence[Target]) -> None:
    want_ours(connection)
    for target in targets:
        function = HOME + sql.SQL(".") + sql.Identifier(f"stage_migration_guard_{target.target_id}")
        slots = {**target.slots(), "view": view_name(target), "function": function}
        connection.execute(statement("finish_column", **slots))
    connection.execute(statement("finish"))
