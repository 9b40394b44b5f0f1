"""What real schemas have: one name in two schemas, names of any letters, domains on domains, rules, old settings."""

import json
import re
from typing import Any

import pytest
from support.migration import Migration

STAGE = [{"column": "stage", "shape": "value"}]


def lives(migration: Migration, table: str, column: str = "stage", before: Any = "Seed", after: Any = "seed") -> None:
    """Go through the whole life; `table` as SQL spells it."""
    query = f"SELECT {column} FROM {table} LIMIT 1"
    migration.migrated()
    assert migration.execute(query) == [(after,)]
    made = migration.verify()
    assert made.code == 0, made
    assert migration.command("migrate", "undo").code == 0
    assert migration.execute(query) == [(before,)]
    migration.migrated()
    made = migration.command("migrate", "finish", "--yes")
    assert made.code == 0, made


def test_tables_of_one_name_in_two_schemas_are_kept_apart(bare: Migration) -> None:
    """Each has names, rows, views, counts and messages of its own."""
    bare.execute("""
        CREATE SCHEMA app;
        CREATE TABLE deals (id int PRIMARY KEY, stage text);
        CREATE TABLE app.deals (id int PRIMARY KEY, stage text);
        INSERT INTO deals VALUES (1, 'Seed'), (2, 'seed');
        INSERT INTO app.deals VALUES (1, 'Series A'), (2, 'PreSeed'), (3, 'seed');
    """)
    tables = [{"table": name, "key": "id", "columns": STAGE} for name in ("deals", "app.deals")]
    bare.specify(tables=tables)
    plan = bare.command("migrate", "plan")
    assert plan.code == 0
    assert "\ndeals.stage: 1 row to look at" in plan.out
    assert "\napp.deals.stage: 2 rows to look at" in plan.out
    run = bare.run()
    assert run.code == 0, run
    assert [(line["table"], line["updated"]) for line in run.lines if "updated" in line] == [
        ("deals", 1),
        ("app.deals", 2),
    ]
    assert bare.execute("SELECT stage FROM app.deals ORDER BY id") == [("series-a",), ("pre-seed",), ("seed",)]
    bare.execute("DELETE FROM app.deals WHERE id = 3; INSERT INTO deals VALUES (9, 'seed'), (10, 'seed')")
    assert bare.verify().code == 0
    assert bare.command("reads", "legacy").code == 0
    assert bare.execute("SELECT stage FROM deals_stages ORDER BY id LIMIT 1") == [("Seed",)]
    assert bare.execute("SELECT stage FROM app.deals_stages ORDER BY id LIMIT 1") == [("Series A",)]
    assert bare.command("reads", "canonical").code == 0
    assert bare.command("migrate", "undo").code == 0
    assert bare.execute("SELECT stage FROM app.deals ORDER BY id") == [("Series A",), ("PreSeed",)]
    bare.migrated()
    assert bare.command("migrate", "finish", "--yes").code == 0


def test_name_with_a_dot_stands_in_double_quotes(bare: Migration) -> None:
    """A table with a dot in its name is told how it is written, and then migrated."""
    bare.execute("""CREATE TABLE "a.b" (id int PRIMARY KEY, stage text); INSERT INTO "a.b" VALUES (1, 'Seed')""")
    bare.specify(tables=[{"table": "a.b", "key": "id", "columns": STAGE}])
    assert r'there is none of this name, but one with a dot in it, which is written "\"a.b\""' in bare.run().err
    bare.specify(tables=[{"table": '"a.b"', "key": "id", "columns": STAGE}])
    lives(bare, '"a.b"')


@pytest.mark.parametrize("scs", ["on", "off"])
@pytest.mark.parametrize(
    "name", ["a$guard$b", "a$count$b", "it's", r"back\slash", r"\'; DROP TABLE x; --", 'dou"ble', "{home}", "ß ü\n"]
)
def test_columns_of_any_letters(bare: Migration, name: str, scs: str) -> None:
    """Names that a quotation could end at are quoted, whatever a backslash means in the database."""
    quoted = '"' + name.replace('"', '""') + '"'
    database = bare.execute("SELECT current_database()")[0][0]
    bare.execute(f"CREATE TABLE deals (id int PRIMARY KEY, {quoted} text); INSERT INTO deals VALUES (1, 'Seed')")
    bare.execute("CREATE TABLE plans (id int PRIMARY KEY, stages jsonb)")
    element = {name: "Seed", "weight": 1}
    bare.execute("INSERT INTO plans VALUES (1, %s)", [json.dumps([element])])
    bare.execute(f"ALTER DATABASE {database} SET standard_conforming_strings = {scs}")
    each = {"column": "stages", "shape": "each", "field": name, "weight": "weight"}
    bare.specify(
        schema="public",
        tables=[
            {"table": "deals", "key": "id", "columns": [{"column": name, "shape": "value"}]},
            {"table": "plans", "key": "id", "columns": [each]},
        ],
    )
    bare.migrated()
    bare.execute("INSERT INTO deals VALUES (2, 'Growth'), (3, E'a\\\\b'); UPDATE deals SET id = id")
    bare.execute("INSERT INTO plans VALUES (2, %s)", [json.dumps([{name: "Growth", "weight": 1}])])
    assert bare.execute("SELECT name FROM stage_migration_seen ORDER BY name") == [("Growth",), ("Growth",), ("a\\b",)]
    bare.execute("DELETE FROM deals WHERE id > 1; DELETE FROM plans WHERE id > 1")
    lives(bare, "deals", quoted)
    assert bare.execute("SELECT stages FROM plans") == [([{name: "seed", "weight": 1}],)]


def test_home_of_any_letters(bare: Migration) -> None:
    """The schema of the migration's own tables may have any name too, a quotation of its functions in it."""
    home = 'it\'s $count$ \\ "so" $guard$'
    quoted = '"' + home.replace('"', '""') + '"'
    bare.execute(f"CREATE SCHEMA {quoted}; CREATE TABLE deals (id int PRIMARY KEY, stage text)")
    bare.execute("INSERT INTO deals VALUES (1, 'Seed')")
    bare.specify(schema=home, tables=[{"table": "public.deals", "key": "id", "columns": STAGE}])
    bare.migrated()
    bare.execute("INSERT INTO deals VALUES (2, 'Growth'); DELETE FROM deals WHERE id = 2")
    lives(bare, "deals")


@pytest.mark.parametrize("rule", ["INSTEAD NOTHING", "ALSO INSERT INTO log VALUES (NEW.id)"])
def test_rule_on_update_is_refused_before_anything_is_made(bare: Migration, rule: str) -> None:
    """A rule that rewrites updates is named with the statement that puts it to sleep; then the run goes."""
    bare.execute(f"""
        CREATE TABLE "Log it" (id int PRIMARY KEY, stage text); CREATE TABLE log (id int);
        INSERT INTO "Log it" VALUES (1, 'Seed');
        CREATE RULE "My rule" AS ON UPDATE TO "Log it" DO {rule}
    """)
    bare.specify(tables=[{"table": "Log it", "key": "id", "columns": STAGE}])
    for made in (bare.command("migrate", "plan"), bare.run()):
        assert made.code == 2
        assert 'rule "My rule" rewrites what the migration writes; until it is done: ALTER' in made.err
    assert bare.execute("SELECT to_regclass('stage_migration_targets')") == [(None,)]
    bare.execute(made.err[made.err.index("ALTER TABLE") :])
    lives(bare, '"Log it"')


DOMAINS = """
CREATE DOMAIN label AS varchar(20); CREATE DOMAIN stage_label AS label; CREATE DOMAIN strict_label AS stage_label;
CREATE DOMAIN number AS bigint; CREATE DOMAIN big_number AS number;
CREATE DOMAIN document AS jsonb; CREATE DOMAIN stages_document AS document;
CREATE TABLE deals (id big_number PRIMARY KEY, stage strict_label, stages stages_document);
INSERT INTO deals VALUES (1, 'Seed', '{"Seed": 1}');
"""


@pytest.mark.parametrize(
    ("column", "shape", "before", "after"),
    [("stage", "value", "Seed", "seed"), ("stages", "keys", {"Seed": 1}, {"seed": 1})],
)
def test_domain_over_domain(bare: Migration, column: str, shape: str, before: Any, after: Any) -> None:
    """A domain counts as what it is made of in the end, keys and columns alike."""
    bare.execute(DOMAINS)
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": [{"column": column, "shape": shape}]}])
    lives(bare, "deals", column, before, after)


def test_domain_over_domain_keeps_its_length(bare: Migration) -> None:
    """The bound of the innermost domain is that of the column."""
    bare.execute("CREATE DOMAIN code AS varchar(4); CREATE DOMAIN stage_code AS code")
    bare.execute("CREATE TABLE deals (id int PRIMARY KEY, stage stage_code)")
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": STAGE}])
    assert "holds 4 characters, the longest canonical name needs 9" in bare.run().err


def test_cures_can_be_pasted(bare: Migration) -> None:
    """Each statement that a message asks for runs as it stands there, with names that need quotes, to the last one."""
    bare.execute("""
        CREATE SCHEMA "App schema"; CREATE TABLE "App schema"."Deals" (id int PRIMARY KEY, stage text);
        INSERT INTO "App schema"."Deals" VALUES (1, 'Seed'); CREATE ROLE "Role of tests" LOGIN;
    """)
    bare.specify(schema="Own schema", tables=[{"table": "App schema.Deals", "key": "id", "columns": STAGE}])
    role = "Role of tests"
    url = bare.url.replace("postgres@", "Role%20of%20tests@")
    pasted = []
    try:
        bare.execute(f'GRANT USAGE ON SCHEMA "App schema" TO "{role}"')
        for _ in range(10):
            made = bare.command("migrate", "run", "--no-snapshot", url=url)
            cures = re.findall(r"(?:CREATE SCHEMA|GRANT|REVOKE) .*$", made.err, re.MULTILINE)
            if made.code == 0:
                break
            assert cures, made
            for cure in cures:
                bare.execute(cure)
                pasted.append(cure)
        assert made.code == 0
        assert any(cure.startswith("CREATE SCHEMA") for cure in pasted)
        assert sum(cure.startswith("GRANT") for cure in pasted) >= 3
    finally:
        bare.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')
