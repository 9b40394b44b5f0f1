"""The read switch: what views show in either mode, to whom, and what it costs."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from support.migration import Migration


@pytest.fixture
def role(migration: Migration) -> Iterator[str]:
    """Make a role that may read the tables, and is shown only the companies of fund 1."""
    rights = (
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; "
        "ALTER TABLE portfoliocompanies ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY own ON portfoliocompanies TO {role} USING (fund_id = 1)"
    )
    with migration.role(rights) as name:
        yield name


def as_role(migration: Migration, role: str, query: str) -> list[tuple[object, ...]]:
    with migration.connect(user=role) as connection:
        return connection.execute(query).fetchall()


TABLES = ["portfoliocompanies", "fund_strategy_models", "fund_baselines", "tags"]


def test_views_show_the_values_before_or_the_tables_as_they_are(migration: Migration) -> None:
    """In legacy mode each view is the table as it was before the migration, in canonical mode the table as it is."""
    before = migration.picture()
    canonical = migration.migrated().picture()
    for mode, expected in (("legacy", before), ("canonical", canonical), ("legacy", before)):
        assert migration.command("reads", mode).code == 0
        for table in TABLES:
            assert sorted(migration.execute(f"SELECT v::text FROM {table}_stages v")) == expected[table]


def test_value_that_was_edited_since_is_shown_as_it_is(migrated: Migration) -> None:
    """In legacy mode a reader sees what an application wrote after the migration, and not the value before it."""
    [(key,)] = migrated.execute("SELECT key FROM stage_migration_undo_1 WHERE before = 'Seed' LIMIT 1")
    migrated.execute("UPDATE portfoliocompanies SET stage = 'series-b' WHERE id = %s", [key])
    migrated.command("reads", "legacy")
    assert migrated.execute("SELECT stage FROM portfoliocompanies_stages WHERE id = %s", [key]) == [("series-b",)]


def test_types_of_a_view_are_those_of_its_table(migrated: Migration) -> None:
    """A reader finds the same columns with the same types in the view."""
    query = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    )
    for table in TABLES:
        assert migrated.execute(query, [f"{table}_stages"]) == migrated.execute(query, [table])


def test_status_tells_mode_time_and_role(migration: Migration) -> None:
    """`reads status` says what readers are shown, since when, and who set it."""
    assert migration.command("reads", "status").code == 1
    migration.migrated()
    assert migration.command("reads", "legacy").out == "readers are shown legacy values\n"
    assert migration.command("reads", "legacy").out == "readers are shown legacy values, as before\n"
    document = json.loads(migration.command("reads", "status", "--json").out)
    assert (document["mode"], document["changedBy"]) == ("legacy", "postgres")
    assert migration.command("reads", "status").out.startswith("legacy, since ")


def test_view_cannot_be_written(migrated: Migration) -> None:
    """Writes keep the table; the view refuses them."""
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        migrated.execute("UPDATE portfoliocompanies_stages SET stage = 'seed'")


def test_branch_that_does_not_hold_is_never_run(migrated: Migration) -> None:
    """In either mode the other branch is not executed, and a key is looked up by the index."""
    migrated.execute("ANALYZE portfoliocompanies; ANALYZE stage_migration_undo_1; ANALYZE stage_migration_undo_2")
    for mode in ("canonical", "legacy"):
        migrated.command("reads", mode)
        with migrated.connect() as connection:
            connection.execute("SET enable_seqscan = off")
            plan = connection.execute(
                "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM portfoliocompanies_stages WHERE id = 10000000003"
            ).fetchone()
        assert plan is not None
        branches = plan[0][0]["Plan"]["Plans"]
        loops = [
            max((scan["Actual Loops"] for scan in scans(branch, "portfoliocompanies")), default=0)
            for branch in branches
        ]
        assert loops == ([1, 0] if mode == "canonical" else [0, 1])
        assert {scan["Node Type"] for branch in branches for scan in scans(branch, "portfoliocompanies")} == {
            "Index Scan"
        }


def scans(node: dict[str, Any], table: str) -> list[dict[str, Any]]:
    """Return the scans of a table below a node of a plan."""
    below = [scan for child in node.get("Plans", []) for scan in scans(child, table)]
    return [node, *below] if node.get("Relation Name") == table else below


def test_granted_role_sees_no_more_than_the_table_lets_it(migration: Migration, role: str) -> None:
    """Through the view in both modes, and in the undo rows themselves, a role sees its own rows only."""
    migration.migrated()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(migration, role, "SELECT * FROM portfoliocompanies_stages")
    made = migration.command("reads", "grant", role)
    assert (made.code, made.err) == (0, "")
    own = as_role(migration, role, "SELECT id FROM portfoliocompanies ORDER BY id")
    everyone = migration.execute("SELECT id FROM portfoliocompanies ORDER BY id")
    assert 0 < len(own) < len(everyone)
    for mode in ("canonical", "legacy"):
        migration.command("reads", mode)
        assert as_role(migration, role, "SELECT id FROM portfoliocompanies_stages ORDER BY id") == own
    undo = {key for (key,) in as_role(migration, role, "SELECT key FROM stage_migration_undo_1")}
    assert undo
    assert undo <= {key for (key,) in own}
    assert len(undo) < migration.execute("SELECT count(*) FROM stage_migration_undo_1")[0][0]
    legacy = as_role(migration, role, "SELECT id, stage FROM portfoliocompanies_stages")
    assert any(stage == "SEED" for _, stage in legacy)


def test_key_that_is_given_to_another_opens_no_undo_row(migration: Migration, role: str) -> None:
    """Who gets the key of a row that is gone does not see what stood there, and without the column nobody sees it."""
    migration.migrated()
    migration.command("reads", "grant", role)
    [(key,)] = migration.execute(
        "SELECT id FROM portfoliocompanies JOIN stage_migration_undo_1 ON key = id WHERE before = 'Seed' "
        "AND NOT EXISTS (SELECT FROM rounds WHERE company_id = id) LIMIT 1"
    )
    [(own,)] = as_role(migration, role, "SELECT min(fund_id) FROM portfoliocompanies")
    migration.execute("DELETE FROM portfoliocompanies WHERE id = %s", [key])
    migration.execute("INSERT INTO portfoliocompanies VALUES (%s, %s, 'new', 'series-c+', NULL)", [key, own])
    assert as_role(migration, role, f"SELECT id FROM portfoliocompanies WHERE id = {key}") == [(key,)]
    assert as_role(migration, role, f"SELECT before FROM stage_migration_undo_1 WHERE key = {key}") == []
    migration.execute(f"REVOKE SELECT ON portfoliocompanies FROM {role}")
    migration.execute(f"GRANT SELECT (id, fund_id) ON portfoliocompanies TO {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(migration, role, "SELECT before FROM stage_migration_undo_1")


def test_granted_role_reads_on_when_a_column_is_added_to_the_migration(migration: Migration, role: str) -> None:
    """When a later run migrates another column of the table, those who read its view go on doing so."""
    columns = [{"column": "stage", "shape": "value"}, {"column": "current_stage", "shape": "value"}]
    table = {"table": "portfoliocompanies", "key": "id"}
    migration.specify(tables=[{**table, "columns": columns[:1]}])
    migration.migrated()
    migration.command("reads", "grant", role)
    migration.specify(tables=[{**table, "columns": columns}])
    migration.migrated()
    assert as_role(migration, role, "SELECT count(current_stage) > 0 FROM portfoliocompanies_stages") == [(True,)]


def test_grant_does_not_open_the_table(migration: Migration, role: str) -> None:
    """A role that may not read the table is refused, and gets nothing; neither does one that is none."""
    migration.migrated()
    migration.execute(f"REVOKE SELECT ON portfoliocompanies FROM {role}")
    made = migration.command("reads", "grant", role)
    assert made.code == 1
    assert "may not read public.portfoliocompanies itself" in made.err
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(migration, role, "SELECT * FROM stage_read_mode")
    assert migration.command("reads", "grant", "nobody_of_this_name").code == 1


def test_name_of_the_view_is_taken(migration: Migration) -> None:
    """Something else under the view's name is left alone, and nothing is changed; another name can be given."""
    migration.execute("CREATE TABLE portfoliocompanies_stages (x int)")
    made = migration.run()
    assert made.code == 2
    assert "table public.portfoliocompanies_stages: is none of the migration's" in made.err
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]
    tables = [
        {
            "table": "portfoliocompanies",
            "key": "id",
            "view": "companies_read",
            "columns": [{"column": "stage", "shape": "value"}],
        }
    ]
    migration.specify(tables=tables)
    migration.migrated()
    assert migration.execute("SELECT count(*) FROM companies_read") == migration.execute(
        "SELECT count(*) FROM portfoliocompanies"
    )


def test_view_of_another_table_is_not_taken(bare: Migration) -> None:
    """Two migration files may not name one view for two tables: its readers would see rows of the other table."""
    bare.execute("""
        CREATE TABLE deals (id int PRIMARY KEY, stage text); CREATE TABLE plans (id int PRIMARY KEY, stage text);
        INSERT INTO deals VALUES (1, 'Seed'); INSERT INTO plans VALUES (2, 'Seed')""")
    column = {"column": "stage", "shape": "value"}
    bare.specify(tables=[{"table": "deals", "key": "id", "view": "read", "columns": [column]}])
    bare.migrated()
    bare.specify(tables=[{"table": "plans", "key": "id", "view": "read", "columns": [column]}])
    for made in (bare.command("migrate", "plan"), bare.run()):
        assert made.code == 2
        assert "view public.read: is that of deals, which was migrated before; name another view for plans" in made.err
    assert bare.execute("SELECT id, stage FROM read") == [(1, "seed")]
    assert bare.execute("SELECT stage FROM plans") == [("Seed",)]


def test_other_settings_are_told_by_plan_and_run(bare: Migration) -> None:
    """A column that was migrated with another view, key or fund is refused by both before anything is written."""
    bare.execute("CREATE TABLE deals (id int PRIMARY KEY, stage text); INSERT INTO deals VALUES (1, 'Seed')")
    column = {"column": "stage", "shape": "value"}
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": [column]}])
    bare.migrated()
    bare.specify(tables=[{"table": "deals", "key": "id", "view": "read", "columns": [column]}])
    for made in (bare.command("migrate", "plan"), bare.run()):
        assert made.code == 2
        assert "deals.stage was migrated with other settings; give the same ones" in made.err


def test_view_follows_a_column_that_is_added(migration: Migration) -> None:
    """The next run takes a new column of the table into the view; dropping it wants the view dropped first."""
    migration.migrated()
    migration.execute("ALTER TABLE portfoliocompanies ADD COLUMN country text DEFAULT 'DE'")
    migration.migrated()
    assert migration.execute("SELECT DISTINCT country FROM portfoliocompanies_stages") == [("DE",)]
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        migration.execute("ALTER TABLE portfoliocompanies DROP COLUMN country")


def test_generated_columns_are_named(bare: Migration) -> None:
    """Columns that the database makes from a migrated one are named with reads legacy, others are not."""
    bare.execute("""
        ALTER TABLE portfoliocompanies
          ADD COLUMN loud text GENERATED ALWAYS AS (upper(stage || coalesce(current_stage, ''))) STORED,
          ADD COLUMN initial text GENERATED ALWAYS AS (left(name, 1)) STORED;
        INSERT INTO portfoliocompanies (id, fund_id, name, stage) VALUES (1, 1, 'n', 'Seed')""")
    bare.migrated()
    made = bare.command("reads", "legacy")
    assert made.out.splitlines() == [
        "readers are shown legacy values",
        "public.portfoliocompanies: canonical values are still shown by loud, generated from what the table holds",
    ]
    assert bare.execute("SELECT stage, loud FROM portfoliocompanies_stages") == [("Seed", "SEED")]
    assert len(bare.command("reads", "canonical").out.splitlines()) == 1
