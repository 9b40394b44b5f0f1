"""The way back: every changed value as it was, to the letter, unless it was edited since."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from gateway.errors import GatewayError, RefusedError, UnreachableError
from gateway.migration import ledger
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one, translated
from gateway.migration.guard import looking_away, set_guard
from gateway.migration.mapping import streamed
from gateway.migration.progress import Reporter
from gateway.migration.refusals import Meaning, meaning_of, refusal
from gateway.migration.retrying import BusyError
from gateway.migration.spec import Spec
from gateway.migration.statements import statement
from gateway.migration.writing import Batch, InvariantError, Written


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
    was_undone: bool = field(default=False, init=False)  # before this one began

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
            self.was_undone = True
            return 0  # what was left alone then stays so, even where it looks again like what the migration wrote
        ledger.end_run(
            self.connection, run.run_id, "undoing"
        )  # so that nobody takes a half-way undo for a run that is done
        try:
            with translated(self.connection):
                self._columns(run.run_id)
        except UnreachableError:
            raise
        except GatewayError as error:
            ledger.fail_run(self.connection, run.run_id, f"undo stopped: {error}")
            raise
        ledger.end_run(self.connection, run.run_id, "undone")
        return self.restored

    def _columns(self, run: int) -> None:
        targets = ledger.present(self.connection)
        self.reporter.rows(sum(self._left(target) for target in targets), 0)
        for target in targets:
            self._column(run, target)
        self._want_nothing_kept()

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
                written = self.connection.atomically(partial(self._write, run, target, found))
            except BusyError as error:
                raise RefusedError(f"{_place(target, found)}: {error}") from None
            except psycopg.Error as error:
                meaning = meaning_of(error, closed=self.connection.closed)
                if meaning is Meaning.LOST:
                    raise
                if found["rows"] == 1 or not meaning.of_a_row:
                    raise _refusal(target, found, error, closed=self.connection.closed) from error
                rows = found["rows"] // 2  # too slow, or refused: what can be restored is, up to the row that cannot
                continue
            after = found["range_end"]
            self.restored += written.updated
            batch = Batch(0, target.target_id, 0, None, False, found["range_start"], after, (), found["rows"])
            self.reporter.batch(target, batch, written)

    def _write(self, run: int, target: Target, found: Mapping[str, Any]) -> Written:
        started = time.monotonic()
        values = {"run": run, "target": target.target_id, "start": found["range_start"], "end": found["range_end"]}
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


def _place(target: Target, found: Mapping[str, Any]) -> str:
    return f"{target.name}, keys {found['range_start']} to {found['range_end']}"


def _refusal(target: Target, found: Mapping[str, Any], error: psycopg.Error, *, closed: bool) -> GatewayError:
    told = refusal(error, closed=closed, again="undo again")
    place = f"{target.name}, key {found['range_start']}" if found["rows"] == 1 else _place(target, found)
    return type(told)(f"{place}: {told}")


def edited(connection: Connection) -> Iterator[Edited]:
    """Yield every value that was not restored though its column is there, a few in memory at a time."""
    for target in ledger.present(connection):
        for row in streamed(connection, statement("edited", **target.slots()), {}):
            table = f"{target.schema}.{target.table}"
            yield Edited(table, target.column, row["key"], row["before"], row["now"], row["gone"], row["kept"])
