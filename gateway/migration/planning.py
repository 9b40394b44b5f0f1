"""The plan: what a run would change, what it could not, and how long it would take. What it writes it takes back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.migration.catalog import Target
from gateway.migration.cutting import sliced
from gateway.migration.database import Connection
from gateway.migration.faults import faults_of
from gateway.migration.mapping import spellings, streamed
from gateway.migration.objections import Objection, Objector
from gateway.migration.remediation import Remediation
from gateway.migration.shapes import fragments, off, parameters
from gateway.migration.spec import Spec
from gateway.migration.statements import statement
from gateway.migration.trial import Trial, usual
from gateway.stages.vocabulary import Vocabulary

_LOOKS = 2  # for rows that are not canonical: before the first batch, and in the last sweep


@dataclass(frozen=True, slots=True)
class Change:
    """A raw name in a fund: what it becomes (None when nobody knows) and in how many rows it stands."""

    fund: str | None
    name: str
    canonical: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What would happen to one column.

    `seconds` is an estimate: from a trial that was taken back, or, where `unmeasured` says why there was none, from
    what is usual. `faults` counts the values that cannot be mapped.
    """

    target: Target
    changes: Sequence[Change]
    rows: int
    batches: int
    seconds: float
    unmeasured: str | None
    faults: int
    objections: Sequence[Objection] = ()


def plan_column(
    connection: Connection,
    target: Target,
    vocabulary: Vocabulary,
    spec: Spec,
    file: Remediation,
    objector: Objector,
    *,
    trial: bool,
) -> ColumnPlan:
    """Return what a run would do to one column; what cannot be mapped is added to `file`.

    With `trial` some rows are written and taken back. What is read takes as long as it does in a run.
    """
    before, reading = file.count, Stopwatch()
    values = parameters(target, vocabulary, {})
    with reading:
        [cut] = connection.unhurried(sliced("sizes", target), {**values, "rows": spec.batch_rows}).fetchall()
    sizes = {int(size): times for size, times in cut["sizes"].items()}
    rows = sum(size * times for size, times in sizes.items())
    if not rows:
        return ColumnPlan(target, (), 0, 0, _LOOKS * reading.seconds, None, 0)
    changes = [
        Change(row["fund"], row["name"], vocabulary.resolve(row["name"]), row["rows"])
        for row in streamed(connection, statement("changes", **fragments(target)), values)
    ]
    with reading:
        names = spellings(connection, target, vocabulary)
        for fault in faults_of(connection, target, vocabulary, names):
            file.add(fault)
        objections = objector.about(target, names.known)
    look = Stopwatch()
    with reading:
        connection.unhurried(statement("look", **fragments(target), off=off(target)), values)
    with look:
        connection.unhurried(statement("bad_rows", **fragments(target)), values)
    cost = Trial(connection, target, vocabulary, names).cost(cut["keys"]) if trial else usual(target, "without a trial")
    seconds = reading.seconds + _LOOKS * look.seconds + cost.seconds(sizes, spec)
    faults = file.count - before
    return ColumnPlan(target, changes, rows, cost.batches(sizes, spec), seconds, cost.unmeasured, faults, objections)


class Stopwatch:
    """Adds up the time spent in its contexts, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started
