"""What a table will not take once its stages are canonical: constraints, unique indexes, partitions, publications.

Asked of the catalog and of the rows before anything is written. Expressions of the catalog name columns alone, so they
stand in queries that have one table and nothing else in sight.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from gateway.migration.catalog import Target
from gateway.migration.database import Connection
from gateway.migration.refusals import Meaning, line, meaning_of
from gateway.migration.shapes import fragments, parameters
from gateway.migration.statements import statement
from gateway.migration.wording import counted
from gateway.stages.vocabulary import Vocabulary

_UNTIL = "drop it until the migration is done"
_PUBLISHED = frozenset({"55000", "42P10"})  # no replica identity; a filter of the publication outside of it


@dataclass(frozen=True, slots=True)
class Objection:
    """What will be refused: by which constraint, `rows` of them, the first with key and value, and what can be done.

    `rows` is 0 when the constraint refuses every row, None when it could not be tried; then `told` says why.
    """

    place: str
    constraint: str
    told: str
    rows: int | None
    first: Sequence[tuple[str, str | None]]
    cure: str

    @property
    def refuses(self) -> bool:
        """Return whether something will be refused, as far as it could be tried."""
        return self.rows is not None

    def __str__(self) -> str:
        """Return one line."""
        if self.rows is None:
            return f"{self.place}: {self.constraint} could not be tried beforehand: {self.told}"
        if not self.rows:
            return f"{self.place}: {self.told}; {self.cure}"
        keys = ", ".join(f"key {key} ({value!r})" for key, value in self.first)
        more = " and more" if self.rows > len(self.first) else ""
        return f"{self.place}: {self.told} will refuse {counted(self.rows, 'row')}: {keys}{more}; {self.cure}"


class _Questions:
    """Finds what the table of one column will not take.

    `known` is raw name → canonical name; `earlier` are columns of the same table that are migrated before this one.
    """

    def __init__(
        self,
        connection: Connection,
        target: Target,
        vocabulary: Vocabulary,
        known: Mapping[str, str],
        earlier: Sequence[Target],
    ) -> None:
        self._connection = connection
        self._target = target
        self._vocabulary = vocabulary
        self._earlier = {other.column for other in earlier if other.shape == "value"}
        self._values = parameters(target, vocabulary, known)
        self._place = f"{target.schema}.{target.table}.{target.column}"
        self._table = sql.Identifier(target.schema, target.table)
        self._columns = self._asked("row_columns")
        self._slots = self._make_slots()

    def objections(self) -> Iterator[Objection]:
        """Yield all of them. Reads only."""
        yield from self._write_at_all()
        yield from self._conditions()
        yield from self._references()
        yield from self._uniques()

    def _asked(self, name: str) -> list[DictRow]:
        query = statement(name, relation=sql.Literal(self._table.as_string(self._connection)))
        return self._connection.execute(query, {"column": self._target.column}).fetchall()

    def _write_at_all(self) -> Iterator[Objection]:
        try:
            self._connection.execute(statement("would_update", table=self._table, column=self._slots["column"]))
        except psycopg.Error as error:
            if error.sqlstate in _PUBLISHED:
                cure = f"first ALTER TABLE {self._table.as_string(self._connection)} REPLICA IDENTITY FULL"
                yield Objection(self._place, "publication", line(error), 0, (), cure)
            elif meaning_of(error, closed=self._connection.closed) is not Meaning.READ_ONLY:
                raise

    def _conditions(self) -> Iterator[Objection]:
        yield from self._domain()
        for row in self._asked("row_conditions"):
            if row["kind"] == "partition":
                told = f"the bound of partition {row['name']} ({row['definition']})"
                cure = "UPDATE these rows through the partitioned table, which moves them"
            else:
                told, cure = f"constraint {row['name']}, {row['definition']},", self._drop(row["name"])
            yield from self._tried(
                row["name"], told, cure, "breaks_condition", condition=sql.SQL(_bare(row["condition"]))
            )

    def _domain(self) -> Iterator[Objection]:
        domain = next((c["domain"] for c in self._columns if c["name"] == self._target.column), None)
        if domain is None or self._target.shape != "value":
            return
        refused: dict[str, psycopg.Error] = {}
        for name in self._vocabulary.canonical:
            query = sql.SQL("SELECT {}::text::{}").format(sql.Literal(name), sql.SQL(domain))
            error = self._connection.as_a_trial(partial(self._connection.execute, query))
            if error is not None:
                refused[name] = error
        if refused:
            name = next(iter(refused.values())).diag.constraint_name or domain
            taken = sql.SQL("{} <> ALL ({}::text[])").format(self._slots["column"], sql.Literal(list(refused)))
            told, cure = f"constraint {name} of the domain {domain}", "let the domain take the canonical names"
            yield from self._tried(name, told, cure, "breaks_condition", condition=taken)

    def _references(self) -> Iterator[Objection]:
        for key in self._asked("row_references"):
            told = f"constraint {key['name']}, {key['definition']},"
            if key["outward"]:
                yield from self._outward(key, told)
                continue
            match = _all(
                sql.SQL("{} {} {}").format(self._before(parent), sql.SQL(_bare(operator)), _named("c", child))
                for child, parent, operator in key["pairs"]
            )
            child = _named(key["child_schema"], key["child"])
            cure = f"let it follow (ON UPDATE CASCADE), or {_UNTIL}"
            told = f"{key['child_schema']}.{key['child']}: {told}"
            yield from self._tried(key["name"], told, cure, "breaks_referenced", child=child, match=match)

    def _outward(self, key: Mapping[str, Any], told: str) -> Iterator[Objection]:
        pairs = key["pairs"][:-1] if key["temporal"] else key["pairs"]
        slots = {
            "parent": _named(key["parent_schema"], key["parent"]),
            "given": _all(sql.SQL("{} IS NOT NULL").format(_named("r", child)) for child, *_ in key["pairs"]),
            "match": _all(
                sql.SQL("{} {} {}").format(_named("p", parent), sql.SQL(_bare(operator)), _named("r", child))
                for child, parent, operator in pairs
            ),
        }
        file = "breaks_reference"
        if key["temporal"]:
            period, parent_period, _ = key["pairs"][-1]
            file = "breaks_period"
            slots |= {"period": _named(period), "covering": _named(parent_period)}
        cure = f"add the names to {key['parent_schema']}.{key['parent']} first, or {_UNTIL}"
        yield from self._tried(key["name"], told, cure, file, **slots)

    def _uniques(self) -> Iterator[Objection]:
        for index in self._asked("row_uniques"):
            names = [sql.Identifier(str(number)) for number in range(1, len(index["entries"]) + 1)]
            mine, others = ([sql.SQL(f"{alias}.") + name for name in names] for alias in "eo")
            slots = {
                "entries": sql.SQL(", ").join(
                    sql.SQL("{} AS {}").format(sql.SQL(_bare(entry)), name)
                    for entry, name in zip(index["entries"], names, strict=True)
                ),
                "predicate": sql.SQL(_bare(index["predicate"] or "true")),
            }
            file = "breaks_unique"
            if index["operators"]:
                file = "breaks_exclusion"
                slots["match"] = _all(
                    sql.SQL("{} {} {}").format(one, sql.SQL(_bare(operator)), other)
                    for one, operator, other in zip(mine, index["operators"], others, strict=True)
                )
            else:
                present = [sql.SQL("true") if index["nulls_alike"] else one + sql.SQL(" IS NOT NULL") for one in mine]
                slots |= {"given": _all(present), "grouped": sql.SQL(", ").join(mine)}
            what = "constraint" if index["is_constraint"] else "index"
            told = f"{what} {index['name']}, {index['definition']},"
            cure = f"change or merge these rows first, or {_UNTIL}"
            yield from self._tried(index["name"], told, cure, file, **slots)

    def _tried(self, constraint: str, told: str, cure: str, file: str, **slots: sql.Composable) -> Iterator[Objection]:
        query = statement(file, rows=self._rows(), **self._slots, **slots)
        try:
            rows = self._connection.unhurried(query, self._values).fetchall()
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            yield Objection(self._place, f"constraint {constraint}", line(error), None, (), "")
            return
        if rows:
            first = [(row["key"], row["value"]) for row in rows]
            yield Objection(self._place, f"constraint {constraint}", told, rows[0]["rows"], first, cure)

    def _drop(self, constraint: str) -> str:
        table, name = (part.as_string(self._connection) for part in (self._table, sql.Identifier(constraint)))
        return f"ALTER TABLE {table} DROP CONSTRAINT {name}, and add one that takes the canonical names afterwards"

    def _before(self, column: str) -> sql.Composable:
        return sql.SQL("r.") + (self._slots["was"] if column == self._target.column else _named(column))

    def _make_slots(self) -> dict[str, sql.Composable]:
        names = {column["name"] for column in self._columns}
        free = {name: _named(_unlike(name, names)) for name in ("moved", "was")}
        return {"key": _named(self._target.key), "column": _named(self._target.column), **free}

    def _rows(self) -> sql.Composable:
        """Return the query of all rows as they will stand, with columns that are made from others made anew."""
        slots = fragments(self._target)
        moved = sql.SQL("CASE WHEN {} THEN coalesce(derived.after, {}) ELSE {} END AS {}")
        mapped = sql.SQL("coalesce(%(map)s::jsonb ->> {}::text, {}) AS {}")
        plain: list[sql.Composable] = []
        for name in (column["name"] for column in self._columns if column["made_by"] is None):
            now, alone = _named("t", name), _named(name)
            if name == self._target.column:
                plain.append(moved.format(slots["suspect"], now, now, alone))
            elif name in self._earlier:
                plain.append(mapped.format(now, now, alone))
            else:
                plain.append(now)
        made = [
            sql.SQL(", {} AS {}").format(sql.SQL(_bare(column["made_by"])), _named(column["name"]))
            for column in self._columns
            if column["made_by"] is not None
        ]
        free = {name: self._slots[name] for name in ("moved", "was")}
        base = statement("will_stand", **slots, **free, row_columns=sql.SQL(", ").join(plain))
        return sql.SQL("SELECT r.*{} FROM ({}) AS r").format(sql.SQL("").join(made), base)


class Objector:
    """Asks about columns in the order in which they are migrated: those before one are canonical by then."""

    def __init__(self, connection: Connection, vocabulary: Vocabulary) -> None:
        self._connection = connection
        self._vocabulary = vocabulary
        self._known: dict[str, str] = {}
        self._earlier: list[Target] = []

    def about(self, target: Target, known: Mapping[str, str]) -> list[Objection]:
        """Return what the table of a column will not take; `known` is raw name → canonical name. Reads only."""
        self._known |= known
        same = [other for other in self._earlier if (other.schema, other.table) == (target.schema, target.table)]
        self._earlier.append(target)
        return list(_Questions(self._connection, target, self._vocabulary, self._known, same).objections())


def _all(conditions: Iterator[sql.Composed] | Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)


def _bare(expression: str) -> Any:
    """Return an expression of the catalog for a statement with parameters, in which a % is the mark of one."""
    return expression.replace("%", "%%")


def _named(*names: str) -> sql.Identifier:
    """Return a name for a statement with parameters."""
    return sql.Identifier(*map(_bare, names))


def _unlike(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    return name
