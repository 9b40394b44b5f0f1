"""The migration of a million rows beside one bare UPDATE per batch and beside a script that goes row by row.

All on one server, durable (fsync on), on tables made anew for each: five rows in eight are to be changed. Ours is
the command as people run it, start of the process and all, with undo rows, invariants, guard and progress.

Then what `plan` says of tables of several kinds beside what their run takes; the start of a process, as `status` takes
it, is taken off the run, since a plan tells of work in the database.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from support.postgres import Server

ROWS = 1_000_000
BATCH = 5000
ROUNDS = 3
# Five of eight are to be changed.
RAW = ["seed", "Series A", "seriesb", "pre_seed", "series-a", "series c", "Preseed", "series-c+"]
MAP = {
    "Series A": "series-a",
    "seriesb": "series-b",
    "pre_seed": "pre-seed",
    "series c": "series-c",
    "Preseed": "pre-seed",
}
# Column, its share of the migration file, and how many rows; `fund` as an expression over the row's number i.
KINDS: dict[str, tuple[str, dict[str, Any], str | None, int]] = {
    "texts": ("text", {"shape": "value"}, None, ROWS),
    "texts of 300 scattered funds": ("text", {"shape": "value"}, "i * 7919 % 300", 300_000),
    "4,000 funds of one row": ("text", {"shape": "value"}, "i", 4000),
    "objects of 50 funds": ("jsonb", {"shape": "keys", "weights": True}, "i % 50", 200_000),
    "arrays of 50 funds": ("jsonb", {"shape": "each", "field": "stage", "weight": "weight"}, "i % 50", 200_000),
}
VALUES = {
    "value": "(ARRAY['seed', 'Series A', 'seriesb', 'pre_seed'])[i % 4 + 1]",
    "keys": """jsonb_build_object('Seed', 0.25, 'Series A', 0.25, 'series-b', 0.5)""",
    "each": """'[{"stage": "Seed", "weight": 0.5}, {"stage": "Series A", "weight": 0.5}]'::jsonb""",
}
SPEC = {"tables": [{"table": "companies", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}]}
CONFIG = {"upstreams": {"portfolio": {"url": "http://127.0.0.1:3001"}}, "endpointMode": {}}


def migration() -> dict[str, Any]:
    """Migrate a million rows, as fast as the batches let it and with memory that does not grow."""
    with Server(durable=True, settings={"shared_buffers": "512MB"}) as server, tempfile.TemporaryDirectory() as name:
        bench = _Bench(server, Path(name))
        samples: dict[str, list[float]] = {"bare": [], "ours": [], "row by row": []}
        again: list[float] = []
        flips: list[float] = []
        for _ in range(ROUNDS):
            samples["bare"].append(bench.bare())
            ours = bench.ours(ROWS)
            samples["ours"].append(ROWS * 5 / 8 / ours["seconds"])
            again.append(bench.run()["seconds"])
            flips.append(bench.flip())
            samples["row by row"].append(bench.row_by_row(20_000))
        small, large = bench.ours(ROWS // 10)["memory"], ours["memory"]
        plans = {name: bench.planned(name) for name in KINDS}
    rates = {name: statistics.median(rate) for name, rate in samples.items()}
    return {
        "changed rows per second": {name: round(rate) for name, rate in rates.items()},
        "ours beside a bare update": round(rates["ours"] / rates["bare"], 2),
        "ours beside row by row": round(rates["ours"] / rates["row by row"], 1),
        "second run, seconds": round(statistics.median(again), 2),
        "reads legacy, seconds": round(statistics.median(flips), 2),
        "plan beside run": plans,
        "memory, MB": {f"{ROWS // 10:,} rows": round(small / 1e6, 1), f"{ROWS:,} rows": round(large / 1e6, 1)},
    }


class _Bench:
    def __init__(self, server: Server, folder: Path) -> None:
        self._url = server.create("bench")
        self._folder = folder
        (folder / "spec.json").write_text(json.dumps({**SPEC, "batchRows": BATCH}))
        (folder / "gateway.json").write_text(json.dumps(CONFIG))

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url, autocommit=True)

    def _fresh(self, rows: int) -> None:
        """Make the table anew, and take away what a migration left."""
        with self._connect() as connection:
            left = connection.execute(
                "SELECT relname::text FROM pg_class WHERE relname ~ '^stage_' AND relkind = 'r'"
            ).fetchall()
            for (name,) in left:
                connection.execute(f"DROP TABLE {name} CASCADE")
            connection.execute("DROP TABLE IF EXISTS companies CASCADE")
            connection.execute("CREATE TABLE companies (id bigint PRIMARY KEY, name text, stage text)")
            connection.execute(
                "INSERT INTO companies SELECT i, 'company number ' || i, (%s::text[])[i %% 8 + 1] "
                "FROM generate_series(1, %s) i",
                [RAW, rows],
            )
            connection.execute("VACUUM ANALYZE companies")
            connection.execute("CHECKPOINT")

    def bare(self) -> float:
        """Return changed rows a second of one UPDATE per key range, joined to the map, and nothing else."""
        self._fresh(ROWS)
        query = (
            "UPDATE companies SET stage = m.canonical FROM unnest(%s::text[], %s::text[]) m (raw, canonical) "
            "WHERE stage = m.raw AND id BETWEEN %s AND %s"
        )
        span = BATCH * 8 // 5  # so that a batch changes as many rows as one of ours
        started = time.monotonic()
        with self._connect() as connection:
            for start in range(1, ROWS + 1, span):
                connection.execute(query, [list(MAP), list(MAP.values()), start, start + span - 1])
        return ROWS * 5 / 8 / (time.monotonic() - started)

    def row_by_row(self, rows: int) -> float:
        """Return changed rows a second of a script that reads and writes one row at a time."""
        self._fresh(rows)
        with self._connect() as connection, self._connect() as reader:
            found = reader.execute("SELECT id, stage FROM companies").fetchall()
            started, changed = time.monotonic(), 0
            for key, stage in found:
                if stage in MAP:
                    connection.execute("UPDATE companies SET stage = %s WHERE id = %s", [MAP[stage], key])
                    changed += 1
        return changed / (time.monotonic() - started)

    def ours(self, rows: int) -> dict[str, float]:
        """Migrate; returns seconds and the most bytes that the process had in memory."""
        self._fresh(rows)
        return self.run()

    def run(self) -> dict[str, float]:
        return self._command("migrate", "run", "--no-snapshot")

    def planned(self, kind: str) -> dict[str, Any]:
        """Return what a plan says of a table of some kind, and what the run then takes."""
        type_, column, fund, rows = KINDS[kind]
        self._fresh(0)
        with self._connect() as connection:
            connection.execute("DROP TABLE companies")
            connection.execute(f"CREATE TABLE companies (id bigint PRIMARY KEY, fund bigint, stage {type_})")
            connection.execute(
                f"INSERT INTO companies SELECT i, {fund or 'NULL'}, {VALUES[column['shape']]} "
                f"FROM generate_series(1::bigint, {rows}) AS i"
            )
            connection.execute("VACUUM ANALYZE companies")
            connection.execute("CHECKPOINT")
        table: dict[str, Any] = {"table": "companies", "key": "id", "columns": [{"column": "stage", **column}]}
        spec = {"batchRows": BATCH, "tables": [table if fund is None else {**table, "fund": "fund"}]}
        (self._folder / "spec.json").write_text(json.dumps(spec))
        self._command("migrate", "plan", "--json")
        [said] = json.loads((self._folder / "out").read_text())["columns"]
        took = self.run()["seconds"]
        batches = sum(line.startswith('{"table"') for line in (self._folder / "out").read_text().splitlines())
        start = self._command("migrate", "status")["seconds"]
        return {
            "seconds": (said["estimatedSeconds"], round(took - start, 1)),
            "batches": (said["batches"], batches),
            "a plan takes": round(self._command("migrate", "plan", "--json")["seconds"], 1),
        }

    def flip(self) -> float:
        """Return the seconds that `reads legacy` takes, process and all."""
        return self._command("reads", "legacy")["seconds"]

    def _command(self, *arguments: str) -> dict[str, float]:
        files = ["--spec", f"{self._folder}/spec.json", "--config", f"{self._folder}/gateway.json"]
        started = time.monotonic()
        with (self._folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *arguments, *files],
                env={**os.environ, "STAGE_GATEWAY_DATABASE_URL": self._url},
                stdout=out,
                stderr=out,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError((self._folder / "out").read_text())
        return {"seconds": time.monotonic() - started, "memory": usage.ru_maxrss * 1024}
