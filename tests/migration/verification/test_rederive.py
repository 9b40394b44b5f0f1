"""The second implementation: what it makes of texts, and that it agrees with what the database made."""

import json
from decimal import Decimal
from typing import Any

import pytest
from support.migration import Migration

from gateway.migration.verification.rederive import parsed, rederive
from gateway.stages.vocabulary import Vocabulary

VALUE = {"shape": "value", "field": None, "weight": None, "weighted": False}
KEYS = {**VALUE, "shape": "keys", "weighted": True}
TAGS = {**KEYS, "weighted": False}
EACH = {"shape": "each", "field": "stage", "weight": "weight", "weighted": True}

CASES: list[tuple[dict[str, Any], str, Any]] = [
    (VALUE, "Series A", "series-a"),
    (VALUE, "bogus", None),
    (KEYS, '{"Seed": 0.1, "seed": 0.2, "Series A": 0.70}', {"seed": Decimal("0.3"), "series-a": Decimal("0.7")}),
    (KEYS, '{"bogus": 1}', None),
    (TAGS, '{"Seed": 1, "seed": 2}', None),
    (TAGS, '{"Seed": {"a": [1]}}', {"seed": {"a": [1]}}),
    (
        EACH,
        '[{"stage": "Seed", "weight": 0.1}, {"stage": "seed", "weight": 0.2}, {"stage": "SEED", "weight": 1, "x": 1}]',
        [{"stage": "seed", "weight": Decimal("0.3")}, {"stage": "seed", "weight": Decimal(1), "x": 1}],
    ),
    (
        EACH,
        '[{"stage": "seed", "weight": 0.5}, {"stage": "seed", "weight": 0.5}]',
        [{"stage": "seed", "weight": Decimal("0.5")}] * 2,
    ),
    (EACH, '[{"stage": "bogus", "weight": 1}]', None),
    (
        KEYS,
        '{"Seed": 0.111111111111111111111111111111111, "seed": 0.111111111111111111111111111111111}',
        {"seed": Decimal("0.222222222222222222222222222222222")},
    ),
    (
        EACH,
        '[{"stage": "Seed", "weight": 1, "x": 1}, {"stage": "seed", "weight": 1, "x": "1"}]',
        [{"stage": "seed", "weight": 1, "x": 1}, {"stage": "seed", "weight": 1, "x": "1"}],
    ),
    (
        EACH,
        '[{"stage": "Seed", "weight": 1, "x": 1}, {"stage": "seed", "weight": 1, "x": 1.0}]',
        [{"stage": "seed", "weight": 2, "x": 1}],
    ),
]


@pytest.mark.parametrize(("column", "before", "expected"), CASES, ids=[case[1] for case in CASES])
def test_value_is_worked_out(column: dict[str, Any], before: str, expected: Any) -> None:
    """Names are resolved, weights of names that become one are added exactly, elements that differ stay apart."""
    assert rederive(column, before, Vocabulary()) == expected


def test_agrees_with_the_database_on_every_row(migration: Migration) -> None:
    """Both implementations make the same of hundreds of random objects and arrays."""
    migration.fill_more(300)
    migration.migrated()
    columns: list[tuple[str, str, dict[str, Any]]] = [
        ("fund_strategy_models", "stage_allocation", KEYS),
        ("fund_baselines", "stage_distribution", EACH),
        ("tags", "stages", TAGS),
    ]
    for number, (table, column, shape) in enumerate(columns, start=3):
        rows = migration.execute(
            f"SELECT before, {column}::text FROM stage_migration_undo_{number} JOIN {table} ON id = key"
        )
        assert len(rows) > 30
        for before, now in rows:
            assert rederive(shape, before, Vocabulary()) == parsed(now), json.dumps([before, now])
