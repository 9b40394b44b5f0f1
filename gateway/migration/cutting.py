"""How a column's rows are cut into batches: one way, by which a plan counts and a run works."""

from collections.abc import Iterator

from psycopg import sql

from gateway.migration.catalog import Target
from gateway.migration.shapes import fragments
from gateway.migration.spec import Spec
from gateway.migration.statements import statement

SMALLEST = 50  # rows; a batch is not cut smaller for taking long


def sliced(name: str, target: Target) -> sql.Composed:
    """Return the statement of a file that takes the batches of a column, the rows at hand, as its slot `cut`.

    Its parameters are those of the column's other statements, and `rows`, the most a batch may have.
    """
    return statement(name, cut=statement("cut", **fragments(target)))


def wanted_rows(spec: Spec, rows_per_ms: float) -> int:
    """Return how many rows are written in the time that a batch is to take."""
    return max(SMALLEST, int(rows_per_ms * spec.target_batch_ms))


def is_too_large(row_count: int, wanted: int) -> bool:
    """Return whether a batch is to be cut: one that is a little too large is better done than made two."""
    return row_count > 1.5 * wanted


def pieces(row_count: int, wanted: int) -> Iterator[int]:
    """Yield the sizes into which a batch is cut at a pace that stays the same."""
    while is_too_large(row_count, wanted):
        yield wanted
        row_count -= wanted
    yield row_count


def pace_after(spec: Spec, before: float | None, row_count: int, duration_ms: float) -> float | None:
    """Return the rows written in a millisecond as a batch tells them, given those told before; None: nobody knows.

    A batch that is over in a tenth of the time it may take is mostly round trips: it tells that the pace is no lower.
    """
    pace = row_count / max(duration_ms, 1)
    if duration_ms * 10 >= spec.target_batch_ms:
        return pace
    return None if before is None else max(before, pace)
