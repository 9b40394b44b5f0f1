"""How rows are cut into batches: bounded, funds in turn, small funds joined, and the same for a plan and a run."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.migration import Migration

from gateway.migration.cutting import SMALLEST, pace_after, pieces, wanted_rows
from gateway.migration.spec import Spec, load_spec

SPEC = [{"table": "deals", "key": "id", "fund": "fund", "columns": [{"column": "stage", "shape": "value"}]}]


def filled(migration: Migration, sizes: list[int], **members: Any) -> None:
    """Make a table with so many rows of each fund, scattered, the last fund being none at all."""
    migration.execute("CREATE TABLE deals (id int PRIMARY KEY, fund int, stage text)")
    funds = [None if fund + 1 == len(sizes) else fund for fund, size in enumerate(sizes) for _ in range(size)]
    random.Random(len(funds)).shuffle(funds)
    migration.execute("INSERT INTO deals SELECT n, f, 'Seed' FROM unnest(%s::int[]) WITH ORDINALITY u (f, n)", [funds])
    migration.specify(tables=SPEC, **members)


def planned(migration: Migration, *options: str) -> dict[str, Any]:
    [column] = json.loads(migration.command("migrate", "plan", "--json", *options).out)["columns"]
    return dict(column)


@pytest.mark.parametrize("seed", range(12))
def test_batches_are_bounded_and_funds_in_turn(bare: Migration, seed: int) -> None:
    """Whatever the funds' sizes: every row in one batch, none too large, funds in order, only small ones joined."""
    random_ = random.Random(seed)
    most = random_.choice([1, 2, 7, 20])
    sizes = [
        random_.choice([1, 2, most // 2, most // 2 + 1, most, 3 * most + 1]) for _ in range(random_.randint(1, 30))
    ]
    sizes = [size for size in sizes if size]
    filled(bare, sizes, batchRows=most)
    bare.migrated()
    plan = bare.execute("SELECT fund, joined, row_count FROM stage_migration_batches ORDER BY batch_id")
    assert sum(rows for _, _, rows in plan) == sum(sizes)
    assert all(0 < rows <= most for _, _, rows in plan)
    of_fund = Counter[str | None]()
    for fund, joined, rows in plan:
        if not joined:
            of_fund[fund] += rows
    for number, size in enumerate(sizes):
        fund = None if number + 1 == len(sizes) else str(number)
        assert of_fund[fund] in ({size} if size > most // 2 else {0, size})
    numbers = [len(sizes) if fund is None else int(fund) for fund, joined, _ in plan if not joined]
    assert numbers == sorted(numbers)
    alone = [size for size in sizes if size > most // 2]
    shared = sum(sizes) - sum(alone)
    assert len(plan) <= sum(-(-size // most) for size in alone) + 2 * shared / most + len(alone) + 1


def test_many_funds_of_one_row_are_one_batch(bare: Migration) -> None:
    """Funds of one row each do not make a batch each."""
    filled(bare, [1] * 400, batchRows=5000)
    plan = planned(bare)
    assert (plan["rows"], plan["batches"]) == (400, 1)
    lines = [line for line in bare.run().lines if "message" not in line]
    assert [(line["fundId"], line["joined"], line["updated"]) for line in lines] == [(None, True, 400)]
    assert (lines[0]["startPk"], lines[0]["endPk"]) == (1, 400)
    assert bare.verify().code == 0


@pytest.mark.parametrize("most", [1, 7, 40, 5000])
def test_plan_counts_the_batches_of_the_run(migration: Migration, most: int) -> None:
    """A run does as many batches of each column as its plan says."""
    migration.specify(batchRows=most)
    document = json.loads(migration.command("migrate", "plan", "--json").out)
    migration.migrated()
    done = migration.execute("""
        SELECT t.identity ->> 'table', t.identity ->> 'column', count(*)::int, sum(b.row_count)::int
        FROM stage_migration_batches b JOIN stage_migration_targets t USING (target_id) GROUP BY 1, 2""")
    assert {(c["table"].partition(".")[2], c["column"], c["batches"], c["rows"]) for c in document["columns"]} == set(
        done
    )


def spec(tmp_path: Path, **members: Any) -> Spec:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"tables": SPEC, **members}))
    return load_spec(path)


@pytest.mark.parametrize(("rows", "wanted"), [(1, 50), (75, 50), (76, 50), (5000, 50), (5000, 1234), (5000, 5000)])
def test_pieces_of_a_batch_are_all_of_it(rows: int, wanted: int) -> None:
    """A batch that is cut keeps every row, and no piece is half as large again as is wanted."""
    cut = list(pieces(rows, wanted))
    assert sum(cut) == rows
    assert max(cut) <= 1.5 * wanted
    assert cut[:-1] == [wanted] * (len(cut) - 1)


def test_pace_is_told_by_batches_that_take_their_time(tmp_path: Path) -> None:
    """A batch of a few rows says nothing about the pace, but that it is no lower than what it did."""
    given = spec(tmp_path, targetBatchMs=500)
    assert pace_after(given, None, 5, 4) is None
    assert pace_after(given, None, 5000, 400) == 12.5
    assert pace_after(given, 12.5, 5, 4) == 12.5
    assert pace_after(given, 0.4, 200, 4) == 50
    assert wanted_rows(given, 12.5) == 6250
    assert wanted_rows(given, 0.001) == SMALLEST


def test_small_batch_does_not_cut_the_large_one_after_it(bare: Migration) -> None:
    """Between funds of a few rows a large fund keeps its batches whole."""
    filled(bare, [3000, 1, 3000, 1, 3000], batchRows=5000)
    made = bare.run()
    assert [line["updated"] for line in made.lines if "message" not in line] == [3000, 1, 3000, 1, 3000]
