"""The plan: what a run would change, and what it could not. Reads only."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one, patiently
from gateway.migration.mapping import Spellings, streamed
from gateway.migration.remediation import Fault
from gateway.migration.shapes import fragments, parameters
from gateway.migration.spec import Shape, Spec
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary

# Rows a second that one connection changed on a plain server with its log on disk; an estimate, and told as one.
TYPICAL_PACE: Mapping[Shape, int] = {"value": 50_000, "keys": 25_000, "each": 15_000}


@dataclass(frozen=True, slots=True)
class Change:
    """A raw name in a fund: what it becomes (None when nobody knows) and in how many rows it stands."""

    fund: str | None
    name: str
    canonical: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What would happen to one column. `seconds` is an estimate."""

    target: Target
    changes: Sequence[Change]
    rows: int
    batches: int
    seconds: float
    faults: int


def plan_column(connection: Connection, target: Target, vocabulary: Vocabulary, spec: Spec) -> ColumnPlan:
    """Return what a run would do to one column; `faults` is left at 0, `faults_of` yields them."""
    slots, values = fragments(target), parameters(target, vocabulary, {})
    with patiently(connection, f"{spec.lock_timeout_ms}ms"):
        extent = one(connection, statement("extent", **slots), values)
    changes = [
        Change(row["fund"], row["name"], vocabulary.resolve(row["name"]), row["rows"])
        for row in streamed(connection, statement("changes", **slots), values)
    ]
    rows = extent["rows"]
    batches = max(math.ceil(rows / spec.batch_rows), extent["funds"], 1 if rows else 0)
    return ColumnPlan(target, changes, rows, batches, rows / TYPICAL_PACE[target.shape], 0)


def faults_of(connection: Connection, target: Target, vocabulary: Vocabulary, names: Spellings) -> Iterator[Fault]:
    """Yield every value of a column that cannot be made canonical, a few rows in memory at a time."""
    if target.shape == "value" and names.complete:
        return  # nothing but a name can be wrong
    query = statement("faults", **fragments(target), where=sql.SQL("true"))
    for row in streamed(connection, query, parameters(target, vocabulary, names.known)):
        yield as_fault(target, vocabulary, row)


def recorded_faults(connection: Connection, target: Target, vocabulary: Vocabulary, run: int) -> Iterator[Fault]:
    """Yield what a run left out of a column, a few rows in memory at a time."""
    values = {"run": run, "target": target.target_id}
    for row in streamed(connection, statement("recorded", **target.slots()), values):
        yield as_fault(target, vocabulary, row)


def as_fault(target: Target, vocabulary: Vocabulary, row: Mapping[str, Any]) -> Fault:
    """Return a row of the statement `faults` with its suggestion."""
    unknown = row["reason"] == "disallowed_value" and row["value"] is not None
    suggestion = vocabulary.nearest(row["value"]) if unknown else None
    table = f"{target.schema}.{target.table}"
    return Fault(table, target.column, row["key"], row["fund"], row["value"], row["reason"], suggestion)
