"""The checks. All of them read one snapshot, so that traffic that goes on cannot come between two of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from gateway import __version__
from gateway.migration.database import Connection
from gateway.migration.verification import foreign_keys
from gateway.migration.verification.lineage import Lineage
from gateway.migration.verification.queries import query, slots
from gateway.migration.verification.rederive import parsed
from gateway.migration.verification.report import Report
from gateway.migration.wording import counted
from gateway.stages.vocabulary import Vocabulary, fingerprint

_IMAGES = ("before", "now")
ColumnPlace = tuple[str, str, str]  # schema, table, column
MOST_NAMED = 20  # keys in a line; the count is always whole


def verify(
    connection: Connection, vocabulary: Vocabulary, places: Sequence[ColumnPlace], *, sample: int, seed: int
) -> Report:
    """Return the report of all checks; the database must have been migrated since the last finish.

    `places` are the columns of the migration file. Those that were migrated are checked though it no longer names them.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection.atomically(lambda: _report(connection, vocabulary, places, sample=sample, seed=seed))


def _report(
    connection: Connection, vocabulary: Vocabulary, places: Sequence[ColumnPlace], *, sample: int, seed: int
) -> Report:
    server = connection.info.server_version
    versions = {"gateway": __version__, "postgresql": f"{server // 10000}.{server % 10000}"}
    report = Report(versions, vocabulary.fingerprint, seed, sample)
    _check(connection, report, vocabulary, places)
    return report


def _check(connection: Connection, report: Report, vocabulary: Vocabulary, places: Sequence[ColumnPlace]) -> None:
    connection.execute("SET LOCAL statement_timeout = 0")
    columns = connection.execute(query("columns")).fetchall()
    _columns(report, places, columns)
    _batches(connection, report, vocabulary)
    lineage = _lineage(connection, report)
    for row in (row for row in columns if not row["dropped"]):
        check = _Column(connection, report, vocabulary, lineage, row)
        check.objects()
        check.canonical()
        check.rows_and_nulls()
        check.weights()
        check.undo_rows()
        check.sample(report.sample, report.seed)
        check.stages()
    foreign_keys.check(connection, report)


def _columns(report: Report, places: Sequence[ColumnPlace], migrated: Sequence[Mapping[str, Any]]) -> None:
    report.check("columns")
    known = {tuple(row["identity"][part] for part in ("schema", "table", "column")): row["dropped"] for row in migrated}
    for place in places:
        if place not in known:
            what = "stands in the migration file and was never migrated; first: stage-gateway migrate run"
            report.add("columns", ".".join(place), what)
    for place in (place for place, dropped in known.items() if dropped):
        if place in places:
            what = "was dropped since the migration; where that was meant, take it out of the migration file"
            report.add("columns", ".".join(place), what)
        else:
            report.information.append(f"{'.'.join(place)}: was dropped since the migration, nothing of it was checked")


def _batches(connection: Connection, report: Report, vocabulary: Vocabulary) -> None:
    report.check("batches")
    report.check("vocabulary")
    run = connection.execute(query("last_run")).fetchone()
    if run is None:
        report.add("batches", "runs", "no run was ever begun")
        return
    report.run = run["run_id"]
    if run["status"] != "done":
        why = f": {run['last_error']}" if run["last_error"] else ""
        report.add("batches", f"run {run['run_id']}", f"is {run['status']}, not done{why}")
    if run["fingerprint"] != vocabulary.fingerprint:
        what = f"was made under vocabulary {run['fingerprint']}, the present one is {vocabulary.fingerprint}"
        report.add("vocabulary", f"run {run['run_id']}", what)
    for batch in connection.execute(query("batches"), {"run": run["run_id"]}).fetchall():
        called = "is called done and never was" if batch["status"] == "done" else f"is {batch['status']}"
        place = f"{batch['table_name']}.{batch['column_name']}, keys {batch['range_start']} to {batch['range_end']}"
        report.add("batches", place, f"batch {batch['batch_id']} {called}")


def _lineage(connection: Connection, report: Report) -> Lineage:
    runs = connection.execute(query("runs")).fetchall()
    for run in runs:
        made = fingerprint(run["vocabulary"]["canonical"], run["vocabulary"]["aliases"])
        if made != run["fingerprint"]:
            what = f"its vocabulary is {made}, it was made under {run['fingerprint']}"
            report.add("vocabulary", f"run {run['run_id']}", what)
    return Lineage(runs)


class _Column:
    """The checks of one column."""

    def __init__(
        self,
        connection: Connection,
        report: Report,
        vocabulary: Vocabulary,
        lineage: Lineage,
        row: Mapping[str, Any],
    ) -> None:
        self._connection = connection
        self._report = report
        self._lineage = lineage
        self._row = row
        self._column: Mapping[str, Any] = row["identity"]
        self._place = f"{self._column['schema']}.{self._column['table']}.{self._column['column']}"
        self._values = {
            "canonical": list(vocabulary.canonical),
            "field": self._column["field"],
            "weight": self._column["weight"],
            "schema": self._column["schema"],
            "table_name": self._column["table"],
            "target": row["target_id"],
        }

    def _all(self, name: str, **more: Any) -> list[dict[str, Any]]:
        composed = query(name, **slots(self._column, self._row["target_id"]))
        return self._connection.execute(composed, {**self._values, **more}).fetchall()

    def objects(self) -> None:
        """Check that the triggers, the undo rows' key and their policy are there, on which the rest stands."""
        self._report.check("objects")
        number = self._row["target_id"]
        triggers = [f"stage_migration_count_{event}" for event in ("insert", "delete", "truncate")]
        triggers += [f"stage_migration_guard_{number}_{event}" for event in ("insert", "update")]
        for row in self._all("lacking", triggers=triggers, undo=f"stage_migration_undo_{number}"):
            self._report.add("objects", self._place, row["what"])

    def canonical(self) -> None:
        """Check that every value is canonical, by fund, and list what is left."""
        self._report.check("canonical")
        for row in self._all(f"residue_{self._column['shape']}"):
            value = "a value of the wrong type" if row["value"] is None else repr(row["value"])
            what = f"{value} in {counted(row['rows'], 'place')}, keys {', '.join(row['keys'])}"
            self._report.add("canonical", f"{self._place}, fund {row['fund'] or 'none'}", what)

    def rows_and_nulls(self) -> None:
        """Check that rows now = rows at the start + those that came - those that went, and that none became NULL."""
        self._report.check("rows")
        self._report.check("nulls")
        [row] = self._all("rows")
        start = self._row["rows_at_start"]
        if start is None:
            self._report.add("rows", self._place, "was never counted, no run has got that far")
            return
        expected = start + row["change"]
        if row["rows"] != expected:
            what = f"{counted(row['rows'], 'row')}, expected {expected}: {start} at the start, {row['change']:+} since"
            if row["has_parent"]:  # a statement on a table above this one fires none of the triggers that count
                what += "; what comes or goes through the partitioned table, or one it inherits from, is not counted"
                self._report.information.append(f"{self._place}: {what}")
            else:
                self._report.add("rows", self._place, what)
        most = self._row["nulls_at_start"] + row["nulls_seen"]
        if row["nulls"] > most:
            what = f"{counted(row['nulls'], 'NULL')}, at most {most:,} were there at the start or came in"
            self._report.add("nulls", self._place, what)
        self._named("nulls", "became NULL after the migration wrote it", self._all("emptied"))
        [undo] = self._all("undo_rows")
        counts = {"rows": row["rows"], "rowsAtStart": start, "nulls": row["nulls"], "undoRows": undo["there"]}
        self._report.counts.append({"column": self._place, **counts})

    def weights(self) -> None:
        """Check that weights sum to 1 where the migration wrote, and elsewhere no less often than at the start."""
        self._report.check("weights")
        if not self._column["weighted"]:
            return
        off = self._all(f"sums_{self._column['shape']}")
        self._named("weights", "weights do not sum to 1", [row for row in off if row["written"]])
        others = [row for row in off if not row["written"]]
        if len(others) > (self._row["weights_off_at_start"] or 0):
            self._named("weights", "weights do not sum to 1, in more rows than at the start", others)
        elif others:
            self._report.information.append(
                f"{self._place}: weights do not sum to 1 in {counted(len(others), 'row')}, as at the start"
            )

    def undo_rows(self) -> None:
        """Check that undo rows are those that batches left, unchanged, and tell how they stand to the data."""
        self._report.check("undo rows")
        [row] = self._all("undo_rows")
        if row["there"] != row["left_by_batches"]:
            what = f"{counted(row['there'], 'undo row')}, batches left {row['left_by_batches']}"
            self._report.add("undo rows", self._place, what)
        self._named("undo rows", "was changed after it was written", self._all("broken_seals"))
        [standing] = self._all("standing")
        for name, meaning in (("edited", "edited since the migration"), ("gone", "whose row is gone")):
            if standing[name]:
                self._report.information.append(f"{self._place}: {counted(standing[name], 'value')} {meaning}")

    def sample(self, size: int, seed: int) -> None:
        """Check a random sample of what was written against what the second implementation makes of it."""
        self._report.check("sample")
        for row in self._all("sample", size=size, seed=seed):
            try:
                expected = [*self._lineage.expected(self._column, row["before"], row["run_id"])]
                found = row["now"] if self._column["shape"] == "value" else parsed(row["now"])
            except RecursionError:
                place = f"{self._place}, key {row['key']}"
                self._report.information.append(f"{place}: not worked out a second time, it is nested too deeply")
                continue
            except (ValueError, TypeError, KeyError, AttributeError):
                expected, found = [f"something that is no {self._column['shape']}"], row["now"]
            if found not in expected:
                best = str(expected[0] if expected else None)
                diff = {"column": self._place, "key": row["key"], "before": row["before"]}
                self._report.sample_diffs.append({**diff, "expected": best, "found": row["now"]})
                what = f"{row['before']!r} became {row['now']!r}, expected {best}"
                self._report.add("sample", f"{self._place}, key {row['key']}", what)

    def stages(self) -> None:
        """Count values by fund and stage, before and now; where each is a text, no stage may gain or lose any."""
        self._report.check("stages")
        made: dict[tuple[str | None, str | None], list[int]] = {}
        for row in self._names():
            sums = made.setdefault((row["fund"], self._lineage.resolve(row["name"])), [0, 0])
            sums[0] += row["before"]
            sums[1] += row["after"]
        order = sorted(made, key=lambda key: tuple((part is None, part or "") for part in key))
        for fund, stage in order:
            before, after = made[fund, stage]
            count = {"column": self._place, "fund": fund, "stage": stage, "before": before, "after": after}
            self._report.stages.append(count)
            if before != after and self._column["shape"] == "value" and self._lineage.is_one:
                what = f"{counted(before, 'value')} of {stage} before the migration, {after:,} now"
                self._report.add("stages", f"{self._place}, fund {fund or 'none'}", what)

    def _names(self) -> Iterator[Mapping[str, Any]]:
        shape = self._column["shape"]
        names = {f"names_{when}": query(f"names_{shape}", value=sql.Identifier("i", when)) for when in _IMAGES}
        kind = sql.SQL("text" if shape == "value" else "jsonb")
        composed = query("stages", **slots(self._column, self._row["target_id"]), **names, column_type=kind)
        yield from self._connection.execute(composed, self._values)

    def _named(self, check: str, what: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            keys = ", ".join(row["key"] for row in rows[:MOST_NAMED])
            more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
            self._report.add(check, self._place, f"{what}: {counted(len(rows), 'row')}, keys {keys}{more}")
