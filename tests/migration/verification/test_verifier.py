"""The verifier finds what is planted behind the migration's back, and keeps still about what is right."""

import json
from collections import Counter
from pathlib import Path

import pytest
from support.migration import Migration

from gateway.stages.vocabulary import Vocabulary

AS_REPLICA = "SET session_replication_role = replica; "  # so that no trigger sees it
A_COMPANY = "(SELECT key FROM stage_migration_undo_1 WHERE before = 'Seed' LIMIT 1)"
A_MODEL = "(SELECT key FROM stage_migration_undo_3 LIMIT 1)"
NEVER_WRITTEN = (
    "(SELECT id FROM portfoliocompanies WHERE stage IS NOT NULL EXCEPT SELECT key FROM stage_migration_undo_1 LIMIT 1)"
)
RESEALED = "before = 'Series B', seal = hashtextextended(key || ' Series B', after_hash)"

PLANTED = [
    ("canonical", "UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = 10000000003"),
    ("canonical", "INSERT INTO fund_baselines VALUES ('n', 1, '[{\"stage\": 7, \"weight\": 1}]')"),
    ("canonical", f"UPDATE fund_strategy_models SET stage_allocation = '\"seed\"' WHERE id = {A_MODEL}"),
    ("rows", f"{AS_REPLICA}DELETE FROM tags WHERE id = 3"),
    ("rows", f"{AS_REPLICA}INSERT INTO tags VALUES (77777, '{{}}')"),
    ("nulls", f"{AS_REPLICA}UPDATE portfoliocompanies SET stage = NULL WHERE id = {A_COMPANY}"),
    ("nulls", f"{AS_REPLICA}UPDATE portfoliocompanies SET stage = NULL WHERE id = {NEVER_WRITTEN}"),
    ("weights", f"UPDATE fund_strategy_models SET stage_allocation = '{{\"seed\": 0.9}}' WHERE id = {A_MODEL}"),
    ("weights", 'INSERT INTO fund_baselines VALUES (\'n\', 1, \'[{"stage": "seed", "weight": 0.9}]\')'),
    ("weights", f'UPDATE fund_strategy_models SET stage_allocation = \'{{"seed": "1"}}\' WHERE id = {A_MODEL}'),
    (
        "weights",
        f'UPDATE fund_strategy_models SET stage_allocation = \'{{"seed": 1, "series-a": null}}\' WHERE id = {A_MODEL}',
    ),
    (
        "weights",
        'INSERT INTO fund_baselines VALUES (\'n\', 1, \'[{"stage": "seed", "weight": 1}, {"stage": "seed"}]\')',
    ),
    ("undo rows", f"UPDATE stage_migration_undo_1 SET before = 'SEED' WHERE key = {A_COMPANY}"),
    ("undo rows", f"UPDATE stage_migration_undo_1 SET after_hash = after_hash + 1 WHERE key = {A_COMPANY}"),
    ("undo rows", f"UPDATE stage_migration_undo_1 SET key = key + 1 WHERE key = {A_COMPANY}"),
    ("undo rows", f"DELETE FROM stage_migration_undo_1 WHERE key = {A_COMPANY}"),
    ("batches", "UPDATE stage_migration_batches SET status = 'pending' WHERE batch_id = 3"),
    ("batches", "UPDATE stage_migration_batches SET updated = NULL WHERE batch_id = 3"),
    ("batches", "UPDATE stage_migration_runs SET status = 'running'"),
    ("vocabulary", "UPDATE stage_migration_runs SET fingerprint = '0000000000000000'"),
    ("objects", "DROP TRIGGER stage_migration_count_insert ON tags"),
    ("objects", "ALTER TABLE tags DISABLE TRIGGER stage_migration_guard_5_update"),
    ("objects", "ALTER TABLE stage_migration_undo_1 DROP CONSTRAINT stage_migration_undo_1_pkey"),
    ("objects", "ALTER TABLE stage_migration_undo_1 DISABLE ROW LEVEL SECURITY"),
    ("objects", "DROP POLICY stage_migration_as_the_table ON stage_migration_undo_1"),
    ("foreign keys", f"{AS_REPLICA}DELETE FROM portfoliocompanies WHERE id = 10000000003"),
    ("sample", f"UPDATE stage_migration_undo_1 SET {RESEALED} WHERE key = {A_COMPANY}"),
    ("stages", f"UPDATE stage_migration_undo_1 SET {RESEALED} WHERE key = {A_COMPANY}"),
    ("vocabulary", "UPDATE stage_migration_runs SET vocabulary = (vocabulary::jsonb || '{\"aliases\": {}}')::json"),
]


@pytest.mark.parametrize("guard", ["record", "off"])
def test_value_that_an_application_empties_is_no_violation(migrated: Migration, guard: str) -> None:
    """A NULL that came in by a write the guard saw is the application's business, whatever the guard's mode."""
    migrated.command("migrate", "guard", guard)
    for key in (A_COMPANY, NEVER_WRITTEN):
        migrated.execute(f"UPDATE portfoliocompanies SET stage = NULL WHERE id = {key}")
    migrated.execute("INSERT INTO portfoliocompanies VALUES (5, 1, 'n', NULL, NULL)")
    made = migrated.verify()
    assert made.code == 0, made.out
    assert migrated.command("migrate", "finish", "--yes").code == 0


@pytest.mark.parametrize(("check", "plant"), PLANTED, ids=[f"{n} {check}" for n, (check, _) in enumerate(PLANTED)])
def test_planted_fault_is_found(migrated: Migration, check: str, plant: str) -> None:
    """Each fault is found by the check that is there for it, listed, and is exit code 1."""
    with migrated.connect() as connection:
        for statement in plant.split("; "):
            assert connection.execute(statement).rowcount in {-1, 1}
    made = migrated.verify("--json", "--sample", "1000")
    assert made.code == 1
    document = json.loads(made.out)
    assert not document["holds"]
    assert check in {violation["check"] for violation in document["violations"]}


def test_batch_called_done_that_was_not(migration: Migration) -> None:
    """Batches that somebody marks done are found twice: by what they lack, and by the values they left."""
    migration.specify(batchRows=5)
    process = migration.start("migrate", "run", "--no-snapshot")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    migration.execute("UPDATE stage_migration_batches SET status = 'done'")
    migration.execute("UPDATE stage_migration_runs SET status = 'done'")
    found = {violation["check"] for violation in json.loads(migration.verify("--json").out)["violations"]}
    assert {"batches", "canonical"} <= found


def test_what_an_application_may_do_is_no_violation(migrated: Migration) -> None:
    """Rows that come and go, canonical edits and NULLs that come in are information at most."""
    migrated.execute("INSERT INTO portfoliocompanies VALUES (1, 1, 'x', NULL, 'seed'), (2, 1, 'y', 'seed', NULL)")
    migrated.execute("DELETE FROM portfoliocompanies WHERE id IN (2, 10000000009)")
    [(key,)] = migrated.execute("SELECT key FROM stage_migration_undo_1 WHERE before = 'Seed' LIMIT 1")
    migrated.execute("UPDATE portfoliocompanies SET stage = 'series-b' WHERE id = %s", [key])
    made = migrated.verify()
    assert made.code == 0, made.out
    assert "public.portfoliocompanies.stage: 1 value edited since the migration" in made.out


def test_report_holds_versions_counts_and_checks(migrated: Migration) -> None:
    """--output writes everything as JSON, and the lines for a CHANGELOG are printed."""
    report = migrated.folder / "report.json"
    made = migrated.verify("--output", report, "--seed", "7", "--sample", "5")
    assert made.code == 0
    assert "- `stage-gateway verify` passed on " in made.out
    document = json.loads(report.read_text())
    assert document["holds"] is True
    assert document["sample"] == {"size": 5, "seed": 7, "diffs": []}
    assert set(document["versions"]) == {"gateway", "postgresql"}
    assert {check["check"] for check in document["checks"]} == {
        "columns", "batches", "vocabulary", "objects", "canonical", "rows", "nulls", "weights", "undo rows", "sample",
        "stages", "foreign keys",
    }  # fmt: skip
    stage = next(count for count in document["counts"] if count["column"] == "public.portfoliocompanies.stage")
    assert (stage["rows"], stage["rowsAtStart"]) == (160, 160)
    assert stage["undoRows"] == migrated.execute("SELECT count(*) FROM stage_migration_undo_1")[0][0]
    unwritable = migrated.verify("--output", Path("/nowhere/report.json"))
    assert (unwritable.code, unwritable.err.count("\n")) == (2, 1)


def test_report_counts_by_fund_and_stage(migration: Migration) -> None:
    """By fund and stage there are as many texts now as before, told as one report and, for all funds, as a table."""
    query = "SELECT fund_id::text, stage FROM portfoliocompanies WHERE stage IS NOT NULL"
    expected = Counter((fund, Vocabulary().resolve(name)) for fund, name in migration.execute(query))
    migration.migrated()
    document = json.loads(migration.verify("--json").out)
    found = [one for one in document["stages"] if one["column"] == "public.portfoliocompanies.stage"]
    assert {(one["fund"], one["stage"]): one["before"] for one in found} == expected
    assert {(one["fund"], one["stage"]): one["after"] for one in found} == expected
    total = sum(count for (_, stage), count in expected.items() if stage == "series-a")
    row = ["public.portfoliocompanies.stage", "series-a", str(total), str(total)]
    assert row in [[word.strip() for word in line.split("│")[1:-1]] for line in migration.verify().out.splitlines()]


def test_report_counts_what_became_one(bare: Migration) -> None:
    """Two spellings in one object are two values before and one now; what nobody knows has no stage."""
    bare.execute('INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 7, \'{"Seed": 0.5, "seed": 0.5}\')')
    bare.execute("INSERT INTO portfoliocompanies VALUES (1, NULL, 'n', 'growth', NULL)")
    bare.run("--on-invalid", "record")
    stages = json.loads(bare.verify("--json").out)["stages"]
    assert [tuple(one.values())[1:] for one in stages] == [(None, None, 1, 1), ("7", "seed", 2, 1)]


OTHER = {
    "canonical": ["pre", "seed", "a", "b", "c", "c+"],
    "aliases": {"pre-seed": "pre", "series-a": "a", "series-b": "b", "series-c": "c", "series-c+": "c+", "AA": "a"},
}


def test_each_row_is_checked_under_the_vocabulary_that_wrote_it(migration: Migration) -> None:
    """After a second run under another vocabulary all holds, for rows of either run and of both."""
    migration.migrated()
    migration.vocabulary(**OTHER)
    migration.execute("UPDATE portfoliocompanies SET stage = 'Aa' WHERE id < 10000000050")
    migration.migrated()
    assert migration.execute("SELECT count(DISTINCT r.fingerprint) FROM stage_migration_runs r") == [(2,)]
    made = migration.verify("--sample", "1000")
    assert made.code == 0, made.out
    migration.vocabulary()
    assert "was made under vocabulary" in migration.verify().out
    migration.vocabulary(**OTHER)
    migration.execute(
        "UPDATE stage_migration_undo_1 SET before = 'Series B', "
        "seal = hashtextextended(key || ' Series B', after_hash) WHERE before = 'Seed'"
    )
    found = json.loads(migration.verify("--sample", "1000", "--json").out)["violations"]
    assert {violation["check"] for violation in found} == {"sample"}


def test_run_after_an_undo_forgets_the_vocabulary_before(migration: Migration) -> None:
    """What an undone run was made under plays no part in what is checked."""
    migration.vocabulary(**OTHER, acceptAliases=False)
    migration.execute("UPDATE portfoliocompanies SET stage = 'AA', current_stage = 'AA'")
    migration.execute("TRUNCATE fund_strategy_models, fund_baselines, tags")
    migration.migrated()
    migration.command("migrate", "undo")
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed', current_stage = 'Seed'")
    migration.vocabulary()
    migration.migrated()
    made = migration.verify()
    assert made.code == 0, made.out


# Ranges of numbers for funds, since a key over periods is an index of kind GiST, which takes no numbers by itself.
PERIODS = """
    CREATE TABLE terms (fund int4range, valid daterange, PRIMARY KEY (fund, valid WITHOUT OVERLAPS));
    INSERT INTO terms VALUES ('[1,2)', '[2020-01-01, 2021-01-01)'), ('[1,2)', '[2021-01-01, 2022-01-01)');
    CREATE TABLE deals (id int PRIMARY KEY, fund int4range, valid daterange, stage text,
      FOREIGN KEY (fund, PERIOD valid) REFERENCES terms (fund, PERIOD valid));
    INSERT INTO deals VALUES (1, '[1,2)', '[2020-06-01, 2021-06-01)', 'Seed'),
      (2, NULL, '[2000-01-01, 2001-01-01)', 'Seed')"""


def test_period_that_several_rows_cover_is_no_orphan(bare: Migration) -> None:
    """A foreign key over a period refers to all rows that cover it together (PostgreSQL 18); a real gap is found."""
    if int(bare.execute("SHOW server_version_num")[0][0]) < 180000:
        pytest.skip("this PostgreSQL has no keys over periods")
    _stages(bare, PERIODS, "deals")
    made = bare.verify()
    assert made.code == 0, made.out
    with bare.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM terms WHERE valid @> date '2021-03-01'")
    assert "public.deals, deals_fund_valid_fkey: 1 row refers to none in terms" in bare.verify().out


def test_nothing_to_verify_is_a_no(bare: Migration) -> None:
    """Without a migration the answer is no, and says what to do."""
    made = bare.verify()
    assert made.code == 1
    assert made.err == "no migration has been started in this database; start one with: stage-gateway migrate run\n"


def test_undone_migration_does_not_verify(migrated: Migration) -> None:
    """After undo the values are what they were, and verify says so."""
    migrated.command("migrate", "undo")
    made = migrated.verify()
    assert made.code == 1
    assert "is undone, not done" in made.out


def test_invisible_rows_are_an_error(migration: Migration) -> None:
    """A role from which row-level security hides rows is told, instead of verifying less."""
    migration.migrated()
    migration.execute("ALTER TABLE tags ENABLE ROW LEVEL SECURITY")
    with migration.role("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}") as name:
        made = migration.command("verify", url=migration.as_role(name))
    assert made.code == 2
    assert "row-level security" in made.err


def _stages(migration: Migration, tables: str, name: str = "t") -> None:
    """Make a table with a stage by `tables`, and migrate its column `stage` alone."""
    migration.execute(tables)
    migration.specify(tables=[{"table": name, "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    migration.migrated()


def test_foreign_key_is_checked_by_its_own_operator(bare: Migration) -> None:
    """Texts that a type of another schema takes for equal refer to each other; a row that refers to none is found."""
    if not bare.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this PostgreSQL has no citext")
    _stages(
        bare,
        "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions;"
        "CREATE TABLE currencies (code extensions.citext PRIMARY KEY); INSERT INTO currencies VALUES ('eur');"
        "CREATE TABLE t (id int PRIMARY KEY, stage text, code extensions.citext REFERENCES currencies);"
        "INSERT INTO t VALUES (1, 'Seed', 'EUR')",
    )
    made = bare.verify()
    assert made.code == 0, made.out
    bare.execute(f"{AS_REPLICA}DELETE FROM currencies")
    assert "public.t, t_code_fkey: 1 row refers to none in currencies" in bare.verify().out


def test_column_of_the_file_that_was_never_migrated_is_a_violation(bare: Migration) -> None:
    """A table that came into the migration file after the last run is not passed over, nor by finish."""
    _stages(bare, "CREATE TABLE t (id int PRIMARY KEY, stage text); INSERT INTO t VALUES (1, 'Seed')")
    bare.execute("CREATE TABLE u (id int PRIMARY KEY, stage text); INSERT INTO u VALUES (1, 'Seed')")
    column = {"column": "stage", "shape": "value"}
    bare.specify(tables=[{"table": name, "key": "id", "columns": [column]} for name in ("t", "u")])
    made = bare.verify()
    assert made.code == 1
    assert "violation: columns: public.u.stage: stands in the migration file and was never migrated" in made.out
    assert bare.command("migrate", "finish", "--yes").code == 1
    bare.migrated()
    assert bare.verify().code == 0
    bare.specify(tables=[{"table": "u", "key": "id", "columns": [column]}])
    assert bare.verify().code == 0


def test_rows_through_a_partitioned_table_are_information(bare: Migration) -> None:
    """An insert on the parent fires no trigger of the partition that counts; that is told, and is no violation."""
    _stages(
        bare,
        "CREATE TABLE whole (id int PRIMARY KEY, stage text) PARTITION BY RANGE (id);"
        "CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (100); INSERT INTO whole VALUES (1, 'Seed')",
    )
    bare.execute("INSERT INTO whole VALUES (2, 'seed')")
    made = bare.verify()
    assert made.code == 0, made.out
    assert "what comes or goes through the partitioned table, or one it inherits from, is not counted" in made.out


def test_rows_that_go_through_an_inherited_table_are_information(bare: Migration) -> None:
    """A DELETE on the table that this one inherits from fires none of its triggers that count; so it is told too."""
    _stages(
        bare,
        "CREATE TABLE whole (id int, stage text); CREATE TABLE t (PRIMARY KEY (id)) INHERITS (whole);"
        "INSERT INTO t VALUES (1, 'Seed'), (2, 'Seed')",
    )
    bare.execute("DELETE FROM whole WHERE id = 2")
    made = bare.verify()
    assert made.code == 0, made.out
    assert "1 row, expected 2: 2 at the start, +0 since; what comes or goes through" in made.out


def test_orphans_under_a_constraint_that_is_not_valid_are_information(bare: Migration) -> None:
    """Rows that referred to none before the migration, under NOT VALID, are told and are no violation."""
    _stages(
        bare,
        "CREATE TABLE t (id int PRIMARY KEY, stage text, fund int); INSERT INTO t VALUES (1, 'Seed', 99);"
        "ALTER TABLE t ADD CONSTRAINT old FOREIGN KEY (fund) REFERENCES funds NOT VALID",
    )
    made = bare.verify()
    assert made.code == 0, made.out
    assert "public.t, old: 1 row refers to none in funds, which may have been so before" in made.out


@pytest.mark.parametrize("name", ["u", "t", 'we"ird'])
def test_name_of_a_table_does_not_matter(bare: Migration, name: str) -> None:
    """A table may be called what the queries call theirs, and have a quote in its name."""
    quoted = name.replace('"', '""')
    _stages(
        bare,
        f'CREATE TABLE "{quoted}" (id int PRIMARY KEY, stage text); INSERT INTO "{quoted}" VALUES (1, \'Seed\')',
        name,
    )
    made = bare.verify()
    assert made.code == 0, made.err


def test_value_nested_too_deeply_for_a_second_look_is_information(bare: Migration) -> None:
    """What Python cannot take apart is told by its key, and does not end verify with a fault of ours."""
    bare.execute(
        'INSERT INTO fund_baselines SELECT \'deep\', 1, (\'[{"stage": "Seed", "weight": 1, "more": \' || '
        "repeat('[', 3000) || repeat(']', 3000) || '}]')::jsonb"
    )
    bare.migrated()
    made = bare.verify()
    assert made.code == 0, made
    assert "key deep: not worked out a second time, it is nested too deeply" in made.out
