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
    assert rederive(column, before, [Vocabulary()]) == expected


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
            assert rederive(shape, before, [Vocabulary()]) == parsed(now), json.dumps([before, now])


class Counting(dict[str, Any]):
    """A member of an array that counts how often it is looked at."""

    looks = 0

    def __getitem__(self, name: str) -> Any:
        Counting.looks += 1
        return super().__getitem__(name)


@pytest.mark.parametrize("alike", [True, False])
def test_work_grows_with_the_length_of_an_array(monkeypatch: pytest.MonkeyPatch, alike: bool) -> None:
    """Elements of a long array are looked at a few times each, however many of them are merged."""
    looks = {}
    for length in (500, 2000):
        elements = [
            Counting(stage=["Seed", "seed"][n % 2], weight=Decimal(1), more=0 if alike else n) for n in range(length)
        ]
        monkeypatch.setattr("gateway.migration.verification.rederive.parsed", lambda _, made=elements: made)
        Counting.looks = 0
        made = rederive(EACH, "", [Vocabulary()])
        assert len(made) == (1 if alike else length)
        looks[length] = Counting.looks
    assert looks[2000] == 4 * looks[500]


def test_vocabularies_follow_each_other() -> None:
    """What one vocabulary made is mapped on by the next, and what one does not know is left for the next."""
    first = Vocabulary(["seed", "a"], {"old": "a"})
    second = Vocabulary(["seed", "series-a"], {"a": "series-a"})
    assert rederive(VALUE, "Old", [first, second]) == "series-a"
    assert rederive(VALUE, "Old", [second, first]) == "a"
    assert rederive(VALUE, "Old", [second]) is None
    assert rederive(KEYS, '{"old": 0.4, "A": 0.6}', [first, second]) == {"series-a": Decimal("1.0")}
