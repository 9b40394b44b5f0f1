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
    assert "a trigger of the table stores " in made.err
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


def _trigger(migration: Migration, body: str) -> None:
    migration.execute(f"""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
        CREATE TRIGGER meddle BEFORE UPDATE ON portfoliocompanies FOR EACH ROW EXECUTE FUNCTION meddle()""")


STAGE = "SELECT stage FROM portfoliocompanies WHERE id = 10000000003"
INVALID = "SELECT key, value, reason FROM stage_migration_invalid"
MEDDLERS = [
    ("NEW.stage := 'series-c+';", "altered_by_trigger", "stores 'series-c+' in place of what is to be written"),
    ("RETURN NULL;", "suppressed_by_trigger", "lets the write go by without storing it"),
]


@pytest.mark.parametrize(("body", "reason", "told"), MEDDLERS, ids=[reason for _, reason, _ in MEDDLERS])
def test_row_that_a_trigger_meddles_with_is_not_called_migrated(
    migration: Migration, body: str, reason: str, told: str
) -> None:
    """Another canonical name stored, or nothing: the run stops and names row and trigger, or records the row alone."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = 10000000003")
    _trigger(migration, f"IF NEW.id = 10000000003 AND NEW.stage <> OLD.stage THEN {body} END IF;")
    stopped = migration.run()
    assert stopped.code == 1
    assert f"key 10000000003: a trigger {'of' if 'stores' in told else 'or rule of'} the table {told}" in stopped.err
    assert migration.execute(STAGE) == [("Series A",)]
    recorded = migration.run("--on-invalid", "record")
    assert recorded.code == 1
    assert migration.execute(STAGE) == [("Series A",)]
    value = "series-c+" if reason.startswith("altered") else None
    assert migration.execute(INVALID) == [("10000000003", value, reason)]
    assert migration.execute("SELECT key FROM stage_migration_undo_1 WHERE key = 10000000003") == []
    migration.execute("DROP TRIGGER meddle ON portfoliocompanies")
    migration.migrated()
    assert migration.execute(STAGE) == [("series-a",)]
    assert migration.verify().code == 0


def test_weights_at_the_edge_of_the_tolerance(bare: Migration) -> None:
    """A sum that is off by a millionth is taken, one that is off by more is not, and both are exact."""
    bare.execute("INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, '{\"Seed\": 0.9999990}')")
    bare.migrated()
    bare.execute("INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, '{\"Seed\": 0.99999899999}')")
    assert bare.run().code == 1
