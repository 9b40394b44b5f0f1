"""A run from its start, or from where the last one was killed, to the last sweep.

What is remembered is in the database and nowhere else: batches to do, batches done. A run that is killed at any
moment is gone on with by the next.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg import sql

from gateway.errors import GatewayError, RefusedError, UnreachableError
from gateway.migration import ledger
from gateway.migration.catalog import Target
from gateway.migration.cutting import is_too_large, pace_after, sliced, wanted_rows
from gateway.migration.database import Connection, one, translated
from gateway.migration.index import Index
from gateway.migration.lag import Reading, must_wait, read_lag
from gateway.migration.mapping import Spellings, spellings
from gateway.migration.metrics import MigrationMetrics
from gateway.migration.progress import Reporter
from gateway.migration.refusals import Meaning, meaning_of, refusal
from gateway.migration.retrying import BusyError
from gateway.migration.shapes import fragments, parameters
from gateway.migration.spec import Spec
from gateway.migration.statements import statement
from gateway.migration.writing import Batch, Writer, Written
from gateway.stages.vocabulary import Vocabulary

OnInvalid = Literal["refuse", "record"]
# After so many sweeps in which values were still mapped, they come in faster than they are swept.
MOST_ROUNDS = 20
_POLL = 0.3


@dataclass(slots=True)
class Runner:
    """Does what is left of one run."""

    connection: Connection
    spec: Spec
    vocabulary: Vocabulary
    targets: Sequence[Target]
    run_id: int
    on_invalid: OnInvalid
    reporter: Reporter
    metrics: MigrationMetrics
    maps: dict[int, Spellings]  # by column; each serves one pass, later ones ask anew
    _writers: dict[int, Writer] = field(default_factory=dict, init=False)
    _pace: dict[int, float | None] = field(default_factory=dict, init=False)  # by column, rows a millisecond, of late

    def run(self) -> Mapping[str, Any]:
        """Do all rounds and return the run's counts.

        Raises RefusedError or WrongDatabaseError when something cannot be done, after putting down why;
        UnreachableError when the connection is lost.
        """
        try:
            with translated(self.connection):
                self._rounds()
        except UnreachableError:
            raise
        except GatewayError as error:
            ledger.fail_run(self.connection, self.run_id, str(error))
            raise
        ledger.end_run(self.connection, self.run_id, "done")
        return ledger.counts(self.connection, self.run_id)

    def _rounds(self) -> None:
        number = ledger.counts(self.connection, self.run_id)["round"]
        self._work_off()
        for sweep in range(1, MOST_ROUNDS + 1):
            if not self._slice(number + sweep) or not self._work_off():
                return
        raise RefusedError(
            "values that are not canonical come in faster than they are swept; stop what writes them, or use "
            "stage-gateway migrate guard refuse, and run again"
        )

    def _slice(self, number: int) -> int:
        """Cut what is not canonical into batches; returns how many there are."""
        batches = 0
        self.connection.execute(statement("forget_invalid"), {"run": self.run_id})
        for target in self.targets:
            if not self._bad_rows(target):
                continue
            values = parameters(target, self.vocabulary, {})
            values |= {"run": self.run_id, "target": target.target_id, "round": number, "rows": self.spec.batch_rows}
            batches += self.connection.unhurried(sliced("slices", target), values).rowcount
        return batches

    def _bad_rows(self, target: Target) -> int:
        """Return how many rows are not canonical; a slow look at many of them gets an index."""
        started = time.monotonic()
        values = parameters(target, self.vocabulary, {})
        [found] = self.connection.unhurried(statement("bad_rows", **fragments(target)), values).fetchall()
        rows = int(found["rows"])
        if rows and (time.monotonic() - started) * 1000 > self.spec.index_after_ms:
            Index(target).build(self.connection, self.vocabulary, self.reporter)
        return rows

    def _work_off(self) -> int:
        """Do every batch that is not done.

        Returns how many rows were written or changed under it, so that another look is due: 0 when all that is left
        cannot be mapped.
        """
        self._writers.clear()
        counts = ledger.counts(self.connection, self.run_id)
        self.metrics.count(counts)
        self.reporter.rows(counts["rows"], counts["rows_done"])
        unsettled = 0
        while True:
            self._hold_back()
            batch = self._claim()
            if batch is None:
                return unsettled
            written = self._persist(batch)
            if written is not None:
                unsettled += batch.row_count - written.skipped_invalid
                self._pace[batch.target_id] = pace_after(
                    self.spec, self._pace.get(batch.target_id), batch.row_count, written.duration_ms
                )
                self.metrics.progressed(batch.row_count)
                self.reporter.batch(self._target(batch), batch, written)

    def _claim(self) -> Batch | None:
        row = self._quickly(statement("claim"), {"run": self.run_id})
        batch = None if row is None else Batch(**row)
        pace = None if batch is None else self._pace.get(batch.target_id)
        if batch is None or pace is None:
            return batch
        wanted = wanted_rows(self.spec, pace)
        return self._split(batch, wanted) if is_too_large(batch.row_count, wanted) else batch

    def _split(self, batch: Batch, rows: int) -> Batch:
        return Batch(**one(self.connection, statement("split"), {"batch": batch.batch_id, "rows": rows}))

    def _quickly(self, query: sql.Composed, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Write what need not be on the disk before going on: that a batch was begun is known again if it is lost."""

        def work() -> dict[str, Any] | None:
            self.connection.execute("SET LOCAL synchronous_commit = off")
            return self.connection.execute(query, values).fetchone()

        return self.connection.atomically(work)

    def _persist(self, batch: Batch) -> Written | None:
        """Write a batch; None when it was too slow and was split. Raises GatewayError that names its place."""
        try:
            return self._writer(batch).write(self.run_id, batch, record_invalid=self.on_invalid == "record")
        except BusyError as error:
            failure: GatewayError = RefusedError(f"{self._place(batch)}: {error}")
        except RefusedError as error:
            failure = error
        except psycopg.Error as error:
            meaning = meaning_of(error, closed=self.connection.closed)
            if meaning is Meaning.LOST:
                raise
            if meaning is Meaning.SLOW and batch.row_count > 1:
                self._split(batch, batch.row_count // 2)
                return None
            failure = self._refusal(batch, error)
        self._fail(batch, str(failure))
        raise failure

    def _refusal(self, batch: Batch, error: psycopg.Error) -> GatewayError:
        """Return what the server refuses, with the key of the row it refuses."""
        told = refusal(error, closed=self.connection.closed, again="run again")
        by_row = meaning_of(error, closed=self.connection.closed).of_a_row
        key = self._writer(batch).refused_key(self.run_id, batch, error.sqlstate) if by_row else None
        place = self._place(batch) if key is None else f"{self._target(batch).name}, key {key}"
        return type(told)(f"{place}: {told}")

    def _place(self, batch: Batch) -> str:
        return f"{self._target(batch).name}, keys {batch.range_start} to {batch.range_end}"

    def _fail(self, batch: Batch, reason: str) -> None:
        with suppress(psycopg.Error, BusyError):  # a server that lacks room cannot put it down either
            self.connection.execute(statement("failed"), {"batch": batch.batch_id, "error": reason})

    def _writer(self, batch: Batch) -> Writer:
        if batch.target_id not in self._writers:
            target = self._target(batch)
            names = self.maps.pop(batch.target_id, None) or spellings(self.connection, target, self.vocabulary)
            self._writers[batch.target_id] = Writer(self.connection, target, self.vocabulary, names.known)
        return self._writers[batch.target_id]

    def _target(self, batch: Batch) -> Target:
        return next(target for target in self.targets if target.target_id == batch.target_id)

    def _hold_back(self) -> None:
        """Wait while the run is paused, or while replicas fall behind."""
        told: str | None = None
        before: Reading | None = None
        while True:
            row = one(self.connection, "SELECT paused FROM stage_migration_runs WHERE run_id = %s", [self.run_id])
            now = read_lag(self.connection)
            self.metrics.lagged(now)
            reason = None
            if row["paused"]:
                reason = "paused; go on with: stage-gateway migrate resume"
            elif must_wait(self.spec.lag, before, now):
                reason = f"waiting for {now.name}, {now.bytes:,} bytes behind (limit {self.spec.lag.max_bytes:,})"
            if reason is None:
                self._say_unknown(now)
                if told is not None:
                    self._wait_for(None)
                    self.reporter.note("going on")
                return
            if told is None or row["paused"] != told.startswith("paused"):
                self.reporter.note(reason)
            told, before = reason, now
            self._wait_for(reason)
            time.sleep(_POLL)

    def _wait_for(self, reason: str | None) -> None:
        self.connection.execute(statement("waiting"), {"run": self.run_id, "reason": reason})

    def _say_unknown(self, now: Reading) -> None:
        if now.bytes is None and not self._pace:
            self.reporter.note(
                f"replica lag unknown ({now.name}): this role may not read it, so the run does not wait for replicas; "
                f"GRANT pg_monitor TO {sql.Identifier(self.connection.info.user).as_string()}"
            )
