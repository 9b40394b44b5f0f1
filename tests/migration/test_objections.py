"""What the tables will not take: told by plan with the keys, and by run before it writes anything."""

import json
from typing import Any

import psycopg
import pytest
from support.migration import Migration

THIRD = 10000000003
# What makes the table refuse → what is told. Company 10000000003 becomes series-a.
REFUSALS: dict[str, tuple[str, str]] = {
    "check": (
        """ALTER TABLE portfoliocompanies
           ADD CONSTRAINT "Stage's ""own"" 100% {x}" CHECK (stage <> 'series-a') NOT VALID""",
        """constraint Stage's "own" 100% {x}, CHECK """,
    ),
    "check of another column that was never valid": (
        "ALTER TABLE portfoliocompanies ADD CONSTRAINT c CHECK (id <> 10000000003) NOT VALID",
        "constraint c, CHECK ",
    ),
    "check of a generated column": (
        """UPDATE portfoliocompanies SET stage = 'Series A' WHERE stage = 'series-a';
           ALTER TABLE portfoliocompanies
           ADD "upper %" text GENERATED ALWAYS AS (upper(stage) || '%') STORED,
           ADD CONSTRAINT c CHECK ("upper %" <> 'SERIES-A%')""",
        "constraint c, CHECK ",
    ),
    "check of two migrated columns": (
        """UPDATE portfoliocompanies SET current_stage = 'Series A' WHERE id = 10000000003;
           ALTER TABLE portfoliocompanies ADD CONSTRAINT c CHECK (id <> 10000000003 OR stage = current_stage)""",
        "constraint c, CHECK ",
    ),
    "domain": (
        """UPDATE portfoliocompanies SET stage = 'Series A' WHERE stage = 'series-a';
           CREATE DOMAIN "old stage" AS text CONSTRAINT "old names" CHECK (VALUE <> 'series-a');
           ALTER TABLE portfoliocompanies ALTER stage TYPE "old stage" """,
        'constraint old names of the domain "old stage"',
    ),
    "foreign key": (
        """CREATE SCHEMA lookup; CREATE TABLE lookup.stages (name text PRIMARY KEY);
           INSERT INTO lookup.stages SELECT DISTINCT stage FROM portfoliocompanies WHERE stage NOT IN ('series-a')
             AND stage IS NOT NULL;
           INSERT INTO lookup.stages SELECT unnest('{seed,pre-seed,series-b,series-c,series-c+}'::text[])
             ON CONFLICT DO NOTHING;
           UPDATE portfoliocompanies SET stage = 'Series A' WHERE stage = 'series-a';
           ALTER TABLE portfoliocompanies ADD CONSTRAINT known FOREIGN KEY (stage) REFERENCES lookup.stages""",
        "constraint known, FOREIGN KEY (stage) REFERENCES lookup.stages(name),",
    ),
    "foreign key of two columns, deferred": (
        """CREATE TABLE pairs (fund int, name text, PRIMARY KEY (fund, name));
           INSERT INTO pairs SELECT DISTINCT fund_id, stage FROM portfoliocompanies
             WHERE fund_id = 2 AND stage IS NOT NULL;
           UPDATE portfoliocompanies SET fund_id = NULL WHERE fund_id <> 2;
           UPDATE portfoliocompanies SET fund_id = 2 WHERE id = 10000000003;
           INSERT INTO pairs VALUES (2, 'Series A') ON CONFLICT DO NOTHING;
           DELETE FROM pairs WHERE name = 'series-a';
           UPDATE portfoliocompanies SET fund_id = NULL WHERE stage = 'series-a';
           ALTER TABLE portfoliocompanies ADD CONSTRAINT known FOREIGN KEY (fund_id, stage) REFERENCES pairs
             DEFERRABLE INITIALLY DEFERRED""",
        "constraint known, FOREIGN KEY (fund_id, stage) REFERENCES pairs(fund, name)",
    ),
    "referred to by name": (
        """DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id <> 10000000003;
           ALTER TABLE portfoliocompanies ADD UNIQUE (stage);
           CREATE TABLE texts (stage text CONSTRAINT named REFERENCES portfoliocompanies (stage));
           INSERT INTO texts VALUES ('Series A')""",
        "public.texts: constraint named, FOREIGN KEY (stage) REFERENCES portfoliocompanies(stage),",
    ),
    "unique": (
        """DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id > 10000000003;
           UPDATE portfoliocompanies SET stage = 'SERIES_A', fund_id = 1; UPDATE portfoliocompanies
             SET stage = 'Series A' WHERE id = 10000000003;
           ALTER TABLE portfoliocompanies ADD CONSTRAINT alone UNIQUE (fund_id, stage) DEFERRABLE""",
        "constraint alone, UNIQUE (fund_id, stage) DEFERRABLE, will refuse 2 rows: key 10000000000 and 10000000003 ",
    ),
    "unique of an expression, in part": (
        """DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id > 10000000006;
           UPDATE portfoliocompanies SET stage = 'series-a', name = 'n';
           UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = 10000000003;
           UPDATE portfoliocompanies SET name = '50%' WHERE id = 10000000006;
           CREATE UNIQUE INDEX "one each" ON portfoliocompanies (lower(stage), (name || '%')) WHERE stage LIKE '%a%'
             AND name NOT LIKE '5%'""",
        'index one each, CREATE UNIQUE INDEX "one each" ON public.portfoliocompanies',
    ),
    "unique with NULLs alike": (
        """DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id > 10000000003;
           UPDATE portfoliocompanies SET stage = 'series-a', fund_id = NULL;
           UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = 10000000003;
           CREATE UNIQUE INDEX alone ON portfoliocompanies (stage, fund_id) NULLS NOT DISTINCT""",
        "index alone, CREATE UNIQUE INDEX alone",
    ),
    "exclusion": (
        """DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id > 10000000003;
           UPDATE portfoliocompanies SET stage = 'series-a' ;
           UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = 10000000003;
           ALTER TABLE portfoliocompanies ADD CONSTRAINT apart EXCLUDE USING btree (lower(stage) WITH =)""",
        "constraint apart, EXCLUDE USING btree (lower(stage) WITH =),",
    ),
}


def prepared(migration: Migration, change: str) -> None:
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = %s", [THIRD])
    migration.execute(change)


@pytest.mark.parametrize("name", REFUSALS)
def test_constraint_is_told_before_anything_is_written(migration: Migration, name: str) -> None:
    """Plan and run end with 1, name constraint, key and value, and nothing is there afterwards that was not before."""
    change, told = REFUSALS[name]
    prepared(migration, change)
    before = migration.picture()
    planned = migration.command("migrate", "plan", "--json")
    assert planned.code == 1, planned
    objected = [objection for column in json.loads(planned.out)["columns"] for objection in column["objections"]]
    assert any(told in objection["message"] and objection["rows"] for objection in objected), objected
    assert any(str(THIRD) in first["key"] for objection in objected for first in objection["first"])
    assert all(objection["refuses"] for objection in objected)
    made = migration.run()
    assert made.code == 1
    assert told in made.err
    assert made.err.endswith("nothing was written; run again once the tables take these values\n")
    assert migration.picture() == before
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


@pytest.mark.parametrize("name", REFUSALS)
def test_what_plan_objects_to_is_what_the_server_refuses(
    migration: Migration, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look beforehand the run is refused by the same constraint, so none is objected to that would hold."""
    prepared(migration, REFUSALS[name][0])
    monkeypatch.setattr("gateway.migration.objections.Objector.about", lambda *_: [])
    made = migration.run()
    assert (made.code, made.err.count("\n")) == (1, 1), made
    assert "portfoliocompanies.stage, key " in made.err
    assert "the database refused: " in made.err
    assert ", then run again" in made.err
    assert '"status": "failed"' in migration.command("migrate", "status", "--json").out
    assert migration.command("migrate", "undo").code == 0


HARMLESS: dict[str, str] = {
    "unique that stays so": "CREATE UNIQUE INDEX alone ON portfoliocompanies (stage, id)",
    "check of one old spelling or canonical": (
        "ALTER TABLE portfoliocompanies ADD CHECK (stage ~* '^.*[a-zＳ]+' OR stage IS NULL)"
    ),
    "key that follows": """
        DELETE FROM rounds; DELETE FROM portfoliocompanies WHERE id <> 10000000003;
        ALTER TABLE portfoliocompanies ADD UNIQUE (stage);
        CREATE TABLE texts (stage text REFERENCES portfoliocompanies (stage) ON UPDATE CASCADE);
        INSERT INTO texts VALUES ('Series A')""",
    "foreign key whose trigger is off": """
        CREATE TABLE stages (name text PRIMARY KEY);
        INSERT INTO stages SELECT DISTINCT stage FROM portfoliocompanies WHERE stage IS NOT NULL;
        DELETE FROM stages WHERE name = 'series-a'; UPDATE portfoliocompanies SET stage = 'Series A'
          WHERE stage = 'series-a';
        ALTER TABLE portfoliocompanies ADD FOREIGN KEY (stage) REFERENCES stages;
        ALTER TABLE portfoliocompanies DISABLE TRIGGER ALL""",
    "exclusion of others": (
        "CREATE EXTENSION IF NOT EXISTS plpgsql; ALTER TABLE portfoliocompanies ADD EXCLUDE USING btree "
        "(id WITH =, stage WITH =)"
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_constraint_that_holds_is_no_objection(migration: Migration, name: str) -> None:
    """What the tables take is not objected to, and the run does it."""
    prepared(migration, HARMLESS[name])
    planned = migration.command("migrate", "plan", "--json")
    assert planned.code == 0, planned
    assert all(column["objections"] == [] for column in json.loads(planned.out)["columns"])
    migration.migrated()


def test_partition_by_stage_is_told(bare: Migration) -> None:
    """A partition whose bound does not take the canonical name is told with its bound, and run says the same."""
    bare.execute("""
        CREATE TABLE deals (id int, stage text, PRIMARY KEY (id, stage)) PARTITION BY LIST (stage);
        CREATE TABLE deals_a PARTITION OF deals FOR VALUES IN ('Series A', 'SERIES_A');
        CREATE UNIQUE INDEX ON deals_a (id); ALTER TABLE deals_a ALTER id SET NOT NULL;
        INSERT INTO deals VALUES (1, 'Series A'), (2, 'SERIES_A')""")
    bare.specify(tables=[{"table": "deals_a", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    planned, made = bare.command("migrate", "plan"), bare.run()
    assert (planned.code, made.code) == (1, 1)
    told = "the bound of partition deals_a (FOR VALUES IN ('Series A', 'SERIES_A')) will refuse 2 rows: "
    assert told + "key 1 ('series-a'), key 2 ('series-a')" in planned.out
    assert told in made.err


def test_temporal_constraints_are_told(bare: Migration) -> None:
    """A key WITHOUT OVERLAPS and a foreign key with PERIOD (PostgreSQL 18) are looked at with their periods."""
    if bare.execute("SELECT current_setting('server_version_num')::int < 180000") == [(True,)]:
        pytest.skip("this server knows no temporal constraints")
    bare.execute("""
        CREATE TABLE names (name text, during daterange)""")
    try:
        bare.execute("CREATE EXTENSION btree_gist")
    except psycopg.Error:
        pytest.skip("this server has no btree_gist, without which text is in no temporal constraint")
    bare.execute("""
        ALTER TABLE names ADD PRIMARY KEY (name, during WITHOUT OVERLAPS);
        INSERT INTO names VALUES ('Series A', '[2020-01-01,2021-01-01)'), ('series-a', '[2020-06-01,2021-01-01)');
        CREATE TABLE deals (id int PRIMARY KEY, stage text, during daterange,
          CONSTRAINT known FOREIGN KEY (stage, PERIOD during) REFERENCES names (name, PERIOD during),
          CONSTRAINT once UNIQUE (stage, during WITHOUT OVERLAPS));
        INSERT INTO deals VALUES (1, 'Series A', '[2020-03-01,2020-07-01)'), (2, 'Series A', '[2020-07-01,2020-09-01)'),
          (3, 'series-a', '[2020-08-01,2020-09-01)')""")
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    made = bare.run()
    assert made.code == 1
    assert "constraint known, " in made.err
    assert "will refuse 1 row: key 1 ('series-a')" in made.err
    assert "constraint once, " in made.err
    assert "will refuse 1 row: key 2 ('series-a')" in made.err


def test_condition_that_cannot_be_tried_is_said_and_refused_by_run(migration: Migration) -> None:
    """A CHECK over the whole row is told as one that could not be tried; the run then names constraint and key."""
    prepared(
        migration,
        """CREATE FUNCTION fine(c portfoliocompanies) RETURNS boolean LANGUAGE sql IMMUTABLE
             AS 'SELECT c.stage IS DISTINCT FROM ''series-a''';
           ALTER TABLE portfoliocompanies ADD CONSTRAINT whole CHECK (fine(portfoliocompanies.*)) NOT VALID""",
    )
    planned = migration.command("migrate", "plan")
    assert planned.code == 0
    assert "constraint whole could not be tried beforehand: " in planned.out
    made = migration.run()
    assert made.code == 1
    assert "portfoliocompanies.stage, key " in made.err
    assert 'violates check constraint "whole"' in made.err
    migration.execute("ALTER TABLE portfoliocompanies DROP CONSTRAINT whole")
    migration.migrated()


UNDO: dict[str, tuple[str, str, str]] = {
    "check": (
        "ALTER TABLE portfoliocompanies ADD CONSTRAINT new_names CHECK (stage <> 'Series A')",
        'violates check constraint "new_names"',
        "ALTER TABLE portfoliocompanies DROP CONSTRAINT new_names",
    ),
    "foreign key": (
        """CREATE TABLE stages (name text PRIMARY KEY);
           INSERT INTO stages SELECT DISTINCT stage FROM portfoliocompanies WHERE stage IS NOT NULL;
           ALTER TABLE portfoliocompanies ADD CONSTRAINT known FOREIGN KEY (stage) REFERENCES stages
             DEFERRABLE INITIALLY DEFERRED""",
        'violates foreign key constraint "known" (Key (stage)=(',
        "ALTER TABLE portfoliocompanies DROP CONSTRAINT known",
    ),
}


@pytest.mark.parametrize("name", UNDO)
def test_undo_names_what_refuses_the_old_value(migration: Migration, name: str) -> None:
    """A constraint made since then stops undo with key, value and cure, status is failed, and undo goes on after it."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = %s", [THIRD])
    before = migration.picture()
    migration.migrated()
    change, told, cure = UNDO[name]
    migration.execute(change)
    made = migration.command("migrate", "undo")
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert "portfoliocompanies.stage, key 1" in made.err
    assert told in made.err
    assert made.err.endswith(", then undo again\n")
    status: dict[str, Any] = json.loads(migration.command("migrate", "status", "--json").out)
    assert (status["status"], told in status["lastError"]) == ("failed", True)
    migration.execute(cure)
    assert migration.command("migrate", "undo").code == 0
    assert migration.picture() == before


@pytest.mark.parametrize(
    "publication", ["FOR ALL TABLES", "FOR TABLE portfoliocompanies", "FOR TABLES IN SCHEMA public"]
)
def test_published_table_without_identity_is_found_by_plan(migration: Migration, publication: str) -> None:
    """A table that is published and has no replica identity is told with its cure, and nothing is written."""
    migration.execute(f"""
        ALTER TABLE portfoliocompanies DROP CONSTRAINT portfoliocompanies_pkey CASCADE;
        ALTER TABLE portfoliocompanies ADD UNIQUE (id), ALTER id SET NOT NULL;
        CREATE PUBLICATION everything {publication}""")
    before = migration.picture()
    for command in (["migrate", "plan"], ["migrate", "run", "--no-snapshot"]):
        made = migration.command(*command)
        assert made.code == 1
        assert "does not have a replica identity" in made.out + made.err
        assert 'ALTER TABLE "public"."portfoliocompanies" REPLICA IDENTITY FULL' in made.out + made.err
    assert migration.picture() == before
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]
    migration.execute("ALTER TABLE portfoliocompanies REPLICA IDENTITY FULL")
    migration.migrated()
    assert migration.verify().code == 0
    assert migration.command("migrate", "undo").code == 0
