"""Finish takes everything away that the migration made, and nothing before verify has passed."""

import pytest
from support.migration import Migration

OBJECTS = """
SELECT 'relation', relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL
SELECT 'function', proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL
SELECT 'trigger', tgname::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2
"""


def test_finish_leaves_nothing_but_the_data(migration: Migration) -> None:
    """After finish the database has the objects it had, and the canonical values; an index of the run goes too."""
    before = migration.execute(OBJECTS)
    migration.specify(indexAfterMs=0)
    migration.migrated()
    after = migration.picture()
    assert "stage_migration_index_1" in str(migration.execute(OBJECTS))
    told = migration.command("migrate", "finish")
    assert told.code == 1
    assert "can then no longer be undone; say --yes to do it" in told.out
    made = migration.command("migrate", "finish", "--yes")
    assert made.code == 0, made
    assert migration.execute(OBJECTS) == before
    assert migration.picture() == after
    assert migration.command("migrate", "undo").code == 1


def test_finish_wants_verify_to_pass(migrated: Migration) -> None:
    """With a violation nothing is removed."""
    migrated.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = 10000000003")
    made = migrated.command("migrate", "finish", "--yes")
    assert made.code == 1
    assert "verify finds 1 violation, nothing was removed" in made.out
    assert migrated.command("migrate", "status").code == 0


def test_finish_waits_for_readers_to_be_canonical(migrated: Migration) -> None:
    """While readers are shown the values before, finish would change what they see, and refuses."""
    migrated.command("reads", "legacy")
    made = migrated.command("migrate", "finish", "--yes")
    assert made.code == 1
    assert "first: stage-gateway reads canonical" in made.err


def test_view_that_others_build_on_is_not_dropped(migrated: Migration) -> None:
    """A view of somebody else's on ours stops finish with one line, and everything stays."""
    migrated.execute("CREATE VIEW theirs AS SELECT id FROM tags_stages")
    made = migrated.command("migrate", "finish", "--yes")
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert "depend" in made.err
    assert migrated.verify().code == 0


def test_undone_migration_can_be_finished(migration: Migration) -> None:
    """After undo there is nothing to verify, and what is left can be removed."""
    before, objects = migration.picture(), migration.execute(OBJECTS)
    migration.migrated()
    migration.command("migrate", "undo")
    assert migration.command("migrate", "finish", "--yes").code == 0
    assert migration.picture() == before
    assert migration.execute(OBJECTS) == objects


def test_start_that_failed_can_be_finished(migration: Migration) -> None:
    """A run that got no further than its tables, since one of yours was locked, leaves nothing that stays for ever."""
    before = migration.execute(OBJECTS)
    migration.specify(lockTimeoutMs=20)
    with migration.connect() as writer, pytest.MonkeyPatch.context() as patch:
        writer.execute("BEGIN; UPDATE portfoliocompanies SET name = name WHERE id = 10000000003")
        patch.setattr("gateway.migration.retrying.ATTEMPTS", 1)
        assert migration.run().code == 1
    assert migration.command("migrate", "finish", "--yes").code == 0
    assert migration.execute(OBJECTS) == before


def test_new_migration_can_begin_after_finish(migration: Migration) -> None:
    """Finish closes the books: the next run begins with counts of its own."""
    migration.migrated()
    migration.command("migrate", "finish", "--yes")
    migration.execute("INSERT INTO tags VALUES (9999, '{\"Seed\": 1}')")
    migration.migrated()
    assert migration.verify().code == 0
