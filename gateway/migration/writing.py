"""One batch: written, held against the invariants, recorded as done, all in one transaction or not at all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from gateway.errors import RefusedError
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.faults import Fault, as_fault
from gateway.migration.shapes import broken, exactly, fragments, parameters
from gateway.migration.statements import statement
from gateway.migration.wording import counted
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `stage_migration_batches` that is to be done; `keys` as text.

    `joined` says that it has rows of several small funds; `fund` is None then.
    """

    batch_id: int
    target_id: int
    round: int
    fund: str | None
    joined: bool
    range_start: str
    range_end: str
    keys: Sequence[str]
    row_count: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch came to: rows written, rows that cannot be mapped, and the time it took in milliseconds."""

    updated: int
    skipped_invalid: int
    duration_ms: int


class InvariantError(RefusedError):
    """A batch would have broken what must hold. It was rolled back."""


class _AlteredError(Exception):
    """Rows came out otherwise than meant: what stood there after the write, by key."""

    def __init__(self, rows: Mapping[str, str | None]) -> None:
        super().__init__()
        self.rows = rows


class Writer:
    """Writes the batches of one column with one map."""

    def __init__(
        self, connection: Connection, target: Target, vocabulary: Vocabulary, mapping: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._target = target
        self._vocabulary = vocabulary
        slots = fragments(target)
        self._kept_before = statement("kept_before", **target.slots())
        self._write = {
            again: statement(
                "write", **slots, **exactly(target), broken=broken(target), keep=statement(file, **target.slots())
            )
            for again, file in ((False, "keep_first"), (True, "keep_again"))
        }
        self._open = statement("still_to_write", **slots)
        self._faults = statement(
            "faults", **slots, where=statement("among_keys", key=slots["key"], key_type=slots["key_type"])
        )
        self._values = parameters(target, vocabulary, mapping)

    def write(self, run: int, batch: Batch, *, record_invalid: bool) -> Written:
        """Write one batch and commit it.

        Raises InvariantError when a row would come out wrong, RefusedError when a value cannot be mapped, or a trigger
        of the table alters or suppresses the write, and that is not to be recorded, BusyError when a lock stays; all
        after rolling back.
        """
        started = time.monotonic()
        values = self._values_of(run, batch)
        faults: list[Fault] = []
        while True:
            try:
                attempt = partial(self._attempt, batch, values, faults, record_invalid=record_invalid, started=started)
                updated, skipped = self._connection.atomically(attempt)
            except _AlteredError as error:
                # Rolled back: what a trigger makes something else of is left as it was.
                faults += [self._by_trigger(key, now, "altered_by_trigger") for key, now in error.rows.items()]
                if not record_invalid:
                    raise RefusedError(_refusal(faults)) from None
                values["keys"] = [key for key in values["keys"] if key not in error.rows]
            else:
                return Written(updated, skipped, round((time.monotonic() - started) * 1000))

    def _values_of(self, run: int, batch: Batch) -> dict[str, Any]:
        place = {"start": batch.range_start, "end": batch.range_end, "target": batch.target_id}
        return {**self._values, **place, "keys": batch.keys, "batch": batch.batch_id, "run": run}

    def rehearse(self, keys: Sequence[str]) -> None:
        """Write rows within a transaction of the caller's, who takes it back. Raises what `write` raises."""
        self._connection.execute(statement("by_key"))
        batch = Batch(0, 0, 0, None, False, keys[0], keys[-1], keys, len(keys))
        try:
            self._store(batch, {**self._values, "keys": keys, "batch": 0})
        except _AlteredError as error:
            key, now = next(iter(error.rows.items()))
            raise RefusedError(_refusal([self._by_trigger(key, now, "altered_by_trigger")])) from None

    def _attempt(
        self, batch: Batch, values: Mapping[str, Any], known: Sequence[Fault], *, record_invalid: bool, started: float
    ) -> tuple[int, int]:
        """Write what `values` names, within a transaction; returns rows written and rows left out."""
        self._connection.execute(statement("by_key"))
        updated, added = self._store(batch, values)
        faults = list(known)
        if updated < len(values["keys"]):
            more_updated, more_added, suppressed = self._try_again(batch, values)
            updated, added = updated + more_updated, added + more_added
            faults += self._left_over(values)
            faults += [self._by_trigger(key, None, "suppressed_by_trigger") for key in suppressed]
        if faults and not record_invalid:
            raise RefusedError(_refusal(faults))
        for fault in faults:
            fault_values = {"key": fault.key, "value": fault.value, "reason": fault.reason}
            self._connection.execute(statement("record_invalid"), {**values, **fault_values})
        skipped = len({fault.key for fault in faults})
        duration = round((time.monotonic() - started) * 1000)
        done = {"updated": updated, "skipped": skipped, "undo_rows": added, "duration_ms": duration}
        self._connection.execute(statement("done"), {**values, **done})
        return updated, skipped

    def refused_key(self, run: int, batch: Batch, code: str | None) -> str | None:
        """Return the key of the row that the server refuses with an SQLSTATE; None when it takes all of them by now.

        Ever fewer rows are written and rolled back. Among rows that cannot stand together it is the later one.
        """
        values = self._values_of(run, batch)
        good, bad = 0, len(values["keys"])  # so many rows are taken, so many are not
        if self._takes(values, bad, code):
            return None
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self._takes(values, middle, code) else (good, middle)
        return str(values["keys"][bad - 1])

    def _takes(self, values: Mapping[str, Any], count: int, code: str | None) -> bool:
        def work() -> None:
            self._connection.execute(statement("by_key"))
            some = {**values, "keys": values["keys"][:count]}
            self._connection.execute(self._write[one(self._connection, self._kept_before, some)["there"]], some)

        error = self._connection.as_a_trial(work)
        return error is None or error.sqlstate != code

    def _store(self, batch: Batch, values: Mapping[str, Any]) -> tuple[int, int]:
        """Write the rows with these keys; returns how many there were, and how many got a new undo row."""
        again = one(self._connection, self._kept_before, values)["there"]
        made = one(self._connection, self._write[again], values)
        if made["altered"]:
            raise _AlteredError(dict(made["altered"]))
        self._check(batch, made)
        return made["updated"], made["added"]

    def _try_again(self, batch: Batch, values: Mapping[str, Any]) -> tuple[int, int, Sequence[str]]:
        """Write what was changed in between; returns what `_store` does, and the keys that a trigger suppresses."""
        rest = {**values, "keys": self._still_to_write(values)}
        if not rest["keys"]:
            return 0, 0, ()
        updated, added = self._store(batch, rest)
        return updated, added, self._still_to_write(rest) if updated < len(rest["keys"]) else ()

    def _still_to_write(self, values: Mapping[str, Any]) -> list[str]:
        return [row["key"] for row in self._connection.execute(self._open, dict(values)).fetchall()]

    def _by_trigger(self, key: str, value: str | None, reason: str) -> Fault:
        table = f"{self._target.schema}.{self._target.table}"
        return Fault(table, self._target.column, key, None, value, reason, None)

    def _check(self, batch: Batch, made: Mapping[str, Any]) -> None:
        place = f"{self._target.name}, keys {batch.range_start} to {batch.range_end}"
        if made["broken"]:
            raise InvariantError(
                f"{place}: {counted(made['broken'], 'row')} did not come out canonical with weights that sum to 1; "
                "the batch was rolled back"
            )
        if made["kept"] != made["updated"]:
            raise InvariantError(
                f"{place}: {counted(made['updated'], 'row')} written but {counted(made['kept'], 'undo row')}; "
                "the batch was rolled back"
            )

    def _left_over(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what of a batch cannot be mapped, leaving out what only changed while it was written.

        A spelling that came in after the map was made and that the vocabulary knows is left to the next round.
        """
        faults = []
        for row in self._connection.execute(self._faults, dict(values)).fetchall():
            new = row["reason"] == "disallowed_value" and self._vocabulary.resolve(row["value"]) is not None
            if not new:
                faults.append(as_fault(self._target, self._vocabulary, row))
        return faults


_BY_TRIGGER = MappingProxyType(
    {
        "altered_by_trigger": "a trigger of the table stores {value!r} in place of what is to be written",
        "suppressed_by_trigger": "a trigger or rule of the table lets the write go by without storing it",
    }
)


def _refusal(faults: Sequence[Fault]) -> str:
    first = faults[0]
    what = _BY_TRIGGER.get(first.reason, f"{{value!r}} cannot be mapped ({first.reason})").format(value=first.value)
    what += f", suggestion {first.suggestion}" if first.suggestion else ""
    cure = "correct it" if first.reason not in _BY_TRIGGER else "disable it for the migration"
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return (
        f"{first.table}.{first.column}, key {first.key}: {what}{more}; the batch was rolled back; "
        f"{cure} and run again, or run with --on-invalid record"
    )
