"""The tables of the migration's tests: rows of every shape, key type and spelling, and a look at all of them."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

TABLES = """
CREATE TABLE funds (id int PRIMARY KEY);
INSERT INTO funds SELECT generate_series(1, 5);
CREATE TABLE portfoliocompanies (
  id bigint PRIMARY KEY, fund_id int REFERENCES funds, name text, stage text, current_stage varchar(20)
);
CREATE TABLE rounds (id serial PRIMARY KEY, company_id bigint REFERENCES portfoliocompanies ON DELETE CASCADE);
CREATE TABLE fund_strategy_models (id uuid PRIMARY KEY, fund_id int, stage_allocation jsonb);
CREATE TABLE fund_baselines (id text PRIMARY KEY, fund_id int, stage_distribution jsonb, note text);
CREATE TABLE tags (id int PRIMARY KEY, stages jsonb);
"""

SPEC: dict[str, Any] = {
    "batchRows": 40,
    "tables": [
        {
            "table": "portfoliocompanies",
            "key": "id",
            "fund": "fund_id",
            "columns": [{"column": "stage", "shape": "value"}, {"column": "current_stage", "shape": "value"}],
        },
        {
            "table": "fund_strategy_models",
            "key": "id",
            "fund": "fund_id",
            "columns": [{"column": "stage_allocation", "shape": "keys", "weights": True}],
        },
        {
            "table": "fund_baselines",
            "key": "id",
            "fund": "fund_id",
            "columns": [{"column": "stage_distribution", "shape": "each", "field": "stage", "weight": "weight"}],
        },
        {"table": "tags", "key": "id", "columns": [{"column": "stages", "shape": "keys"}]},
    ],
}

SPELLINGS = {
    "pre-seed": ["pre-seed", "PreSeed", "pre_seed", " Pre  Seed "],
    "seed": ["seed", "Seed", "SEED", "ｓｅｅｄ"],
    "series-a": ["series-a", "Series A", "seriesa", "SERIES_A"],
    "series-b": ["series-b", "Series B", "series\tb"],
    "series-c": ["series-c", "series c", "Series_C"],
    "series-c+": ["series-c+", "Series C+", "seriesc+"],
}
ALL_SPELLINGS = [spelling for group in SPELLINGS.values() for spelling in group]


def _weights(random_: random.Random, count: int) -> list[str]:
    cuts = sorted(random_.sample(range(1, 1000), count - 1))
    return [f"{(b - a) / 1000:.{random_.choice([3, 3, 4])}f}" for a, b in zip([0, *cuts], [*cuts, 1000], strict=True)]


def allocation(random_: random.Random) -> str:
    """Return a JSON object of stages and weights as text, so that trailing zeros stay."""
    names = random_.sample(ALL_SPELLINGS, random_.randint(1, 6))
    pairs = zip(names, _weights(random_, len(names)), strict=True)
    return "{" + ", ".join(f"{json.dumps(name)}: {weight}" for name, weight in pairs) + "}"


def distribution(random_: random.Random) -> str:
    """Return a JSON array of elements with stage and weight as text."""
    elements = []
    for weight in _weights(random_, random_.randint(1, 6)):
        stage, region = json.dumps(random_.choice(ALL_SPELLINGS)), random_.choice("ab")
        elements.append(f'{{"stage": {stage}, "weight": {weight}, "region": "{region}"}}')
    return "[" + ", ".join(elements) + "]"


def tag(random_: random.Random) -> str:
    """Return a JSON object whose names are stages and whose values are no weights."""
    return json.dumps({random_.choice(group): {"n": number} for number, group in enumerate(SPELLINGS.values())})


def rows(random_: random.Random, count: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return rows for every table; a fund and a stage in eight are NULL."""

    def maybe(value: Any) -> Any:
        return None if random_.random() < 0.125 else value

    def fund() -> Any:
        return maybe(random_.randint(1, 5))

    def stage() -> Any:
        return maybe(random_.choice(ALL_SPELLINGS))

    def uuid() -> str:
        return f"{random_.getrandbits(128):032x}"

    half = range(count // 2)
    return {
        "portfoliocompanies": [(10**10 + n * 3, fund(), f"company {n}", stage(), stage()) for n in range(count)],
        "fund_strategy_models": [(uuid(), fund(), maybe(allocation(random_))) for _ in half],
        "fund_baselines": [(f"Ünïcode {n} 'quoted'", fund(), maybe(distribution(random_)), "note") for n in half],
        "tags": [(n, tag(random_)) for n in range(count // 4)],
    }


def fill(connection: psycopg.Connection[Any], random_: random.Random, count: int) -> None:
    """Put rows into every table."""
    with connection.cursor() as cursor:
        for table, lines in rows(random_, count).items():
            marks = ", ".join(["%s"] * len(lines[0]))
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", lines)
        cursor.execute("INSERT INTO rounds (company_id) SELECT id FROM portfoliocompanies")


def picture(connection: psycopg.Connection[Any], tables: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Return every row of every table as text."""
    names = tables or [table["table"] for table in SPEC["tables"]]
    return {name: sorted(connection.execute(f"SELECT t::text FROM {name} t").fetchall()) for name in names}


def write_spec(folder: Path, **members: Any) -> Path:
    """Write a migration file and return its path."""
    path = folder / "migration.json"
    path.write_text(json.dumps({**SPEC, **members}), encoding="utf-8")
    return path
