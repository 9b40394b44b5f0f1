"""The migration's own tables: which columns, which runs, what was there at the start."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Json, Jsonb

from gateway.errors import RefusedError
from gateway.migration.catalog import Target, undo_name
from gateway.migration.database import Connection, one
from gateway.migration.objects import is_installed
from gateway.migration.refusals import WrongDatabaseError
from gateway.migration.retrying import BusyError
from gateway.migration.shapes import fragments, off, parameters
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary, normalise


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `stage_migration_runs`."""

    run_id: int
    status: str
    paused: bool
    fingerprint: str
    targets: Sequence[Any]
    snapshot: str
    on_invalid: str
    waiting_for: str | None
    last_error: str | None
    finished_at: datetime | None
    open_batches: int

    @property
    def unfinished(self) -> bool:
        """Return whether the run is to go on."""
        return self.status in {"running", "failed", "undoing"}


def want_installed(connection: Connection) -> None:
    """Raise RefusedError when there is no migration to speak of."""
    if not is_installed(connection):
        raise RefusedError("no migration has been started in this database; start one with: stage-gateway migrate run")


def want_in_place(connection: Connection) -> None:
    """Raise WrongDatabaseError when a migrated table, its key or its column has another name than it had.

    What was dropped, and took its triggers and its view along, stands in nobody's way.
    """
    strays = [row["place"] for row in _strays(connection) if not row["dropped"]]
    if strays:
        raise WrongDatabaseError(
            f"{', '.join(strays)}: was renamed or dropped since the migration; give table, key and column their names "
            "back first"
        )


def _strays(connection: Connection) -> Sequence[Mapping[str, Any]]:
    return connection.execute(statement("strays")).fetchall()


def want_as_before(connection: Connection, targets: Sequence[Target]) -> None:
    """Raise WrongDatabaseError when a column is known with other settings, or a view as that of another table."""
    if not is_installed(connection):
        return
    known = registered(connection)
    for target in targets:
        for other in known:
            if other.place == target.place and other.identity != target.identity:
                raise WrongDatabaseError(
                    f"{target.name} was migrated with other settings; give the same ones, or end that migration with "
                    "finish"
                )
            of_another = (other.schema, other.table) != (target.schema, target.table)
            if of_another and (other.schema, other.view) == (target.schema, target.view):
                raise WrongDatabaseError(
                    f"view {target.schema}.{target.view}: is that of {other.table_name}, which was migrated before; "
                    f"name another view for {target.table_name} (view in the migration file)"
                )


def install(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> list[Target]:
    """Make the migration's own tables where they are not there yet; returns the targets with their numbers."""
    if not is_installed(connection):
        connection.execute(statement("ledger"))
    accepted = set(vocabulary.canonical)
    if vocabulary.accept_aliases:
        accepted |= {normalise(name) for name in (*vocabulary.canonical, *vocabulary.aliases)}
    for target in targets:
        values = {
            "identity": Jsonb(target.identity),
            "canonical": list(vocabulary.canonical),
            "accepted": sorted(accepted),
        }
        connection.execute(statement("register"), values)
    numbers = {t.place: t.target_id for t in registered(connection)}
    numbered = [replace(t, target_id=numbers[t.place]) for t in targets]
    for target in numbered:
        name = f"stage_migration_undo_{target.target_id}"
        if one(connection, "SELECT to_regclass(%s) IS NULL AS absent", [name])["absent"]:
            connection.execute(statement("undo_table", **target.slots()))
    return numbered


def registered(connection: Connection) -> list[Target]:
    """Return every column that was migrated since the last finish, whatever the migration file says now."""
    return [
        Target(**row["identity"], columns=(), estimate=0, update_triggers=(), target_id=row["target_id"])
        for row in connection.execute(statement("targets")).fetchall()
    ]


def present(connection: Connection) -> list[Target]:
    """Return every column that was migrated since the last finish and was not dropped since."""
    dropped = {row["target_id"] for row in _strays(connection) if row["dropped"]}
    return [target for target in registered(connection) if target.target_id not in dropped]


def dropped(connection: Connection) -> Mapping[str, int]:
    """Return by place the columns that were dropped since they were migrated, with how many undo rows they have."""
    return {
        row["place"]: int(one(connection, statement("undo_count", undo=undo_name(row["target_id"])))["rows"])
        for row in _strays(connection)
        if row["dropped"]
    }


def take_baselines(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> None:
    """Count what columns hold before anything is written, once; the verifier compares with it."""
    for target in targets:
        slots = {**fragments(target), "off": off(target)}
        values = {"target": target.target_id, "schema": target.schema, "table_name": target.table}
        taken = one(
            connection, "SELECT rows_at_start FROM stage_migration_targets WHERE target_id = %s", [target.target_id]
        )
        if taken["rows_at_start"] is None:
            query = statement("baseline", **slots)
            connection.unhurried(query, {**parameters(target, vocabulary, {}), **values})


def latest_run(connection: Connection) -> Run | None:
    """Return the last run, None when there was none."""
    if not is_installed(connection):
        return None
    row = connection.execute(statement("latest_run")).fetchone()
    return None if row is None else Run(**{name: row[name] for name in Run.__slots__})


def clock(connection: Connection) -> datetime:
    """Return what time it is for the database, by whose clock runs end."""
    found: datetime = one(connection, "SELECT clock_timestamp() AS now")["now"]
    return found


def forget_undone(connection: Connection, run: int) -> None:
    """Drop the undo rows that the undo of a run left: their values are the application's since."""
    for target in registered(connection):
        connection.execute(statement("forget_undone", **target.slots()), {"run": run, "target": target.target_id})


def start_run(
    connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary, snapshot: str, on_invalid: str
) -> int:
    """Begin a run and return its number."""
    values = {
        "fingerprint": vocabulary.fingerprint,
        "vocabulary": Json({"canonical": list(vocabulary.canonical), "aliases": dict(vocabulary.aliases)}),
        "targets": Jsonb([target.identity for target in targets]),
        "snapshot": snapshot,
        "on_invalid": on_invalid,
    }
    return int(one(connection, statement("start_run"), values)["run_id"])


def end_run(connection: Connection, run: int, status: str) -> None:
    """Put down that a run is over, `done` or `undone`, or that its undo began, `undoing`."""
    connection.execute(statement("end_run"), {"run": run, "status": status, "error": None})


def fail_run(connection: Connection, run: int, why: str) -> None:
    """Put down why a run, or its undo, did not get to its end, if the server still takes it."""
    with suppress(psycopg.Error, BusyError):
        connection.execute(statement("end_run"), {"run": run, "status": "failed", "error": why})


def counts(connection: Connection, run: int) -> Mapping[str, Any]:
    """Return how far a run is: rows, rows_done, updated, restored by undo, batches by status, invalid_rows."""
    return one(connection, statement("counts"), {"run": run})
