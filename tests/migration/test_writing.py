"""Invariants of a batch: what would come out wrong is rolled back and stops the run."""

import pytest
from support.migration import Migration

SPOILERS = [
    ("NEW.stage := NULL", "a new NULL"),
    ("NEW.stage := 'Series X'", "a value that is not canonical"),
]


@pytest.mark.parametrize(("spoil", "what"), SPOILERS, ids=[what for _, what in SPOILERS])
def test_value_that_a_trigger_spoils_rolls_its_batch_back(migration: Migration, spoil: str, what: str) -> None:
    """A trigger that makes something else of what is written stops the run, and its batch left nothing."""
    before = migration.picture()
    migration.execute(f"""
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {spoil}; RETURN NEW; END $$;
        CREATE TRIGGER spoil BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION spoil()""")
    made = migration.run()
    assert made.code == 1
    assert "rows did not come out canonical with weights that sum to 1" in made.err
    assert migration.picture() == before
    assert migration.execute("SELECT count(*) FROM stage_migration_undo_1") == [(0,)]
    status = migration.execute("SELECT status, last_error FROM stage_migration_batches ORDER BY batch_id LIMIT 1")
    assert status[0][0] == "failed"
    assert "rolled back" in status[0][1]


def test_weights_that_a_trigger_spoils_roll_the_batch_back(migration: Migration) -> None:
    """Weights are summed of what was stored, not of what was meant."""
    before = migration.picture()
    migration.execute("""
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          NEW.stage_allocation := '{"seed": 0.999998}'; RETURN NEW; END $$;
        CREATE TRIGGER spoil BEFORE UPDATE ON fund_strategy_models FOR EACH ROW EXECUTE FUNCTION spoil()""")
    assert migration.run().code == 1
    assert migration.picture()["fund_strategy_models"] == before["fund_strategy_models"]


def test_row_that_a_trigger_suppresses_is_swept_for_ever_and_told(migration: Migration) -> None:
    """A trigger that lets a write fall under the table does not make the run believe that it was done."""
    migration.execute("""
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER swallow BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION swallow()""")
    made = migration.run()
    assert made.code == 1
    assert "faster than they are swept" in made.err


def test_constraint_that_refuses_is_told(migration: Migration) -> None:
    """A constraint of the table that does not take canonical names stops the run with its own words."""
    migration.execute("ALTER TABLE portfoliocompanies ADD CHECK (stage <> 'seed') NOT VALID")
    made = migration.run()
    assert made.code == 1
    assert "portfoliocompanies.stage, keys " in made.err
    assert "violates check constraint" in made.err


def test_weights_at_the_edge_of_the_tolerance(bare: Migration) -> None:
    """A sum that is off by a millionth is taken, one that is off by more is not, and both are exact."""
    bare.execute("INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, '{\"Seed\": 0.9999990}')")
    bare.migrated()
    bare.execute("INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, '{\"Seed\": 0.99999899999}')")
    assert bare.run().code == 1
