"""Objects of others are never used, replaced or dropped, and those of the migration go to the last one."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from support.catalog import counts, objects
from support.length import examples
from support.migration import Migration

from gateway.migration.database import Connection

TABLES = [
    {"table": "deals", "key": "id", "fund": "fund", "columns": [{"column": "stage", "shape": "value"}]},
    {"table": "plans", "key": "id", "columns": [{"column": "stages", "shape": "each", "field": "stage"}]},
]
MADE = """
CREATE TABLE deals (id int PRIMARY KEY, fund int, stage text);
CREATE TABLE plans (id int PRIMARY KEY, stages jsonb);
INSERT INTO deals SELECT n, n % 2, 'Seed' FROM generate_series(1, 5) AS n;
INSERT INTO plans SELECT n, '[{"stage": "Series A"}]' FROM generate_series(1, 3) AS n;
"""
APPLICATION = """
INSERT INTO deals VALUES (90, 1, 'Seed'), (91, 1, 'seed'), (92, 1, NULL);
UPDATE deals SET stage = 'Series A' WHERE id = 91;
DELETE FROM deals WHERE id >= 90;
INSERT INTO plans VALUES (90, '[]');
DELETE FROM plans WHERE id = 90;
"""
UNDONE = "UPDATE deals SET stage = 'Seed'; UPDATE plans SET stages = '[{\"stage\": \"Series A\"}]'"


@pytest.fixture
def deals(bare: Migration) -> Migration:
    bare.execute(MADE)
    bare.specify(tables=TABLES, batchRows=2, indexAfterMs=0)
    return bare


def catalog(migration: Migration) -> Mapping[str, Any]:
    with migration.connect() as connection:
        return {"counts": counts(connection), "objects": objects(connection)}


def names_of_ours(migration: Migration) -> Sequence[tuple[str, str]]:
    """Return the kinds and names of all that a run makes in the schema of the migration."""
    return migration.execute(
        "SELECT 'relation', c.relname FROM pg_class AS c WHERE c.relname ~ '^stage_' AND c.relkind IN ('r', 'i') "
        "AND c.relname !~ '_pkey$|_key$|index' UNION ALL "
        "SELECT 'function', p.proname FROM pg_proc AS p WHERE p.proname ~ '^stage_' UNION ALL "
        "SELECT 'trigger', g.tgname FROM pg_trigger AS g WHERE g.tgname ~ '^stage_' AND g.tgrelid = 'deals'::regclass"
    )


# Kind of object → how a user makes one of a name, and drops it.
THEIRS = {
    "table": ("CREATE TABLE {0} (mine int); INSERT INTO {0} VALUES (1)", "DROP TABLE {0}"),
    "sequence": ("CREATE SEQUENCE {0}", "DROP SEQUENCE {0}"),
    "enum": ("CREATE TYPE {0} AS ENUM ('mine')", "DROP TYPE {0}"),
    "index": ("CREATE INDEX {0} ON funds (id)", "DROP INDEX {0}"),
    "function": ("CREATE FUNCTION {0}() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION {0}()"),
    "procedure": ("CREATE PROCEDURE {0}() LANGUAGE sql AS 'SELECT 1'", "DROP PROCEDURE {0}()"),
    "trigger": (
        "CREATE TRIGGER {0} BEFORE UPDATE ON deals FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "DROP TRIGGER {0} ON deals",
    ),
}
KINDS = {
    "relation": ("table", "sequence", "enum", "index"),
    "function": ("function", "procedure"),
    "trigger": ("trigger",),
}


def test_objects_of_others_are_refused_before_anything_is_written(deals: Migration) -> None:
    """Whatever has a name that the migration needs is told by name and with a cure, by plan and run, and left alone."""
    ours = names_of_ours(deals.migrated())
    assert deals.command("migrate", "finish", "--yes").code == 0
    deals.execute(UNDONE)
    assert len(ours) > 15
    for sort, name in ours:
        for kind in KINDS[sort]:
            make, drop = (query.format(name) for query in THEIRS[kind])
            deals.execute(make)
            before = catalog(deals)
            for made in (deals.command("migrate", "plan"), deals.run()):
                assert made.code == 2, (kind, name, made)
                assert name in made.err, (kind, made)
                assert "is none of the migration's" in made.err
                assert "rename it" in made.err
            assert catalog(deals) == before
            deals.execute(drop)
    deals.migrated()


def test_tables_of_others_are_no_migration(deals: Migration) -> None:
    """Tables that only have the names of ours make no command believe in a migration, and none is touched."""
    for name in ("targets", "runs", "batches", "counts", "seen", "invalid"):
        deals.execute(f"CREATE TABLE stage_migration_{name} (mine int)")
    before = catalog(deals)
    assert deals.command("migrate", "status").out == "no migration has been started in this database\n"
    for words in (("migrate", "undo"), ("migrate", "finish", "--yes"), ("migrate", "guard", "off"), ("verify",)):
        assert deals.command(*words).code == 1
    assert catalog(deals) == before


def test_whole_life_leaves_the_catalog_as_it_was(deals: Migration) -> None:
    """After plan, run, reads, undo, another run and finish each catalog has the entries it had."""
    before = catalog(deals)
    deals.command("migrate", "plan")
    deals.migrated()
    for words in (
        ("reads", "legacy"),
        ("reads", "canonical"),
        ("migrate", "guard", "refuse"),
        ("verify",),
        ("migrate", "undo"),
        ("migrate", "run", "--no-snapshot"),
        ("migrate", "finish", "--yes"),
    ):
        assert deals.command(*words).code == 0, words
    assert catalog(deals) == before


@contextmanager
def broken_off(migration: Migration, step: int) -> Iterator[list[int]]:
    """End the session of a command at its n-th statement; yields a list whose length is the number of statements."""
    done: list[int] = []
    execute = psycopg.Connection.execute

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        if isinstance(self, Connection):
            done.append(len(done))
            if len(done) == step:
                migration.execute("SELECT pg_terminate_backend(%s, 10000)", [self.info.backend_pid])
        return execute(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", counted)
        yield done


@contextmanager
def refused(migration: Migration, step: int) -> Iterator[list[int]]:
    """Let the server refuse the n-th command that makes, changes or drops an object."""
    migration.execute(
        "CREATE SCHEMA refusing; CREATE SEQUENCE refusing.steps; "
        "CREATE FUNCTION refusing.refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        f"'BEGIN IF nextval(''refusing.steps'') = {step} THEN RAISE ''not now''; END IF; END'; "
        "CREATE EVENT TRIGGER refusing ON ddl_command_start EXECUTE FUNCTION refusing.refuse()"
    )
    done: list[int] = []
    yield done
    [(last,)] = migration.execute("SELECT last_value FROM refusing.steps")
    done.extend(range(last))
    migration.execute("DROP EVENT TRIGGER refusing; DROP SCHEMA refusing CASCADE")


WAYS = {"connection lost": broken_off, "refused": refused}
STRIDE = examples(7, 1)
# finish drops its indexes before all else, each by itself.
INDEXES = {("index", f"public.stage_migration_index_{number}") for number in (1, 2)}


def check_left(migration: Migration, before: Mapping[str, Any]) -> None:
    """Check that nothing of the user's is gone, and that the application writes as ever."""
    assert catalog(migration)["objects"] >= before["objects"]
    migration.execute(APPLICATION)


def taken_away(migration: Migration) -> None:
    """Undo what there is to undo and finish, where there is a migration."""
    migration.command("migrate", "undo")
    made = migration.command("migrate", "finish", "--yes")
    assert made.code == 0 or "no migration has been started" in made.err, made


@pytest.mark.parametrize("way", WAYS)
def test_run_that_fails_at_any_step(deals: Migration, way: str) -> None:
    """The application writes on and nothing of the user's is gone; the run goes on, or is undone and leaves nothing."""
    before = catalog(deals)
    for step in itertools.count(1, STRIDE):
        with WAYS[way](deals, step) as done:
            made = deals.run()
        if len(done) < step:
            assert made.code == 0
            break
        check_left(deals, before)
        if step % 2:
            deals.migrated()
            assert deals.verify().code == 0
        taken_away(deals)
        assert catalog(deals) == before, (way, step)
    assert step > 15


@pytest.mark.parametrize("way", WAYS)
def test_finish_that_fails_at_any_step(deals: Migration, way: str) -> None:
    """Nothing of the user's is gone, the application writes on, and the next finish leaves nothing."""
    before = catalog(deals)
    for step in itertools.count(1, STRIDE):
        deals.migrated()
        with WAYS[way](deals, step) as done:
            made = deals.command("migrate", "finish", "--yes")
        if len(done) < step:
            assert made.code == 0
            break
        check_left(deals, before)
        deals.execute(UNDONE)
        taken_away(deals)
        assert catalog(deals) == before, (way, step)
    assert step > 5


def test_second_home_over_one_table_is_refused(deals: Migration) -> None:
    """A table that one migration watches is not taken by another, which names the schema of the first."""
    deals.migrated()
    deals.execute('CREATE SCHEMA "Other home"')
    tables = [{**table, "table": f"public.{table['table']}", "view": "other"} for table in TABLES[:1]]
    deals.specify(schema="Other home", tables=tables)
    before = catalog(deals)
    for made in (deals.command("migrate", "plan"), deals.run()):
        assert made.code == 2
        assert "stage_migration_count_insert on public.deals: belongs to the migration that keeps its own" in made.err
        assert "tables in schema public; name that schema" in made.err
    assert catalog(deals) == before
    deals.specify(tables=TABLES)
    assert deals.command("migrate", "finish", "--yes").code == 0
    deals.specify(schema="Other home", tables=tables)
    assert deals.run().code == 0


def test_two_homes_over_two_tables(deals: Migration) -> None:
    """Migrations of different tables keep apart, also their indexes in one schema, and each takes away its own."""
    before = catalog(deals)
    deals.execute("CREATE SCHEMA other")
    homes = {
        "public": {"tables": TABLES[:1]},
        "other": {"tables": [{**TABLES[1], "table": "public.plans"}]},
    }
    told = ""
    for home, members in homes.items():
        deals.specify(schema=home, indexAfterMs=0, **members)
        told += deals.run().out
    assert "going on without an index: public.stage_migration_index_1 is none of the migration's" in told
    for home, members in homes.items():
        deals.specify(schema=home, indexAfterMs=0, **members)
        assert deals.verify().code == 0
        assert deals.command("migrate", "finish", "--yes").code == 0
    deals.execute("DROP SCHEMA other")
    assert catalog(deals) == before


def test_index_of_somebody_else_is_left_alone(deals: Migration) -> None:
    """A user's index with the name of ours stays; the run does without one and says so."""
    deals.execute("CREATE INDEX stage_migration_index_1 ON deals (id) WHERE stage IS NOT NULL")
    before = catalog(deals)
    made = deals.run()
    assert made.code == 0
    assert "public.stage_migration_index_1 is none of the migration's" in made.out
    assert deals.command("migrate", "finish", "--yes").code == 0
    assert catalog(deals) == before


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        ("DROP VIEW deals_stages; CREATE TABLE deals_stages (mine int)", "table public.deals_stages: is none of"),
        ("DROP TABLE stage_migration_seen; CREATE TABLE stage_migration_seen (x int)", "stage_migration_seen: is none"),
        (
            "CREATE TRIGGER mine AFTER INSERT ON funds FOR EACH STATEMENT EXECUTE FUNCTION stage_migration_count()",
            "trigger mine on table funds: builds on a function of the migration",
        ),
        (
            "CREATE VIEW mine AS SELECT before FROM stage_migration_undo_1",
            "mine",
        ),
    ],
)
def test_finish_drops_nothing_that_became_somebody_elses(deals: Migration, swap: str, told: str) -> None:
    """What took the place of an object of ours since, or builds on one, stops finish with its name, and all stays."""
    deals.migrated()
    deals.execute(swap)
    before = catalog(deals)["objects"] - INDEXES
    made = deals.command("migrate", "finish", "--yes")
    assert made.code in {1, 2}
    assert told in made.err
    assert catalog(deals)["objects"] >= before


def test_objects_of_another_version_are_not_used(deals: Migration) -> None:
    """A migration that another layout began is neither gone on with nor taken apart; the version is named."""
    deals.migrated()
    with deals.connect() as connection:
        for (table,) in connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^stage_' AND relkind = 'r'"):
            mark = "made by stage-gateway migrate (home public, layout 99), removed by finish"
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(sql.Identifier(table), sql.Literal(mark)))
    before = catalog(deals)
    for words in (("migrate", "run", "--no-snapshot"), ("migrate", "status"), ("migrate", "finish", "--yes")):
        made = deals.command(*words)
        assert made.code == 2, words
        assert "was made by another version of stage-gateway (layout 99); end that migration with" in made.err
    assert catalog(deals) == before


def test_role_that_owns_no_table_leaves_nothing(deals: Migration) -> None:
    """A role with the rights that plan asks for, and no more, runs and finishes, triggers and all."""
    rights = (
        "CREATE SCHEMA own; GRANT USAGE, CREATE ON SCHEMA own, public TO {role}; "
        "GRANT SELECT, UPDATE, TRIGGER ON deals TO {role}; ALTER SCHEMA own OWNER TO {role}"
    )
    with deals.role(rights) as role:
        before = catalog(deals)
        deals.specify(schema="own", tables=[{**TABLES[0], "table": "public.deals"}])
        for words in (("migrate", "run", "--no-snapshot"), ("verify",), ("migrate", "finish", "--yes")):
            made = deals.command(*words, url=deals.as_role(role))
            assert made.code == 0, made
        assert catalog(deals) == before
