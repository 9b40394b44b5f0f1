"""The whole life of a migration on tables and columns that have the names of everything in the SQL files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from psycopg import sql
from psycopg.rows import dict_row
from support.length import examples
from support.migration import Migration
from support.statements import names

# Kind of column → its members in the migration file, its type, what stands in it before and after.
SHAPES: Mapping[str, tuple[Mapping[str, Any], str, Sequence[Any], Sequence[Any]]] = {
    "text": ({"shape": "value"}, "text", ["Seed", "seed", "Series A"], ["seed", "seed", "series-a"]),
    "varchar": ({"shape": "value"}, "varchar(20)", ["Seed", "seed", "Series A"], ["seed", "seed", "series-a"]),
    "keys": (
        {"shape": "keys"},
        "jsonb",
        [{"Seed": "Seed"}, {"seed": []}, {"Series A": 1, "SEED": 2}],
        [{"seed": "Seed"}, {"seed": []}, {"series-a": 1, "seed": 2}],
    ),
    "keys with weights": (
        {"shape": "keys", "weights": True},
        "jsonb",
        [{"Seed": 0.5, "seed": 0.25, "series-b": 0.25}, {"seed": 1}, {"SEED": 1}],
        [{"seed": 0.75, "series-b": 0.25}, {"seed": 1}, {"seed": 1}],
    ),
    "each": (
        {"shape": "each", "field": "name"},
        "jsonb",
        [[{"name": "Seed"}, {"name": "seed"}], [], [{"name": "Series A", "total": 3}]],
        [[{"name": "seed"}, {"name": "seed"}], [], [{"name": "series-a", "total": 3}]],
    ),
    "each with weights": (
        {"shape": "each", "field": "name", "weight": "weight"},
        "jsonb",
        [
            [{"name": "Seed", "weight": 0.5}, {"name": "seed", "weight": 0.5}],
            [{"name": "seed", "weight": 1}],
            [{"name": "SEED", "weight": 1}],
        ],
        [[{"name": "seed", "weight": 1.0}], [{"name": "seed", "weight": 1}], [{"name": "seed", "weight": 1}]],
    ),
}
KINDS = tuple(SHAPES)
# What stands in a column that nobody migrates: none of it is canonical.
BYSTANDERS = {"text": "Growth", "jsonb": '[{"name": "Growth", "weight": 7}]', "bigint": "5"}
ALL = names()


class Tables:
    """A table for every sixth name, or fewer: the table's and the key's; the next are the fund's and the target's.

    All other names are those of columns that nobody migrates.
    """

    def __init__(self, migration: Migration, kind: str) -> None:
        self.migration = migration
        self.member, self.type, self.before, self.after = SHAPES[kind]
        self.numbers = range(KINDS.index(kind), len(ALL), len(KINDS) * examples(4, 1))
        migration.execute("CREATE SCHEMA app; CREATE SCHEMA kept")
        migration.specify(tables=[self._described(number) for number in self.numbers])
        with migration.connect() as connection, connection.transaction():
            for number in self.numbers:
                self._make(connection, number)

    def _roles(self, number: int) -> tuple[str, str, str]:
        key, fund, target = (ALL[(number + step) % len(ALL)] for step in range(3))
        return key, fund, target

    def _described(self, number: int) -> dict[str, Any]:
        key, fund, target = self._roles(number)
        columns = [{"column": target, **self.member}]
        return {"table": f"app.{ALL[number]}", "key": key, "fund": fund, "view": f"{number}", "columns": columns}

    def _make(self, connection: Any, number: int) -> None:
        key, fund, target = self._roles(number)
        roles = {key: "bigint PRIMARY KEY", fund: "int", target: self.type}
        kinds = list(BYSTANDERS)
        others = {name: kinds[(number + place) % 3] for place, name in enumerate(ALL) if name not in roles}
        table = sql.Identifier("app", ALL[number])
        columns = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in {**roles, **others}.items()]
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
        insert = sql.SQL("INSERT INTO {} VALUES ({})").format(table, sql.SQL(", ").join([sql.Placeholder()] * len(ALL)))
        for row, value in enumerate(self.before):
            beside = [BYSTANDERS[kind] for kind in others.values()]
            connection.execute(insert, [row, row % 2, value if self.type != "jsonb" else json.dumps(value), *beside])
        copy = sql.Identifier("kept", ALL[number])
        connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, table))

    def differing(self, values: Sequence[Any], place: str = "table") -> list[str]:
        """Return the tables (or views) that do not hold these values, and all else as it was."""
        wrong = []
        with self.migration.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            for number in self.numbers:
                key, _, target = self._roles(number)
                query = sql.SQL("SELECT * FROM {} AS t ORDER BY t.{}")
                seen = sql.Identifier("app", ALL[number] if place == "table" else str(number))
                copy = sql.Identifier("kept", ALL[number])
                now, then = (
                    cursor.execute(query.format(table, sql.Identifier(key))).fetchall() for table in (seen, copy)
                )
                if now != [{**row, target: value} for row, value in zip(then, values, strict=True)]:
                    wrong.append(f"{ALL[number]} ({target}): {[row[target] for row in now]}")
        return wrong

    def did(self, *words: str) -> None:
        made = self.migration.command(*words)
        assert made.code == 0, made.err + made.out


@pytest.mark.parametrize("kind", KINDS)
def test_any_name_of_ours_may_be_a_name_of_theirs(bare: Migration, kind: str) -> None:
    """Tables and their keys, funds, targets and other columns may be called like anything in the SQL files."""
    tables = Tables(bare, kind)
    tables.did("migrate", "plan")
    tables.did("migrate", "run", "--no-snapshot")
    assert tables.differing(tables.after) == []
    tables.did("verify")
    tables.did("reads", "legacy")
    assert tables.differing(tables.before, "view") == []
    tables.did("reads", "canonical")
    assert tables.differing(tables.after, "view") == []
    tables.did("migrate", "undo")
    assert tables.differing(tables.before) == []
    tables.did("migrate", "run", "--no-snapshot")
    tables.did("migrate", "finish", "--yes")
    assert tables.differing(tables.after) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if SHAPES[kind][1] == "jsonb"])
@pytest.mark.parametrize("type_", ["jsonb", "text", "integer"])
def test_columns_that_are_added_later_hide_nothing(bare: Migration, kind: str, type_: str) -> None:
    """Verify looks at what was migrated, also when columns with names of ours were added beside it."""
    member, _, before, _ = SHAPES[kind]
    tables = [{"table": "deals", "key": "id", "columns": [{"column": "stages", **member}]}]
    bare.specify(tables=tables)
    bare.execute("CREATE TABLE deals (id int PRIMARY KEY, stages jsonb)")
    bare.execute("INSERT INTO deals VALUES (1, %s)", [json.dumps(before[0])])
    bare.migrated()
    with bare.connect() as connection:
        for name in ALL:
            connection.execute(sql.SQL("ALTER TABLE deals ADD {} {}").format(sql.Identifier(name), sql.SQL(type_)))
    assert bare.verify().code == 0
    growth = json.dumps(before[0]).replace("eed", "rowth")
    bare.execute("UPDATE deals SET stages = %s", [growth])
    made = bare.verify()
    assert made.code == 1
    assert "rowth" in made.out
    assert bare.command("migrate", "finish", "--yes").code == 1
