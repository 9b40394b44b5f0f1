"""Status: how far a migration is, in every state it can be in."""

import json

from support.migration import Migration


def status(migration: Migration) -> dict[str, object]:
    document: dict[str, object] = json.loads(migration.command("migrate", "status", "--json").out)
    return document


def test_status_before_during_and_after(migration: Migration) -> None:
    """No run, one that was killed, one that is done, one that is undone: each is called what it is."""
    assert status(migration) == {"run": None}
    assert migration.command("migrate", "status").out == "no migration has been started in this database\n"
    migration.specify(batchRows=5)
    process = migration.start("migrate", "run", "--no-snapshot")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    killed = status(migration)
    assert killed["status"] == "interrupted"
    assert killed["heldBy"] is None
    migration.migrated()
    done = status(migration)
    assert (done["status"], done["rows"], done["rowsDone"]) == ("done", killed["rows"], killed["rows"])
    assert done["guard"] == {"mode": "record", "seen": 0}
    shown = migration.command("migrate", "status").out
    assert "run:               1, done" in shown
    assert "snapshot:          none, as asked for" in shown
    migration.command("migrate", "undo")
    assert status(migration)["status"] == "undone"


def test_failed_run_says_why(migration: Migration) -> None:
    """The last error is part of the status."""
    migration.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON portfoliocompanies EXECUTE FUNCTION refuse()""")
    migration.run()
    assert "not today" in migration.command("migrate", "status").out
    assert status(migration)["status"] == "failed"
