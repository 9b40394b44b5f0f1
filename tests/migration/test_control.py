"""Status: how far a migration is, in every state it can be in."""

import json
import subprocess

from support.clock import eventually
from support.migration import Migration


def status(migration: Migration) -> dict[str, object]:
    document: dict[str, object] = json.loads(migration.command("migrate", "status", "--json").out)
    return document


def killed(migration: Migration, process: "subprocess.Popen[str]") -> dict[str, object]:
    """Kill a command and return the status, once the server has seen that its client is gone."""
    process.kill()
    process.communicate()
    eventually(lambda: status(migration)["heldBy"] is None)
    return status(migration)


def test_status_before_during_and_after(migration: Migration) -> None:
    """No run, one that was killed, one that is done, one that is undone: each is called what it is."""
    assert status(migration) == {"run": None}
    assert migration.command("migrate", "status").out == "no migration has been started in this database\n"
    migration.specify(batchRows=5)
    process = migration.start("migrate", "run", "--no-snapshot")
    assert process.stdout is not None
    process.stdout.readline()
    interrupted = killed(migration, process)
    assert interrupted["status"] == "interrupted"
    migration.migrated()
    done = status(migration)
    assert (done["status"], done["rows"], done["rowsDone"]) == ("done", interrupted["rows"], interrupted["rows"])
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


def test_undo_that_was_killed_half_way_is_not_called_done(migrated: Migration) -> None:
    """A killed undo is `undo interrupted` with what it restored, verify fails, and undo or run goes on from there."""
    changed = status(migrated)["updated"]
    migrated.specify(batchRows=5)
    process = migrated.start("migrate", "undo")
    assert process.stdout is not None
    process.stdout.readline()
    half_way = killed(migrated, process)
    assert half_way["status"] == "undo interrupted"
    assert isinstance(half_way["restored"], int)
    assert isinstance(changed, int)
    assert 5 <= half_way["restored"] < changed
    assert f"undo:              {half_way['restored']} values restored" in migrated.command("migrate", "status").out
    assert "is undoing, not done" in migrated.verify().out
    assert migrated.command("migrate", "pause").code == 1
    assert migrated.command("migrate", "finish", "--yes").code == 1
    assert migrated.command("migrate", "undo").code == 0
    undone = status(migrated)
    assert (undone["status"], undone["restored"]) == ("undone", changed)


def test_run_after_an_interrupted_undo_makes_everything_canonical_again(migrated: Migration) -> None:
    """A run takes up what an interrupted undo restored, and status is done; while undo works it is called undoing."""
    migrated.specify(batchRows=5, lockTimeoutMs=20_000)
    with migrated.connect() as application:
        application.execute("BEGIN")
        application.execute("UPDATE tags SET stages = stages WHERE id = 39")
        process = migrated.start("migrate", "undo")
        assert process.stdout is not None
        assert any("tags" in line for line in process.stdout)
        assert status(migrated)["status"] == "undoing"
        killed(migrated, process)
    migrated.migrated()
    assert status(migrated)["status"] == "done"
    assert migrated.verify().code == 0
