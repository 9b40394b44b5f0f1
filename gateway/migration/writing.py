"""One batch: written, held against the invariants, recorded as done, all in one transaction or not at all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import RefusedError
from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.planning import Fault, as_fault
from gateway.migration.shapes import broken, fragments, parameters
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `stage_migration_batches` that is to be done; `keys` as text."""

    batch_id: int
    target_id: int
    round: int
    fund: str | None
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
            again: statement("write", **slots, broken=broken(target), keep=statement(file, **target.slots()))
            for again, file in ((False, "keep_first"), (True, "keep_again"))
        }
        self._faults = statement(
            "faults", **slots, where=statement("among_keys", key=slots["key"], key_type=slots["key_type"])
        )
        self._values = parameters(target, vocabulary, mapping)

    def write(self, run: int, batch: Batch, *, record_invalid: bool) -> Written:
        """Write one batch and commit it.

        Raises InvariantError when a row would come out wrong, RefusedError when a value cannot be mapped and is not
        to be recorded; both after rolling back.
        """
        started = time.monotonic()
        values = {**self._values, "keys": batch.keys, "batch": batch.batch_id, "run": run, "target": batch.target_id}
        values |= {"start": batch.range_start, "end": batch.range_end}
        with self._connection.transaction():
            self._connection.execute(statement("by_key"))
            again = one(self._connection, self._kept_before, values)["there"]
            made = one(self._connection, self._write[again], values)
            self._check(batch, made)
            faults = self._left_over(values) if made["updated"] < batch.row_count else []
            if faults and not record_invalid:
                raise RefusedError(_refusal(faults))
            for fault in faults:
                fault_values = {"key": fault.key, "value": fault.value, "reason": fault.reason}
                self._connection.execute(statement("record_invalid"), {**values, **fault_values})
            skipped = len({fault.key for fault in faults})
            duration = round((time.monotonic() - started) * 1000)
            done = {"updated": made["updated"], "skipped": skipped, "undo_rows": made["added"], "duration_ms": duration}
            self._connection.execute(statement("done"), {**values, **done})
        return Written(made["updated"], skipped, round((time.monotonic() - started) * 1000))

    def _check(self, batch: Batch, made: Mapping[str, Any]) -> None:
        place = f"{self._target.name}, keys {batch.range_start} to {batch.range_end}"
        if made["broken"]:
            raise InvariantError(
                f"{place}: {made['broken']} rows did not come out canonical with weights that sum to 1, a trigger of "
                "the table may have changed them; the batch was rolled back"
            )
        if made["kept"] != made["updated"]:
            raise InvariantError(
                f"{place}: {made['updated']} rows written but {made['kept']} undo rows; the batch was rolled back"
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


def _refusal(faults: Sequence[Fault]) -> str:
    first = faults[0]
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return (
        f"{first.table}.{first.column}, key {first.key}: {first.value!r} cannot be mapped ({first.reason}){more}; "
        "correct it and run again, or run with --on-invalid record"
    )
