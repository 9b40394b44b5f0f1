"""How fast a column can be written: found out by writing a few of its rows and taking that back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import psycopg

from gateway.errors import RefusedError
from gateway.migration.catalog import Target
from gateway.migration.cutting import SMALLEST, pace_after, pieces, wanted_rows
from gateway.migration.database import Connection
from gateway.migration.lag import read_lag
from gateway.migration.mapping import Spellings
from gateway.migration.refusals import line
from gateway.migration.spec import ColumnShape, Spec
from gateway.migration.statements import statement
from gateway.migration.writing import Writer
from gateway.stages.vocabulary import Vocabulary

# Rows a second that one connection changed on a plain server with its log on disk.
TYPICAL_ROWS_PER_SECOND: Mapping[ColumnShape, int] = MappingProxyType({"value": 50_000, "keys": 25_000, "each": 15_000})
_TYPICAL_BATCH_MS = 8.0
_ENOUGH = 0.2  # seconds of writing that tell the cost
_GROWTH = 8
_COMMITS = 3  # of which the quickest counts
_ROUND_TRIPS = 3  # of a batch beside its write: it is claimed, put down as done, and the run asks whether to pause


@dataclass(frozen=True, slots=True)
class WriteCost:
    """What writing takes: `batch_ms` of a batch whatever its rows, `row_ms` of each row.

    `unmeasured` says why it is what is usual elsewhere and not what was measured; None: it was measured.
    """

    batch_ms: float
    row_ms: float
    unmeasured: str | None = None

    def batches(self, sizes: Mapping[int, int], spec: Spec) -> int:
        """Return how many batches come of those that are cut, given as counts by size, at this cost."""
        if not sizes:
            return 0
        largest = max(sizes)
        told = pace_after(spec, None, largest, self.batch_ms + largest * self.row_ms)
        if told is None:
            return sum(sizes.values())
        wanted = wanted_rows(spec, told)
        made = sum(times * sum(1 for _ in pieces(size, wanted)) for size, times in sizes.items())
        return made - sum(1 for _ in pieces(largest, wanted)) + 1  # the first is done before the cost is known

    def seconds(self, sizes: Mapping[int, int], spec: Spec) -> float:
        """Return the time that batches take, given as counts by size."""
        rows = sum(size * times for size, times in sizes.items())
        return (self.batches(sizes, spec) * self.batch_ms + rows * self.row_ms) / 1000


def usual(target: Target, why: str) -> WriteCost:
    """Return a cost that was seen elsewhere, and why no other is known."""
    return WriteCost(_TYPICAL_BATCH_MS, 1000 / TYPICAL_ROWS_PER_SECOND[target.shape], why)


class Trial:
    """Writes rows of a column as a run does, undo rows and invariants and all, and takes it back.

    It ends each time in a commit of nothing, so that the server's log is waited for as after a batch. Row locks are
    held for a part of a second at most; triggers of the table fire, and what they write is taken back too.
    """

    def __init__(self, connection: Connection, target: Target, vocabulary: Vocabulary, names: Spellings) -> None:
        self._connection = connection
        self._target = target
        self._writer = Writer(connection, target, vocabulary, names.known)

    def cost(self, keys: Sequence[str]) -> WriteCost:
        """Return the cost that these rows tell, the usual one where they cannot be written."""
        try:
            return self._measured(keys)
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            return usual(self._target, line(error))
        except RefusedError as error:
            return usual(self._target, str(error))

    def _measured(self, keys: Sequence[str]) -> WriteCost:
        flush = min(self._written(keys[:1])[1] for _ in range(_COMMITS))
        (_, *slices), flush_all = self._written(keys)  # in the first, much is read and planned for the first time
        once = slices[0][1] if slices else 0.0
        rows = sum(count for count, _ in slices[1:])
        took = sum(seconds - once for _, seconds in slices[1:]) + max(flush_all - flush, 0.0)
        row = max(took, 0.0) / rows if rows else 0.0
        return WriteCost((once + flush + self._beside()) * 1000, row * 1000)

    def _written(self, keys: Sequence[str]) -> tuple[list[tuple[int, float]], float]:
        """Write one row, one more, and slices that grow until they have taken long enough; take it all back.

        Returns rows and seconds of each, and the seconds of the commit. Raises what the server refuses.
        """
        slices: list[tuple[int, float]] = []

        def work() -> None:
            self._connection.execute("SET LOCAL lock_timeout = '100ms'")
            self._connection.execute(statement("undo_table", **self._target.slots()))
            at, size, spent = 0, 1, 0.0
            while spent < _ENOUGH and (rest := keys[at : at + size]):
                started = time.perf_counter()
                self._writer.rehearse(rest)
                took = time.perf_counter() - started
                slices.append((len(rest), took))
                at, spent = at + len(rest), spent + took
                most = max(SMALLEST, size * _GROWTH) if len(slices) > 1 else 1
                size = min(most, max(1, int(_ENOUGH * len(rest) / took)))

        def taken_back() -> tuple[psycopg.Error | None, float]:  # raised here, a lock would be waited for
            return self._connection.as_a_trial(work), time.perf_counter()

        error, started = self._connection.atomically(taken_back)
        if error is not None:
            raise error
        return slices, time.perf_counter() - started

    def _beside(self) -> float:
        started = time.perf_counter()
        read_lag(self._connection)
        for _ in range(_ROUND_TRIPS):
            self._connection.execute("SELECT 1")
        return time.perf_counter() - started
