"""Undo: every value to the letter, edited ones left alone, and nothing done twice."""

import json

import psycopg
import pytest
from support.migration import Migration


def test_second_undo_changes_nothing(migrated: Migration) -> None:
    """After undo, another one restores nothing, writes no row and is done; after finish there is none to do."""
    assert migrated.command("migrate", "undo").code == 0
    versions = "SELECT id::text, xmin::text FROM portfoliocompanies ORDER BY 1"
    before = migrated.execute(versions)
    made = migrated.command("migrate", "undo")
    assert made.code == 0
    assert made.lines == [{"message": "undone before, nothing was changed, 0 edited since and left alone"}]
    assert migrated.execute(versions) == before
    assert migrated.command("migrate", "finish", "--yes").code == 0
    assert migrated.command("migrate", "undo").code == 1


def test_second_undo_leaves_what_looks_like_ours_again(migrated: Migration) -> None:
    """A value edited before the first undo is the application's, also when it writes our name there afterwards."""
    [(key,)] = migrated.execute("SELECT key FROM stage_migration_undo_1 WHERE before = 'Series A' LIMIT 1")
    migrated.execute("UPDATE portfoliocompanies SET stage = 'seed' WHERE id = %s", [key])
    assert migrated.command("migrate", "undo").code == 0
    migrated.execute("UPDATE portfoliocompanies SET stage = 'series-a' WHERE id = %s", [key])
    assert migrated.command("migrate", "undo").code == 0
    stage = "SELECT stage FROM portfoliocompanies WHERE id = %s"
    assert migrated.execute(stage, [key]) == [("series-a",)]
    migrated.migrated()
    assert migrated.verify().code == 0
    assert migrated.command("migrate", "undo").code == 0
    assert migrated.execute(stage, [key]) == [("series-a",)]


def test_trigger_that_suppresses_what_is_restored_is_told(migrated: Migration) -> None:
    """Undo does not call itself done while a trigger lets it restore nothing; without the trigger it goes on."""
    migrated.execute("""
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER swallow BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION swallow()""")
    made = migrated.command("migrate", "undo")
    assert made.code == 1
    assert "public.tags.stages, key " in made.err
    assert "lets nothing be restored; disable it and undo again" in made.err
    migrated.execute("DROP TRIGGER swallow ON tags")
    assert migrated.command("migrate", "undo").code == 0
    assert migrated.execute("SELECT count(*) FROM stage_migration_undo_5") == [(0,)]


def test_edited_rows_are_left_alone_and_listed(migration: Migration) -> None:
    """What an application edited or deleted since stays as it is, and is told; all else is restored."""
    before = dict(migration.execute("SELECT id, stage FROM portfoliocompanies"))
    migration.migrated()
    edited, deleted = [
        key for (key,) in migration.execute("SELECT key FROM stage_migration_undo_1 ORDER BY key LIMIT 2")
    ]
    migration.execute("UPDATE portfoliocompanies SET stage = 'series-c+' WHERE id = %s", [edited])
    migration.execute("DELETE FROM portfoliocompanies WHERE id = %s", [deleted])
    made = migration.command("migrate", "undo")
    assert made.code == 0
    assert f"key {edited}: was {before[edited]!r}, now 'series-c+'" in made.out
    assert f"key {deleted}: was {before[deleted]!r}, its row is gone" in made.out
    after = dict(migration.execute("SELECT id, stage FROM portfoliocompanies"))
    del before[deleted]
    assert after == {**before, edited: "series-c+"}


def test_value_spelt_badly_again_goes_back_to_what_the_application_wrote(migration: Migration) -> None:
    """A value that was edited and migrated a second time is restored to the edit, not to what was there before it."""
    migration.migrated()
    [(key,)] = migration.execute("SELECT key FROM stage_migration_undo_1 WHERE before = 'Seed' LIMIT 1")
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series B' WHERE id = %s", [key])
    migration.migrated()
    assert migration.verify().code == 0
    assert migration.command("migrate", "undo").code == 0
    assert migration.execute("SELECT stage FROM portfoliocompanies WHERE id = %s", [key]) == [("Series B",)]


def test_undo_goes_back_before_the_first_of_several_runs(migration: Migration) -> None:
    """Runs under one vocabulary after another are undone together, to what stood there before all of them."""
    before = migration.picture()
    migration.migrated()
    aliases = {"pre-seed": "pre", "series-a": "a", "series-b": "b", "series-c": "c", "series-c+": "c+"}
    migration.vocabulary(canonical=["pre", "seed", "a", "b", "c", "c+"], aliases=aliases)
    migration.migrated()
    assert migration.execute("SELECT DISTINCT stage FROM portfoliocompanies WHERE stage LIKE 'series%'") == []
    made = migration.verify("--json")
    assert '"check": "undo rows",\n      "violations": 0' in made.out
    assert migration.command("migrate", "undo").code == 0
    assert migration.picture() == before


def test_text_is_restored_to_the_letter(bare: Migration) -> None:
    """Trailing zeros of weights, order of elements and odd spellings come back as they were."""
    value = '[{"stage": " ＳＥＥＤ ", "weight": 0.50}, {"stage": "Series A", "weight": 0.500}]'
    bare.execute("INSERT INTO fund_baselines VALUES ('k', 1, %s)", [value])
    bare.execute("INSERT INTO portfoliocompanies VALUES (1, 1, 'n', E' \\tSeed\\n', NULL)")
    before = bare.picture()
    bare.migrated()
    assert bare.execute("SELECT stage FROM portfoliocompanies") == [("seed",)]
    assert bare.command("migrate", "undo").code == 0
    assert bare.picture() == before


def test_trigger_that_changes_what_is_restored_stops_undo(migrated: Migration) -> None:
    """When a trigger of the table makes something else of a restored value the batch rolls back and says so."""
    after = migrated.picture()
    migrated.execute("""
        CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql
          AS 'BEGIN NEW.stage := upper(NEW.stage); RETURN NEW; END';
        CREATE TRIGGER shout BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION shout()""")
    made = migrated.command("migrate", "undo")
    assert made.code == 1
    assert "a trigger of the table may have changed it; the batch was rolled back" in made.err
    assert migrated.picture() == after


def test_trigger_that_tests_for_the_migration_stays_out(migration: Migration) -> None:
    """A trigger on updated_at that tests the setting fires for an application, and not for run and undo."""
    migration.execute(
        """
        ALTER TABLE portfoliocompanies ADD COLUMN updated_at timestamptz;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END';
        CREATE TRIGGER touch BEFORE UPDATE ON portfoliocompanies FOR EACH ROW
          WHEN (current_setting(''stage_gateway.migration'', true) IS DISTINCT FROM ''on'')
          EXECUTE FUNCTION touch()""".replace("''", "'")
    )
    migration.migrated()
    assert migration.command("migrate", "undo").code == 0
    touched = "SELECT count(*) FROM portfoliocompanies WHERE updated_at IS NOT NULL"
    assert migration.execute(touched) == [(0,)]
    migration.execute("UPDATE portfoliocompanies SET name = 'x' WHERE id = 10000000003")
    assert migration.execute(touched) == [(1,)]


def test_value_that_only_a_collation_takes_for_the_old_one_is_not_restored(bare: Migration) -> None:
    """A trigger that lowers letters lets no undo pass as done, also where the collation sees no difference."""
    try:
        bare.execute("CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without ICU")
    bare.execute("""
        CREATE TABLE deals (id int PRIMARY KEY, stage text COLLATE no_case);
        INSERT INTO deals VALUES (1, 'Seed'), (2, 'SEED'), (3, 'seed');
        CREATE FUNCTION lowered() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN NEW.stage := lower(NEW.stage); RETURN NEW; END';
        CREATE TRIGGER lowered BEFORE UPDATE ON deals FOR EACH ROW EXECUTE FUNCTION lowered()""")
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    changes = json.loads(bare.command("migrate", "plan", "--json").out)["columns"][0]["changes"]
    assert [(change["value"], change["rows"]) for change in changes] == [("SEED", 1), ("Seed", 1)]
    bare.migrated()
    made = bare.command("migrate", "undo")
    assert made.code == 1
    assert "what was stored is not what stood there" in made.err
    bare.execute("ALTER TABLE deals DISABLE TRIGGER lowered")
    assert bare.command("migrate", "undo").code == 0
    assert bare.execute("SELECT stage FROM deals ORDER BY id") == [("Seed",), ("SEED",), ("seed",)]


def test_rows_of_a_table_that_inherits_by_now_are_not_restored(migration: Migration) -> None:
    """A child table that came after the run, with the same keys and values, keeps its rows, and undo does its work."""
    before = migration.picture()
    migration.migrated()
    migration.execute("""
        CREATE TABLE child () INHERITS (portfoliocompanies);
        INSERT INTO child SELECT * FROM ONLY portfoliocompanies""")
    kept = migration.execute("SELECT t::text FROM child AS t ORDER BY 1")
    made = migration.command("migrate", "undo")
    assert made.code == 0, made.err
    assert made.lines[-1]["message"].endswith(" 0 edited since and left alone")
    assert migration.execute("SELECT t::text FROM child AS t ORDER BY 1") == kept
    migration.execute("DROP TABLE child")
    assert migration.picture() == before
