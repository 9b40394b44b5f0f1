"""The guard: what the database does about names that come in."""

import json

import psycopg
import pytest
from support.migration import Migration

from gateway.migration.database import connected
from gateway.migration.spec import load_spec

SEEN = "SELECT target_id, key, operation, name FROM stage_migration_seen ORDER BY seen_at, name"
COMPANY = 10000000003


def test_recording_guard_notes_and_lets_in(migration: Migration) -> None:
    """By default new names are written down with key and operation, none is refused, and the next run sweeps them."""
    migration.migrated()
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [COMPANY])
    migration.execute("UPDATE portfoliocompanies SET name = 'x' WHERE id = %s", [COMPANY])
    migration.execute('INSERT INTO tags VALUES (9999, \'{"seed": 1, "PreSeed": 2}\')')
    migration.execute("UPDATE tags SET stages = '{\"PreSeed\": 3}' WHERE id = 9999")
    assert migration.execute(SEEN) == [(1, str(COMPANY), "UPDATE", "Seed"), (5, "9999", "INSERT", "PreSeed")]
    document = json.loads(migration.command("migrate", "guard", "--json").out)
    assert document == {"mode": "record", "seen": 2}
    migration.migrated()
    assert migration.verify().code == 0


def test_application_needs_no_rights_on_the_migration(migration: Migration) -> None:
    """A role that may only write the table goes on doing so; the guard writes with the rights of its owner."""
    migration.migrated()
    with (
        migration.role("GRANT ALL ON portfoliocompanies TO {role}") as name,
        migration.connect(user=name) as application,
    ):
        application.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [COMPANY])
        application.execute("DELETE FROM portfoliocompanies WHERE id = 10000000006")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("SELECT * FROM stage_migration_seen")
    assert len(migration.execute(SEEN)) == 1


REFUSED = [
    ("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = 10000000003", "'Seed' is no canonical investment stage"),
    ("INSERT INTO portfoliocompanies VALUES (1, 1, 'n', 'x', 'seed')", "'x' is no canonical investment stage"),
    ("UPDATE tags SET stages = stages || '{\"Seed\": 1}' WHERE id = 1", "'Seed' is no canonical"),
    (
        'INSERT INTO fund_baselines VALUES (\'n\', 1, \'[{"stage": "Seed", "weight": 1}]\')',
        "'Seed' is no canonical investment stage",
    ),
]


@pytest.mark.parametrize(("write", "message"), REFUSED)
def test_refusing_guard_keeps_new_names_out(migrated: Migration, write: str, message: str) -> None:
    """Set to refuse, a write that brings in a bad name fails; record lets it in again."""
    assert (
        migrated.command("migrate", "guard", "refuse").out == "guard: refuse; 0 names came in that are not canonical\n"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        migrated.execute(write)
    assert migrated.verify().code == 0
    migrated.command("migrate", "guard", "record")
    migrated.execute(write)
    assert len(migrated.execute(SEEN)) == 1


def test_refusing_guard_lets_old_names_stay(migration: Migration) -> None:
    """A row that holds a bad name already can be edited in all else, and its other names too."""
    migration.execute("INSERT INTO tags VALUES (9999, '{\"bogus\": 1}')")
    assert migration.run("--on-invalid", "record").code == 1
    migration.command("migrate", "guard", "refuse")
    migration.execute('UPDATE tags SET stages = \'{"bogus": 2, "seed": 1}\' WHERE id = 9999')
    with pytest.raises(psycopg.errors.CheckViolation, match="'worse' is no canonical"):
        migration.execute('UPDATE tags SET stages = \'{"bogus": 2, "worse": 1}\' WHERE id = 9999')


def test_accepted_aliases_are_let_in(migration: Migration) -> None:
    """With acceptAliases the spellings that the vocabulary lists pass the guard, and are swept later."""
    migration.vocabulary(acceptAliases=True)
    migration.migrated()
    migration.command("migrate", "guard", "refuse")
    migration.execute("UPDATE portfoliocompanies SET stage = 'preseed' WHERE id = %s", [COMPANY])
    with pytest.raises(psycopg.errors.CheckViolation):
        migration.execute("UPDATE portfoliocompanies SET stage = 'bogus' WHERE id = %s", [COMPANY])
    assert migration.execute(SEEN) == [(1, str(COMPANY), "UPDATE", "preseed")]


def test_guard_that_is_off_still_counts_rows(migrated: Migration) -> None:
    """Off, it looks at no names, but rows that come and go are counted, so that verify can tell a lost one."""
    migrated.command("migrate", "guard", "off")
    migrated.execute("INSERT INTO tags VALUES (9999, '{\"Seed\": 1}'), (9998, NULL)")
    migrated.execute("DELETE FROM tags WHERE id IN (1, 9999)")
    assert migrated.execute(SEEN) == [(5, "9998", "INSERT", None)]
    assert migrated.verify("--json").out.count('"check": "nulls"') == 1  # the check, and no violation of it
    assert migrated.execute("SELECT change FROM stage_migration_counts ORDER BY at") == [(2,), (-2,)]


def test_emptied_table_is_counted(migrated: Migration) -> None:
    """TRUNCATE takes all rows away, and is counted as that."""
    migrated.execute("TRUNCATE tags")
    assert migrated.execute("SELECT change FROM stage_migration_counts") == [(-40,)]
    made = migrated.verify()
    assert made.code == 0, made.out


WRONG_TYPES = [
    "INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, '\"garbage\"')",
    'INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, \'{"seed": "abc"}\')',
    "INSERT INTO fund_baselines VALUES ('n', 1, '[{\"stage\": 7, \"weight\": 1}]')",
    "INSERT INTO fund_baselines VALUES ('n', 1, '[[{\"stage\": \"seed\"}]]')",
    "INSERT INTO fund_baselines VALUES ('n', 1, '[{\"stage\": \"seed\"}]')",
    "INSERT INTO fund_baselines VALUES ('n', 1, '{\"stage\": \"seed\"}')",
]


@pytest.mark.parametrize("write", WRONG_TYPES)
def test_guard_sees_what_is_of_the_wrong_type(migrated: Migration, write: str) -> None:
    """A value of another JSON type, a name or a weight of one, or none, is recorded like a bad name, and refused."""
    with migrated.connect() as application, application.transaction(force_rollback=True):
        application.execute(write)
        assert application.execute("SELECT count(*) FROM stage_migration_seen").fetchone() == (1,)
    migrated.command("migrate", "guard", "refuse")
    with pytest.raises(psycopg.errors.CheckViolation, match="is no canonical investment stage"):
        migrated.execute(write)


def test_guard_does_not_go_by_the_collation_of_the_column(bare: Migration) -> None:
    """To a collation that takes upper and lower case for equal, SERIES-A is series-a; to the guard it is not."""
    try:
        bare.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server is built without ICU; STAGE_GATEWAY_TEST_POSTGRES names another")
    bare.execute("ALTER TABLE portfoliocompanies ALTER stage TYPE text COLLATE ci")
    bare.execute("INSERT INTO portfoliocompanies VALUES (1, 1, 'n', 'series-a', NULL)")
    bare.migrated()
    bare.command("migrate", "guard", "refuse")
    with pytest.raises(psycopg.errors.CheckViolation, match="'SERIES-A' is no canonical"):
        bare.execute("UPDATE portfoliocompanies SET stage = 'SERIES-A'")


@pytest.mark.parametrize("spelling", ["Series A", " SERIES\tA", "ｓｅｒｉｅｓ a", "Series-A", "SEED"])
def test_accepted_aliases_are_those_of_the_gateway(migration: Migration, spelling: str) -> None:
    """With acceptAliases the guard lets in every spelling that the gateway lets through, not the listed ones alone."""
    migration.vocabulary(acceptAliases=True)
    migration.migrated()
    migration.command("migrate", "guard", "refuse")
    migration.execute("UPDATE portfoliocompanies SET stage = %s WHERE id = %s", [spelling, COMPANY])
    migration.migrated()


def test_application_cannot_pass_for_the_migration(migrated: Migration) -> None:
    """Neither the setting that triggers may test, nor a session of ours that a pooler hands on, opens the guard."""
    migrated.command("migrate", "guard", "refuse")
    with (
        migrated.role("GRANT ALL ON portfoliocompanies TO {role}") as name,
        migrated.connect(user=name) as application,
    ):
        application.execute("SET stage_gateway.migration = 'on'")
        with pytest.raises(psycopg.errors.CheckViolation):
            application.execute("UPDATE portfoliocompanies SET stage = 'garbage'")
    with connected(migrated.url, load_spec(migrated.spec), "test") as ours:
        [setting] = ours.execute("SELECT current_setting('stage_gateway.migration', true) AS on").fetchall()
        assert not setting["on"]


def test_renamed_column_can_still_be_written(migrated: Migration) -> None:
    """After a rename good names go in, bad ones unseen while the guard records; while it refuses it says what is up."""
    migrated.execute("ALTER TABLE portfoliocompanies RENAME stage TO phase")
    for name in ("seed", "Seed"):
        migrated.execute("UPDATE portfoliocompanies SET phase = %s WHERE id = %s", [name, COMPANY])
    migrated.command("migrate", "guard", "refuse")
    migrated.execute("UPDATE portfoliocompanies SET phase = 'series-a' WHERE id = %s", [COMPANY])
    with pytest.raises(psycopg.errors.CheckViolation, match=r"portfoliocompanies\.stage was renamed while the guard"):
        migrated.execute("UPDATE portfoliocompanies SET phase = 'bad' WHERE id = %s", [COMPANY])
    for command in (["verify"], ["migrate", "undo"], ["migrate", "finish", "--yes"]):
        made = migrated.command(*command)
        assert made.code == 2
        assert made.err == (
            "public.portfoliocompanies.stage: was renamed or dropped since the migration; give table, key and column "
            "their names back first\n"
        )
    migrated.execute("ALTER TABLE portfoliocompanies RENAME phase TO stage; ALTER TABLE tags RENAME TO labels")
    assert "public.tags.stages: was renamed" in migrated.command("migrate", "undo").err
    migrated.execute("ALTER TABLE labels RENAME TO tags")
    assert migrated.command("migrate", "undo").code == 0


def test_guard_follows_the_vocabulary(migrated: Migration) -> None:
    """A run under another vocabulary lets the triggers know its names."""
    migrated.vocabulary(canonical=["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+", "growth"])
    migrated.migrated()
    migrated.command("migrate", "guard", "refuse")
    migrated.execute("UPDATE portfoliocompanies SET stage = 'growth' WHERE id = %s", [COMPANY])


def test_undo_sets_the_guard_to_record_first(migration: Migration) -> None:
    """A refusing guard does not stand in the way of undo, and is at record afterwards."""
    before = migration.picture()
    migration.migrated()
    migration.command("migrate", "guard", "refuse")
    assert migration.command("migrate", "undo").code == 0
    assert migration.picture() == before
    assert migration.execute(SEEN) == []  # what undo writes did not come in from outside
    assert '"mode": "record"' in migration.command("migrate", "guard", "--json").out


def test_busy_table_gets_its_triggers_when_it_is_free(migration: Migration) -> None:
    """Triggers wait for a writer a little at a time; a table that stays locked is told, and nothing was migrated."""
    migration.specify(lockTimeoutMs=200)
    before = migration.picture()
    with migration.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE portfoliocompanies SET name = name WHERE id = %s", [COMPANY])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.migration.retrying.ATTEMPTS", 3)
            made = migration.run()
    assert made.code == 1
    assert "public.portfoliocompanies is held by process " in made.err
    assert migration.picture() == before
    migration.migrated()
