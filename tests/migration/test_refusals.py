"""What the server refuses: told for what it is, put down in the run's status, and gone on after once it is cured."""

import json
import signal
from typing import Any

import pytest
from support.databases import clone, prepare
from support.migration import Ended, Migration
from support.postgres import Server

COMPANY = 10000000003
# SQLSTATE → what the message begins with; a trigger of the table raises it.
RAISED = {
    "P0001": "the database refused: no, by meddle",
    "53100": "the server lacks room: no, by meddle",
    "53200": "the server lacks room: no, by meddle",
    "53400": "the server lacks room: no, by meddle",
    "55000": "the database refused: no, by meddle",
    "55P04": "the database refused: no, by meddle",
    "57P01": "the database refused: no, by meddle",
    "08006": "the database refused: no, by meddle",
    "58030": "the database refused: no, by meddle",
    "22012": "the database refused: no, by meddle",
    "XX001": "the database refused: no, by meddle",
}


def raising(migration: Migration, code: str) -> None:
    """Let a trigger of the application raise an error of this SQLSTATE for one row."""
    migration.execute(
        f"""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.id = {COMPANY} AND NEW.stage IS DISTINCT FROM OLD.stage THEN
            RAISE EXCEPTION 'no, by meddle' USING ERRCODE = '{code}', DETAIL = 'the third company', HINT = 'ask Ann';
          END IF;
          RETURN NEW; END $$;
        CREATE TRIGGER meddle BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION meddle();
        """.replace("%", "%%"),
    )


def state(migration: Migration) -> dict[str, Any]:
    return dict(json.loads(migration.command("migrate", "status", "--json").out))


@pytest.mark.parametrize("code", RAISED)
def test_refusal_is_no_lost_connection(migration: Migration, code: str) -> None:
    """Whatever class an error has, while the connection stands run and undo end with 1, failed, and name the key."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = %s", [COMPANY])
    before = migration.picture()
    raising(migration, code)
    refused(migration, migration.run(), code)
    migration.execute("ALTER TABLE portfoliocompanies DISABLE TRIGGER meddle")
    migration.migrated()
    migration.execute("ALTER TABLE portfoliocompanies ENABLE TRIGGER meddle")
    refused(migration, migration.command("migrate", "undo"), code)
    migration.execute("ALTER TABLE portfoliocompanies DISABLE TRIGGER meddle")
    assert migration.command("migrate", "undo").code == 0
    assert migration.picture() == before


def refused(migration: Migration, made: Ended, code: str) -> None:
    assert (made.code, made.err.count("\n")) == (1, 1), made
    assert RAISED[code] in made.err
    place = "keys 1" if code.startswith("53") else f"key {COMPANY}: "
    assert f"portfoliocompanies.stage, {place}" in made.err
    assert "the third company" in made.err
    assert "ask Ann" in made.err
    assert "function meddle()" in made.err
    told = state(migration)
    assert told["status"] == "failed"
    assert "no, by meddle" in told["lastError"]


def test_half_undone_is_told_by_status_and_gone_on_with(migration: Migration) -> None:
    """An undo that is refused leaves the run failed, verify says no, and a run makes all of it canonical again."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = %s", [COMPANY])
    migration.migrated()
    after = migration.picture()
    raising(migration, "P0001")
    assert migration.command("migrate", "undo").code == 1
    assert state(migration)["lastError"].startswith("undo stopped: ")
    assert migration.verify().code == 1
    migration.execute("DROP TRIGGER meddle ON portfoliocompanies")
    migration.migrated()
    assert migration.picture() == after
    assert migration.verify().code == 0


def test_refusal_between_batches_fails_the_run(migration: Migration) -> None:
    """An error outside of a batch, as rows are cut into batches, is put down too."""
    migration.migrated()
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed'")
    migration.execute("""
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full', HINT = 'Check free disk space.'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON stage_migration_batches EXECUTE FUNCTION full_disk()""")
    made = migration.run()
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert made.err.startswith("the server lacks room: could not extend file")
    assert state(migration)["status"] == "failed"
    migration.execute("DROP TRIGGER full_disk ON stage_migration_batches")
    migration.migrated()


def test_tables_of_the_migration_may_be_published(migration: Migration) -> None:
    """A publication of all tables takes in the migration's own, whose rows it must be able to change and delete."""
    migration.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    migration.execute("UPDATE portfoliocompanies SET stage = 'bogus' WHERE id = %s", [COMPANY])
    assert migration.run("--on-invalid", "record").code == 1
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [COMPANY])
    migration.migrated()
    assert migration.verify().code == 0
    assert migration.command("migrate", "undo").code == 0
    migration.migrated()
    assert migration.command("migrate", "finish", "--yes").code == 0


def test_server_that_is_restarted_is_a_lost_connection(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A shutdown in order (57P01) ends a run with 3, and the same command goes on."""
    with Server() as server:
        prepare(server)
        for migration in clone(server, tmp_path_factory.mktemp("restart"), "filled"):
            migration.specify(batchRows=5)
            process = migration.start("migrate", "run", "--no-snapshot")
            assert process.stdout is not None
            process.stdout.readline()
            server.stop(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert (process.returncode, err.count("\n")) == (3, 1), err
            assert "the connection was lost, the same command goes on from here" in err
            server.start()
            assert state(migration)["status"] == "interrupted"
            migration.migrated()


def test_too_many_connections_cannot_be_reached(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that takes no more connections (53300) is one that cannot be reached: 3, in its own words."""
    with Server(settings={"max_connections": "6", "superuser_reserved_connections": "1"}) as server:
        prepare(server)
        for migration in clone(server, tmp_path_factory.mktemp("many"), "bare"):
            held = [migration.connect() for _ in range(6)]
            made = migration.command("migrate", "plan")
            for connection in held:
                connection.close()
            assert (made.code, made.err.count("\n")) == (3, 1)
            assert "too many clients" in made.err
