"""Tables and columns that were dropped after they were migrated: everything else is verified, undone and finished."""

from typing import Any

import pytest
from support.migration import Migration
from support.tables import SPEC

TABLES: list[dict[str, Any]] = SPEC["tables"]
DROPS = (
    ("DROP TABLE tags CASCADE", "public.tags.stages"),
    ("ALTER TABLE tags DROP COLUMN stages CASCADE", "public.tags.stages"),
)


def without(migration: Migration, table: str) -> None:
    """Take a table out of the migration file."""
    migration.specify(tables=[entry for entry in TABLES if entry["table"] != table])


@pytest.mark.parametrize(("drop", "place"), DROPS)
def test_undo_goes_past_what_was_dropped(migration: Migration, drop: str, place: str) -> None:
    """Undo restores the other tables, says what it cannot restore, and finish takes everything away."""
    before = {table: rows for table, rows in migration.picture().items() if table != "tags"}
    migration.migrated()
    [(values,)] = migration.execute("SELECT count(*) FROM stage_migration_undo_5")
    migration.execute(drop)
    made = migration.command("migrate", "undo")
    assert made.code == 0, made.err
    assert f"{place}: was dropped since the migration, {values} values cannot be restored" in made.out
    migration.execute("DROP TABLE IF EXISTS tags; CREATE TABLE tags (id int)")
    assert {table: rows for table, rows in migration.picture().items() if table != "tags"} == before
    assert migration.command("migrate", "finish", "--yes").code == 0
    left = "SELECT relname FROM pg_class WHERE relname LIKE 'stage_%'"
    assert migration.execute(left) == []


@pytest.mark.parametrize(("drop", "place"), DROPS)
def test_verify_wants_what_was_dropped_out_of_the_file(migrated: Migration, drop: str, place: str) -> None:
    """What the file still names is a violation with its cure; then all holds, runs go on, and finish may end it."""
    migrated.execute(drop)
    made = migrated.verify()
    assert made.code == 1
    cure = "was dropped since the migration; where that was meant, take it out of the migration file"
    assert f"violation: columns: {place}: {cure}\n" in made.out
    assert made.out.endswith("1 violation\n")
    assert migrated.command("migrate", "finish", "--yes").code == 1
    without(migrated, "tags")
    made = migrated.verify()
    assert made.code == 0, made.out
    assert f"for information: {place}: was dropped since the migration, nothing of it was checked\n" in made.out
    migrated.execute("UPDATE portfoliocompanies SET stage = 'Seed'")
    migrated.migrated()
    assert migrated.command("reads", "legacy").code == 0
    assert migrated.command("reads", "canonical").code == 0
    with migrated.role("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}") as role:
        assert migrated.command("reads", "grant", role).code == 0
    assert migrated.command("migrate", "finish", "--yes").code == 0


def test_table_that_was_renamed_and_lost_its_triggers_is_not_taken_for_dropped(migrated: Migration) -> None:
    """The view still reads it, so undo refuses as long as it has another name."""
    migrated.execute("""
        ALTER TABLE tags RENAME TO labels;
        DROP TRIGGER stage_migration_guard_5_insert ON labels;
        DROP TRIGGER stage_migration_guard_5_update ON labels""")
    made = migrated.command("migrate", "undo")
    assert made.code == 2
    assert "public.tags.stages: was renamed or dropped since the migration" in made.err
