"""The way back: every changed value as it was, to the letter, unless it was edited since."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors

from gateway.errors import RefusedError
from gateway.migration import ledger
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.guard import looking_away, set_guard
from gateway.migration.mapping import streamed
from gateway.migration.progress import Reporter
from gateway.migration.spec import Spec
from gateway.migration.statements import statement
from gateway.migration.writing import Batch, InvariantError, Written

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Edited:
    """A value that undo leaves alone: it was edited since (`now`), its row is gone, or a trigger keeps it (`kept`)."""

    table: str
    column: str
    key: str
    before: str
    now: str | None
    gone: bool
    kept: bool


@dataclass(slots=True)
class Undo:
    """Undoes everything since the last finish."""

    connection: Connection
    spec: Spec
    reporter: Reporter
    restored: int = field(default=0, init=False)

    def run(self) -> int:
        """Restore what can be restored and return how many values that were.

        The guard goes to `record` before anything else, since a guard that refuses would refuse what was there.
        Raises RefusedError when there is nothing to undo, or a batch cannot be done.
        """
        ledger.want_installed(self.connection)
        ledger.want_in_place(self.connection)
        set_guard(self.connection, "record")
        run = ledger.latest_run(self.connection)
        if run is None:
            raise RefusedError("nothing was migrated, so there is nothing to undo")
        if run.status == "undone":
            return 0  # what was left alone then stays so, even where it looks again like what the migration wrote
        targets = ledger.registered(self.connection)
        self.reporter.rows(sum(self._left(target) for target in targets), 0)
        for target in targets:
            self._column(run.run_id, target)
        self._want_nothing_kept()
        self.connection.execute(statement("end_run"), {"run": run.run_id, "status": "undone", "error": None})
        return self.restored

    def _want_nothing_kept(self) -> None:
        kept = next((value for value in edited(self.connection) if value.kept), None)
        if kept is not None:
            raise RefusedError(
                f"{kept.table}.{kept.column}, key {kept.key}: a trigger or rule of the table lets nothing be restored; "
                "disable it and undo again"
            )

    def _left(self, target: Target) -> int:
        return int(one(self.connection, statement("undo_count", **target.slots()))["rows"])

    def _column(self, run: int, target: Target) -> None:
        after: str | None = None
        rows = self.spec.batch_rows
        while True:
            query, values = statement("undo_slice", **target.slots()), {"after": after, "rows": rows}
            found = self.connection.execute(query, values).fetchone()
            if found is None:
                return
            try:
                written = self._persist(run, target, found)
            except errors.QueryCanceled:
                if rows == 1:
                    raise
                rows = max(1, rows // 2)
                continue
            after = found["range_end"]
            self.restored += written.updated
            batch = Batch(0, target.target_id, 0, None, found["range_start"], after, (), found["rows"])
            self.reporter.batch(target, batch, written)

    def _persist(self, run: int, target: Target, found: Mapping[str, Any]) -> Written:
        for attempt in range(_ATTEMPTS):
            try:
                return self._write(run, target, found)
            except (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure) as error:
                reason = error.diag.message_primary
                time.sleep(random.uniform(0.05, 0.15) * 2 ** min(attempt, 5))  # noqa: S311 - jitter, no secret
        raise RefusedError(f"{target.name}, keys {found['range_start']} to {found['range_end']}: {reason}; undo again")

    def _write(self, run: int, target: Target, found: Mapping[str, Any]) -> Written:
        started = time.monotonic()
        values = {"run": run, "target": target.target_id, "start": found["range_start"], "end": found["range_end"]}
        with self.connection.transaction():
            self.connection.execute(statement("by_key"))
            with looking_away(self.connection):
                made = one(self.connection, statement("undo", **target.slots()), values)
            if made["broken"] or made["taken"] != made["restored"]:
                raise InvariantError(
                    f"{target.name}, keys {values['start']} to {values['end']}: what was stored is not what stood "
                    "there, a trigger of the table may have changed it; the batch was rolled back; "
                    "disable it and undo again"
                )
            duration = round((time.monotonic() - started) * 1000)
            done = {"rows": found["rows"], "restored": made["restored"], "duration_ms": duration}
            self.connection.execute(statement("undo_batch"), {**values, **done})
        return Written(made["restored"], 0, duration)


def edited(connection: Connection) -> Iterator[Edited]:
    """Yield every value that was not restored, a few in memory at a time."""
    for target in ledger.registered(connection):
        for row in streamed(connection, statement("edited", **target.slots()), {}):
            table = f"{target.schema}.{target.table}"
            yield Edited(table, target.column, row["key"], row["before"], row["now"], row["gone"], row["kept"])
