"""The plan: every change and every fault, and not a byte written."""

import json
import re
from pathlib import Path

from support.migration import Migration

from gateway.stages.vocabulary import Vocabulary


def test_plan_writes_nothing(migration: Migration) -> None:
    """A plan changes no row and makes no relation; with everything mapped there is no file either, and exit code 0."""
    before, relations = migration.picture(), migration.execute("SELECT count(*) FROM pg_class")
    made = migration.command("migrate", "plan")
    assert made.code == 0
    assert migration.picture() == before
    assert migration.execute("SELECT count(*) FROM pg_class") == relations
    assert not migration.remediation.exists()


def test_plan_tells_rows_by_table_column_fund_and_value(migration: Migration) -> None:
    """--json holds each raw value of each fund with what it becomes and in how many rows."""
    document = json.loads(migration.command("migrate", "plan", "--json").out)
    stage = document["columns"][0]
    assert (stage["table"], stage["column"]) == ("public.portfoliocompanies", "stage")
    names = list(Vocabulary().canonical)
    expected = migration.execute(
        "SELECT fund_id::text, stage, count(*) FROM portfoliocompanies WHERE stage <> ALL (%s) GROUP BY 1, 2", [names]
    )
    assert {(c["fundId"], c["value"], c["rows"]) for c in stage["changes"]} == set(expected)
    assert all(c["canonical"] == Vocabulary().resolve(c["value"]) for c in stage["changes"])
    assert stage["rows"] == sum(rows for _, _, rows in expected)
    assert stage["batches"] >= stage["rows"] / 40
    assert document["invalid"] == 0


def test_plan_for_people_is_a_table(migration: Migration) -> None:
    """Without --json there is a table, the rows and batches of each column, and an estimated time."""
    made = migration.command("migrate", "plan")
    assert [word.strip() for word in made.out.splitlines()[1].split("┃")][1:-1] == [
        "table", "column", "fund", "value", "becomes", "rows",
    ]  # fmt: skip
    names = list(Vocabulary().canonical)
    [(rows,)] = migration.execute("SELECT count(*) FROM portfoliocompanies WHERE stage <> ALL (%s)", [names])
    assert f"portfoliocompanies.stage: {rows} rows to look at in " in made.out
    assert "less than a second; 0 values cannot be mapped" in made.out
    assert re.search(r"^in all .*, as told by rows that were written and taken back$", made.out, re.MULTILINE)


def test_faults_are_listed_with_suggestions(migration: Migration) -> None:
    """What cannot be mapped is in the file, one JSON object a line, with the nearest name when one is near."""
    migration.execute(
        "UPDATE portfoliocompanies SET stage = 'Sereis A', current_stage = 'growth' WHERE id = 10000000003"
    )
    made = migration.command("migrate", "plan")
    assert made.code == 1
    assert f"listed in {migration.remediation}" in made.out
    lines = [json.loads(line) for line in migration.remediation.read_text().splitlines()]
    assert [(line["column"], line["value"], line["reason"], line["suggestion"]) for line in lines] == [
        ("stage", "Sereis A", "disallowed_value", "series-a"),
        ("current_stage", "growth", "disallowed_value", None),
    ]
    assert set(lines[0]) == {"table", "column", "key", "fund", "value", "reason", "suggestion"}
    migration.remediation = Path("/nowhere/remediation.ndjson")
    unwritable = migration.command("migrate", "plan")
    assert (unwritable.code, unwritable.err) == (
        2,
        "/nowhere/remediation.ndjson: cannot be written: No such file or directory; name another file\n",
    )


def test_triggers_that_fire_are_named(migration: Migration) -> None:
    """Triggers of the application that fire for the migration's writes are told of."""
    migration.execute("""
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touch_updated_at BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION touch()""")
    made = migration.command("migrate", "plan")
    assert (
        "portfoliocompanies: triggers touch_updated_at fire for the migration's writes too, unless they test"
        in made.out
    )
    migration.migrated()
    assert "stage_migration_guard" not in migration.command("migrate", "plan").out


def test_plan_tells_of_a_run_that_is_not_finished(migration: Migration) -> None:
    """Under another vocabulary a plan says that the run before is to be finished or undone first, and exits 1."""
    migration.migrated()
    assert json.loads(migration.command("migrate", "plan", "--json").out)["unfinished"] is None
    migration.execute("UPDATE stage_migration_runs SET status = 'failed'")
    assert migration.command("migrate", "plan").code == 0
    names = ["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"]
    migration.vocabulary(canonical=[*names, "growth"])
    made = migration.command("migrate", "plan")
    assert made.code == 1
    assert "and is not finished, this one is " in made.out
    assert (
        "give it the vocabulary it had, or undo it"
        in json.loads(migration.command("migrate", "plan", "--json").out)["unfinished"]
    )
