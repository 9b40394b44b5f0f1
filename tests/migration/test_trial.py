"""The trial by which a plan tells the time: real writes, of which nothing stays."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.migration import Migration

from gateway.migration.spec import load_spec
from gateway.migration.trial import WriteCost

EVERYTHING = """
    SELECT 'relation', count(*)::text FROM pg_class UNION ALL SELECT 'type', count(*)::text FROM pg_type UNION ALL
    SELECT 'policy', count(*)::text FROM pg_policy UNION ALL SELECT 'function', count(*)::text FROM pg_proc UNION ALL
    SELECT 'row', concat_ws(' ', id, xmin, ctid) FROM portfoliocompanies UNION ALL
    SELECT 'row', concat_ws(' ', id, xmin, ctid) FROM fund_baselines ORDER BY 1, 2"""


def columns(migration: Migration, *options: str) -> list[dict[str, Any]]:
    made = migration.command("migrate", "plan", "--json", *options)
    assert made.code == 0, made
    return list(json.loads(made.out)["columns"])


def test_nothing_of_a_trial_stays(migration: Migration) -> None:
    """Every row keeps its version, no object is left, and what triggers wrote is taken back."""
    migration.execute("""
        CREATE TABLE diary (id int);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
          AS 'BEGIN INSERT INTO diary VALUES (1); RETURN NEW; END';
        CREATE TRIGGER note BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION note()""")
    before = migration.execute(EVERYTHING)
    assert [column["unmeasured"] for column in columns(migration)] == [None] * 5
    assert migration.execute(EVERYTHING) == before
    assert migration.execute("SELECT count(*) FROM diary") == [(0,)]


def test_trial_writes_what_a_run_writes(migration: Migration) -> None:
    """A trigger that lets no write through is met in the trial, and is why there is no measured time."""
    migration.execute("""
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
        CREATE TRIGGER no BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION no()""")
    assert columns(migration)[-1]["unmeasured"].startswith("not today (raised by PL/pgSQL function no()")
    told = migration.command("migrate", "plan").out
    assert "tags.stages: its time is a guess, not measured: not today" in told
    assert "written and taken back" not in told
    assert columns(migration, "--no-trial")[-1]["unmeasured"] == "without a trial"


def test_trial_does_not_wait_for_locked_rows(migration: Migration) -> None:
    """Rows that an application holds are not waited for: the time is a guess then."""
    with migration.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM tags FOR UPDATE")
        assert columns(migration)[-1]["unmeasured"] == "canceling statement due to lock timeout"


def test_read_only_server_is_planned_without_a_trial(migration: Migration) -> None:
    """Where nothing can be written, such as on a standby, a plan tells all but the time."""
    name = migration.execute("SELECT current_database()")[0][0]
    migration.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert {column["unmeasured"] for column in columns(migration)} == {
        "cannot execute CREATE TABLE in a read-only transaction"
    }


@pytest.mark.parametrize(
    ("batch_ms", "row_ms", "batches"),
    [
        (5, 0.01, 12),  # 55 ms a batch: nothing is cut
        (5, 0.2, 2 + 10 * 2 - 1),  # 5,000 rows take a second, so that each batch but the first is cut in two
        (5, 1000, 2 + 10 * 100 - 99),
    ],
)
def test_batches_follow_the_pace(tmp_path: Path, batch_ms: float, row_ms: float, batches: int) -> None:
    """The batches of a slow column are those into which a run cuts them; two of few rows stay what they are."""
    path = tmp_path / "spec.json"
    path.write_text(
        json.dumps({"tables": [{"table": "t", "key": "id", "columns": [{"column": "s", "shape": "value"}]}]})
    )
    assert WriteCost(batch_ms, row_ms).batches({5000: 10, 7: 2}, load_spec(path)) == batches
    assert WriteCost(batch_ms, row_ms).batches({}, load_spec(path)) == 0
