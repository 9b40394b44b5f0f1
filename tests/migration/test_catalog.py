"""What is missing, of an unsupported type or not allowed: one line each, and nothing changed."""

from typing import Any

import psycopg
import pytest
from support.migration import Migration

STAGE = [{"column": "stage", "shape": "value"}]
NO_KEY = "is no primary key, nor alone unique and NOT NULL; add one, or name another"


def table(**members: Any) -> dict[str, Any]:
    return {"table": "portfoliocompanies", "key": "id", "columns": STAGE, **members}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("", table(table="nowhere"), "table public.nowhere: there is none of this name"),
    ("", table(table="elsewhere.x"), "table elsewhere.x: there is none of this name"),
    ("", table(key="nr"), "table public.portfoliocompanies: has no key column 'nr'"),
    ("", table(fund="fund"), "table public.portfoliocompanies: has no fund column 'fund'"),
    (
        "",
        table(columns=[{"column": "status", "shape": "value"}]),
        "table portfoliocompanies: has no column 'status'",
    ),
    (
        "",
        table(key="name"),
        f"table public.portfoliocompanies: 'name' {NO_KEY}",
    ),
    (
        "ALTER TABLE portfoliocompanies DROP CONSTRAINT portfoliocompanies_pkey CASCADE",
        table(),
        f"table public.portfoliocompanies: 'id' {NO_KEY}",
    ),
    (
        "CREATE TABLE timed (at timestamptz PRIMARY KEY, stage text)",
        table(table="timed", key="at"),
        "table public.timed: key 'at' is timestamptz, expected integer, bigint, uuid or text",
    ),
    (
        "ALTER TABLE portfoliocompanies ALTER COLUMN stage TYPE char(20)",
        table(),
        "table portfoliocompanies: column 'stage' is bpchar, expected text or varchar for the shape value",
    ),
    (
        "ALTER TABLE tags ALTER COLUMN stages TYPE json",
        {"table": "tags", "key": "id", "columns": [{"column": "stages", "shape": "keys"}]},
        "table tags: column 'stages' is json, expected jsonb for the shape keys",
    ),
    (
        "ALTER TABLE portfoliocompanies ADD COLUMN short varchar(4)",
        table(columns=[{"column": "short", "shape": "value"}]),
        "table portfoliocompanies: column 'short' holds 4 characters, the longest canonical name needs 9",
    ),
    (
        "CREATE DOMAIN code AS varchar(4); ALTER TABLE portfoliocompanies ADD COLUMN short code",
        table(columns=[{"column": "short", "shape": "value"}]),
        "table portfoliocompanies: column 'short' holds 4 characters, the longest canonical name needs 9",
    ),
    (
        "CREATE TABLE child () INHERITS (portfoliocompanies)",
        table(),
        "table public.portfoliocompanies: other tables inherit from it, expected a table of its own rows alone",
    ),
    (
        "ALTER TABLE portfoliocompanies ADD COLUMN about json",
        table(fund="about"),
        "table public.portfoliocompanies: fund 'about' is json, expected a type with an order",
    ),
    (
        "ALTER TABLE portfoliocompanies ADD COLUMN shown text GENERATED ALWAYS AS (upper(stage)) STORED",
        table(columns=[{"column": "shown", "shape": "value"}]),
        "table portfoliocompanies: column 'shown' is generated and cannot be written",
    ),
    (
        "",
        table(key="id", fund="stage"),
        "table portfoliocompanies: column 'stage' is the key or the fund, and cannot be migrated",
    ),
    (
        "CREATE VIEW companies AS SELECT * FROM portfoliocompanies",
        table(table="companies"),
        "table public.companies: is a view, expected an ordinary table",
    ),
    (
        "CREATE TABLE parted (id int PRIMARY KEY, stage text) PARTITION BY RANGE (id)",
        table(table="parted"),
        "table public.parted: is a partitioned table, name its partitions, expected an ordinary table",
    ),
]


@pytest.mark.parametrize(("change", "given", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_does_not_fit_is_one_line(migration: Migration, change: str, given: dict[str, Any], message: str) -> None:
    """Each fault is told in a line of its own with exit code 2, by plan and by run, and nothing is made."""
    if change:
        migration.execute(change)
    migration.specify(tables=[given])
    for command in (["migrate", "plan"], ["migrate", "run", "--no-snapshot"]):
        made = migration.command(*command)
        assert (made.code, made.out, made.err) == (2, "", message + "\n")
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


def test_all_faults_are_told_at_once(migration: Migration) -> None:
    """Faults of several tables are told together."""
    migration.specify(tables=[table(table="a"), table(table="b"), table(key="nr")])
    assert len(migration.command("migrate", "plan").err.splitlines()) == 3


RIGHTS = [
    ("GRANT CREATE ON SCHEMA public TO {role}", "this role may not read it"),
    (
        "GRANT SELECT ON portfoliocompanies TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        "may not create triggers",
    ),
    ("GRANT SELECT, TRIGGER ON portfoliocompanies TO {role}", "schema public: this role may not create tables there"),
    (
        "GRANT SELECT, TRIGGER ON portfoliocompanies TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        "column 'stage': this role may not write it",
    ),
    (
        (
            "GRANT ALL ON portfoliocompanies TO {role}; GRANT CREATE ON SCHEMA public TO {role}; "
            "ALTER TABLE portfoliocompanies ENABLE ROW LEVEL SECURITY"
        ),
        "row-level security hides rows from this role",
    ),
]


@pytest.mark.parametrize(("rights", "message"), RIGHTS, ids=[message for _, message in RIGHTS])
def test_right_that_is_missing_is_named(migration: Migration, rights: str, message: str) -> None:
    """A role that lacks a right is told which, before anything is written."""
    migration.specify(tables=[table()])
    with migration.role(rights) as role:
        made = migration.command("migrate", "run", "--no-snapshot", url=migration.as_role(role))
    assert made.code == 2
    assert message in made.err
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


def test_rights_that_are_named_are_enough(migration: Migration) -> None:
    """A role with no more than what the messages ask for can migrate and verify."""
    migration.specify(tables=[table()])
    rights = (
        "GRANT SELECT, UPDATE, TRIGGER ON portfoliocompanies TO {role}; GRANT CREATE ON SCHEMA public TO {role}; "
        "GRANT pg_monitor TO {role}"
    )
    with migration.role(rights) as role:
        made = migration.command("migrate", "run", "--no-snapshot", url=migration.as_role(role))
        assert made.code == 0, made
        assert migration.command("verify", url=migration.as_role(role)).code == 0
        assert migration.command("migrate", "undo", url=migration.as_role(role)).code == 0


def test_names_that_need_quotes_are_quoted(migration: Migration) -> None:
    """Schema, table, columns and key may be any names, and other values never become SQL."""
    migration.execute("""
        CREATE SCHEMA "My ""Schema";
        CREATE TABLE "My ""Schema"."a; DROP TABLE tags" (
          "key" smallint PRIMARY KEY, "t" text, "Fund {x}" text, "select" text
        );
        INSERT INTO "My ""Schema"."a; DROP TABLE tags" VALUES (1, 't', 'f; --', 'Seed'), (2, NULL, '''', 'pre_seed')""")
    given = {
        "table": "a; DROP TABLE tags", "key": "key", "fund": "Fund {x}", "view": "v.1",
        "columns": [{"column": "select", "shape": "value"}],
    }  # fmt: skip
    migration.specify(schema='My "Schema', tables=[given])
    migration.migrated()
    query = 'SELECT "key", "select" FROM "My ""Schema"."{}" ORDER BY 1'
    table_, view = query.format("a; DROP TABLE tags"), query.format("v.1")
    assert migration.execute(table_) == [(1, "seed"), (2, "pre-seed")]
    migration.command("reads", "legacy")
    assert migration.execute(view) == [(1, "Seed"), (2, "pre_seed")]
    made = migration.verify()
    assert made.code == 0, made
    migration.command("reads", "canonical")
    assert migration.command("migrate", "undo").code == 0
    assert migration.execute(table_) == [(1, "Seed"), (2, "pre_seed")]
    migration.migrated()
    assert migration.command("migrate", "finish", "--yes").code == 0


def test_key_alone_unique_will_do(migration: Migration) -> None:
    """A column that is unique and NOT NULL serves as the key where it is not the primary one."""
    migration.execute("ALTER TABLE tags ADD COLUMN code uuid UNIQUE NOT NULL DEFAULT gen_random_uuid()")
    migration.specify(tables=[{"table": "tags", "key": "code", "columns": [{"column": "stages", "shape": "keys"}]}])
    migration.migrated()
    assert migration.verify().code == 0


def test_key_that_may_hold_nulls_from_before_is_none(bare: Migration) -> None:
    """NOT NULL that is NOT VALID (PostgreSQL 18) lets old NULLs stand, so such a column names no rows."""
    try:
        bare.execute(
            "CREATE TABLE t (id int UNIQUE, stage text); ALTER TABLE t ADD CONSTRAINT nn NOT NULL id NOT VALID"
        )
    except psycopg.errors.SyntaxError:
        pytest.skip("this server knows no NOT NULL that is NOT VALID")
    bare.specify(tables=[table(table="t")])
    made = bare.command("migrate", "plan")
    assert (made.code, made.err) == (2, f"table public.t: 'id' {NO_KEY}\n")
