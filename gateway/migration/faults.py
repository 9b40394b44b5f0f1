"""Values that cannot be made canonical, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from gateway.migration.catalog import Target
from gateway.migration.database import Connection
from gateway.migration.mapping import Spellings, streamed
from gateway.migration.shapes import fragments, parameters
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that cannot be made canonical. `suggestion` is the nearest canonical name, when one is near."""

    table: str
    column: str
    key: str
    fund: str | None
    value: str | None
    reason: str
    suggestion: str | None


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
