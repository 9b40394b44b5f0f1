"""The partial index where looking for bad rows takes long."""

from support.migration import Migration

INDEX = """
SELECT pg_get_indexdef(indexrelid) LIKE '% WHERE %', indisvalid FROM pg_index
WHERE indexrelid = to_regclass('stage_migration_index_1')
"""


def test_slow_scan_gets_an_index(migration: Migration) -> None:
    """When a scan takes longer than it may, an index over the bad rows is made for every shape, and used."""
    migration.migrated()
    assert migration.execute(INDEX) == []
    migration.command("migrate", "undo")
    migration.specify(indexAfterMs=0)
    migration.migrated()
    assert migration.execute(INDEX) == [(True, True)]
    names = "SELECT relname::text FROM pg_class WHERE relname LIKE 'stage_migration_index%' ORDER BY 1"
    assert len(migration.execute(names)) == 5
    assert migration.verify().code == 0


def test_invalid_index_is_made_anew(migration: Migration) -> None:
    """What a broken build left behind is dropped and built again."""
    migration.specify(indexAfterMs=0)
    migration.migrated()
    migration.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'stage_migration_index_1'::regclass")
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = 10000000003")
    migration.migrated()
    assert migration.execute(INDEX) == [(True, True)]


def test_index_is_what_the_next_look_uses(migration: Migration) -> None:
    """The condition of the index is the one that statements ask with, so the planner can prove it."""
    migration.specify(indexAfterMs=0)
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed'")
    migration.migrated()
    names = ["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"]
    with migration.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        lines = connection.execute(
            'EXPLAIN SELECT count(*) FROM portfoliocompanies t WHERE (t.stage IS NOT NULL AND t.stage COLLATE "C" '
            "<> ALL (%s::text[]))",
            [names],
        ).fetchall()
    assert "stage_migration_index_1" in str(lines)
