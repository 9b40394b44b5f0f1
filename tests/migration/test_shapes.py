"""What becomes of values of each shape, what cannot become anything, and why."""

import json
from collections.abc import Iterator

import pytest
from support.databases import clone
from support.migration import Migration
from support.postgres import Server


def test_collapsing_names_add_up_and_others_stay_apart(bare: Migration) -> None:
    """Weights of names that become one are added exactly; elements that differ elsewhere are not merged."""
    bare.execute("INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, %s)", [
        '{"Seed": 0.1, "seed": 0.2, "SEED": 0.0000005, "Series A": 0.69999950}'])  # fmt: skip
    elements = [
        '{"stage": "Seed", "weight": 0.10, "region": "a"}', '{"stage": "seed", "weight": 0.2, "region": "b"}',
        '{"stage": "SEED", "weight": 0.3, "region": "a"}', '{"stage": "series-a", "weight": 0.2}',
        '{"stage": "series-a", "weight": 0.2}',
    ]  # fmt: skip
    bare.execute("INSERT INTO fund_baselines VALUES ('x', NULL, %s)", [f"[{', '.join(elements)}]"])
    bare.migrated()
    assert bare.execute("SELECT stage_allocation::text FROM fund_strategy_models") == [
        ('{"seed": 0.3000005, "series-a": 0.69999950}',)
    ]
    assert json.loads(bare.execute("SELECT stage_distribution::text FROM fund_baselines")[0][0]) == [
        {"stage": "seed", "weight": 0.4, "region": "a"},
        {"stage": "seed", "weight": 0.2, "region": "b"},
        {"stage": "series-a", "weight": 0.2},
        {"stage": "series-a", "weight": 0.2},
    ]
    assert bare.verify().code == 0


FAULTY = [
    ("fund_strategy_models", '{"Seed": 0.5, "series-a": 0.4}', ["weight_sum"]),
    ("fund_strategy_models", '{"seed": "0.5", "series-a": 0.5}', ["wrong_type"]),
    ("fund_strategy_models", '{"seriesc": 1}', ["disallowed_value"]),
    ("fund_strategy_models", '{"": 1}', ["disallowed_value"]),
    ("fund_strategy_models", "[1]", ["wrong_type"]),
    ("fund_strategy_models", "null", ["wrong_type"]),
    ("fund_strategy_models", '{"ѕeed": 1}', ["disallowed_value"]),
    ("fund_baselines", '{"stage": "seed"}', ["wrong_type"]),
    ("fund_baselines", '[{"stage": "seed", "weight": 1}, [{"stage": "seed", "weight": 0}]]', ["wrong_type"]),
    ("fund_baselines", '[{"weight": 1}]', ["missing"]),
    ("fund_baselines", '[{"stage": null, "weight": 1}]', ["wrong_type"]),
    ("fund_baselines", '[{"stage": "seed"}]', ["wrong_type"]),
    ("fund_baselines", '[{"stage": "Seed", "weight": 0.9}]', ["weight_sum"]),
    ("fund_baselines", '["seed"]', ["wrong_type"]),
    ("tags", '{"Seed": 1, "seed": 2}', ["collision"]),
]


COLUMNS = {"fund_strategy_models": "stage_allocation", "fund_baselines": "stage_distribution", "tags": "stages"}


def put(migration: Migration, table: str, value: str, number: int = 1) -> str:
    """Insert a row and return its key."""
    key = {"fund_strategy_models": f"{number:032x}", "fund_baselines": f"key {number}"}.get(table, str(number))
    migration.execute(f"INSERT INTO {table} (id, {COLUMNS[table]}) VALUES (%s, %s)", [key, value])
    return key


@pytest.fixture(scope="module")
def untouched(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migration]:
    yield from clone(server, tmp_path_factory.mktemp("untouched"), "bare")


@pytest.mark.parametrize(("table", "value", "reasons"), FAULTY, ids=[f"{table} {value}" for table, value, _ in FAULTY])
def test_what_cannot_be_mapped_has_a_reason(untouched: Migration, table: str, value: str, reasons: list[str]) -> None:
    """Each way in which a value cannot be made canonical is told."""
    key = put(untouched, table, value)
    try:
        assert untouched.command("migrate", "plan").code == 1
    finally:
        untouched.execute(f"DELETE FROM {table}")
    lines = [json.loads(line) for line in untouched.remediation.read_text().splitlines()]
    assert [line["reason"] for line in lines] == reasons
    assert {line["key"].replace("-", "") for line in lines} == {key}


def test_what_cannot_be_mapped_stays_as_it_is(bare: Migration) -> None:
    """Recorded values of every kind are left to the letter, each with its reason, beside one that is migrated."""
    for number, (table, value, _) in enumerate(FAULTY):
        put(bare, table, value, number)
    before = bare.picture()
    put(bare, "tags", '{"Seed": 1}', 99)
    assert bare.run("--on-invalid", "record").code == 1
    assert bare.execute("DELETE FROM tags WHERE id = 99 RETURNING stages") == [({"seed": 1},)]
    assert bare.picture() == before
    recorded = [reason for (reason,) in bare.execute("SELECT reason FROM stage_migration_invalid")]
    assert sorted(recorded) == sorted(reason for _, _, reasons in FAULTY for reason in reasons)


NO_WORK = [
    ("fund_strategy_models", '{"seed": 0.5, "series-a": 0.4}'),
    ("fund_strategy_models", "{}"),
    ("fund_baselines", "[]"),
    ("fund_baselines", '[{"stage": "seed", "weight": 2}]'),
    ("tags", '{"seed": [null]}'),
]


def test_rows_that_are_canonical_are_left_alone(bare: Migration) -> None:
    """A row without a bad name is not looked at further: weights that were off before are not the migration's."""
    for number, (table, value) in enumerate(NO_WORK):
        put(bare, table, value, number)
    bare.migrated()
    assert bare.execute("SELECT count(*) FROM stage_migration_batches") == [(0,)]
    made = bare.verify()
    assert made.code == 0
    assert "weights do not sum to 1 in 1 row, as at the start" in made.out
