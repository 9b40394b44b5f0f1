"""What the database has: each column of the migration file, its types and rights checked, or one line why not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from psycopg import sql

from gateway.migration.database import Connection, one
from gateway.migration.refusals import WrongDatabaseError
from gateway.migration.spec import Column, ColumnShape, Spec, Table
from gateway.migration.statements import statement

# Types as pg_type names them → as a cast names them. Identifiers cannot come from here, so no value becomes SQL.
KEY_TYPES: Mapping[str, str] = MappingProxyType({
    "int2": "smallint", "int4": "integer", "int8": "bigint", "uuid": "uuid", "text": "text", "varchar": "text",
})  # fmt: skip
COLUMN_TYPES: Mapping[ColumnShape, tuple[str, ...]] = MappingProxyType(
    {
        "value": ("text", "varchar"),
        "keys": ("jsonb",),
        "each": ("jsonb",),
    }
)
_IDENTITY = (
    "schema", "table", "column", "column_type", "column_length", "key", "key_type", "fund", "fund_is_number",
    "shape", "field", "weight", "weighted", "view",
)  # fmt: skip
_WHOLE_NUMBERS = ("int2", "int4", "int8")
_UNORDERED = ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle")
_KINDS = MappingProxyType(
    {
        "v": "a view",
        "m": "a materialized view",
        "p": "a partitioned table, name its partitions",
        "f": "a foreign table",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """One column to migrate, as the database has it.

    `key_type` is one of `KEY_TYPES`' values, `column_type` one of `COLUMN_TYPES`', `column_length` its bound in
    characters; `weighted` says that weights must sum to 1; `target_id` numbers it among the migration's own tables,
    0 as long as it is not registered there.
    """

    schema: str
    table: str
    column: str
    key: str
    key_type: str
    fund: str | None
    fund_is_number: bool
    column_type: str
    column_length: int | None
    shape: ColumnShape
    field: str | None
    weight: str | None
    weighted: bool
    view: str
    columns: tuple[str, ...]
    estimate: int
    update_triggers: tuple[str, ...]
    target_id: int = 0

    @property
    def table_name(self) -> str:
        """Return the table's name for people, with its schema unless that is `public`."""
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"

    @property
    def name(self) -> str:
        """Return `table.column`, for people."""
        return f"{self.table_name}.{self.column}"

    @property
    def place(self) -> tuple[str, str, str]:
        """Return schema, table and column, which are those of no other target."""
        return self.schema, self.table, self.column

    @property
    def key_is_number(self) -> bool:
        """Return whether keys are whole numbers."""
        return self.key_type in {"smallint", "integer", "bigint"}

    @property
    def identity(self) -> dict[str, Any]:
        """Return what must stay the same from one run to the next."""
        return {name: getattr(self, name) for name in _IDENTITY}

    @property
    def cast(self) -> sql.Composable:
        """Return the column's type as a cast names it, length and all, without which a view could not be replaced."""
        bare = sql.SQL(self.column_type)
        return bare if self.column_length is None else sql.SQL("{}({})").format(bare, self.column_length)

    def slots(self) -> dict[str, sql.Composable]:
        """Return the identifiers that statements about this column take."""
        fund = sql.SQL("t.") + sql.Identifier(self.fund) if self.fund else sql.SQL("NULL::text")
        return {
            "table": sql.Identifier(self.schema, self.table),
            "key": sql.Identifier(self.key),
            "key_type": sql.SQL(self.key_type),
            "fund": fund,
            "column": sql.Identifier(self.column),
            "column_type": self.cast,
            "undo": undo_name(self.target_id),
        }


def undo_name(number: int) -> sql.Identifier:
    """Return the name of the table of undo rows of the target with this number."""
    return sql.Identifier(f"stage_migration_undo_{number}")


def find_targets(connection: Connection, spec: Spec, longest_name: int) -> list[Target]:
    """Return every column of the file as the database has it.

    `longest_name` is the length of the longest canonical name, which must fit. Raises WrongDatabaseError with one
    line for each thing that is missing, of an unsupported type, or not allowed.
    """
    targets: list[Target] = []
    problems = [*_home_problems(connection)]
    for table in spec.tables:
        place = spec.place(table)
        found = _found(connection, *place)
        if found is None:
            dotted = _found(connection, spec.schema_, table.table) is not None
            written = json.dumps(f'"{table.table}"')
            hint = f", but one with a dot in it, which is written {written}" if dotted else ""
            problems.append(f"table {'.'.join(place)}: there is none of this name{hint}")
            continue
        columns = {c["name"]: c for c in connection.execute(statement("columns"), {"oid": found["oid"]}).fetchall()}
        told = [*_table_problems(table, place, found, columns)]
        for column in table.columns:
            told.extend(_column_problems(table, column, found, columns, longest_name))
        problems.extend(told)
        if not told:
            targets.extend(_target(spec, table, column, found, columns) for column in table.columns)
    if problems:
        raise WrongDatabaseError("\n".join(dict.fromkeys(problems)))
    return targets


def _found(connection: Connection, schema: str, table: str) -> Mapping[str, Any] | None:
    return connection.execute(statement("table"), {"schema": schema, "table": table}).fetchone()


def _home_problems(connection: Connection) -> Iterator[str]:
    home = one(connection, statement("home"))
    if not home["there"]:
        yield f"schema {connection.home}: there is none of this name; CREATE SCHEMA {home['quoted']}"
    elif not home["may_create"]:
        yield _may_not_create(connection.home, home["quoted"], home["role"])


def _may_not_create(schema: str, quoted: str, role: str) -> str:
    return f"schema {schema}: this role may not create tables there; GRANT USAGE, CREATE ON SCHEMA {quoted} TO {role}"


def _table_problems(table: Table, place: tuple[str, str], found: Any, columns: Mapping[str, Any]) -> Iterator[str]:
    name = ".".join(place)
    if found["kind"] != "r":
        yield f"table {name}: is {_KINDS.get(found['kind'], 'no table')}, expected an ordinary table"
        return
    if found["has_children"]:
        yield f"table {name}: other tables inherit from it, expected a table of its own rows alone"
    for rule in found["update_rules"]:
        yield (
            f"table {name}: rule {rule} rewrites what the migration writes; until it is done: "
            f"ALTER TABLE {found['quoted']} DISABLE RULE {rule}"
        )
    yield from _right_problems(place, found)
    yield from _key_problems(table, name, columns)


def _right_problems(place: tuple[str, str], found: Any) -> Iterator[str]:
    name, quoted, role = ".".join(place), found["quoted"], found["role"]
    if not found["may_read"]:
        yield f"table {name}: this role may not read it; GRANT SELECT, UPDATE, TRIGGER ON {quoted} TO {role}"
    if found["hides_rows"]:
        yield f"table {name}: row-level security hides rows from this role; use the owner or a role with BYPASSRLS"
    if not found["may_trigger"]:
        yield f"table {name}: this role may not create triggers; GRANT TRIGGER ON {quoted} TO {role}"
    if not found["may_create"]:
        yield _may_not_create(place[0], found["quoted_schema"], role)


def _key_problems(table: Table, name: str, columns: Mapping[str, Any]) -> Iterator[str]:
    key = columns.get(table.key)
    if key is None:
        yield f"table {name}: has no key column {table.key!r}"
    elif key["type"] not in KEY_TYPES:
        yield f"table {name}: key {table.key!r} is {key['type']}, expected integer, bigint, uuid or text"
    elif not key["is_key"]:
        yield f"table {name}: {table.key!r} is no primary key, nor alone unique and NOT NULL; add one, or name another"
    if table.fund is not None and table.fund not in columns:
        yield f"table {name}: has no fund column {table.fund!r}"
    elif table.fund is not None and columns[table.fund]["type"] in _UNORDERED:
        yield f"table {name}: fund {table.fund!r} is {columns[table.fund]['type']}, expected a type with an order"


def _column_problems(
    table: Table, column: Column, owner: Any, columns: Mapping[str, Any], longest: int
) -> Iterator[str]:
    place = f"table {table.table}: column {column.column!r}"
    found = columns.get(column.column)
    if found is None:
        yield f"table {table.table}: has no column {column.column!r}"
        return
    expected = COLUMN_TYPES[column.shape]
    if found["type"] not in expected:
        yield f"{place} is {found['type']}, expected {' or '.join(expected)} for the shape {column.shape}"
    elif found["length"] is not None and found["length"] < longest:
        yield f"{place} holds {found['length']} characters, the longest canonical name needs {longest}"
    if found["generated"]:
        yield f"{place} is generated and cannot be written"
    if not found["may_write"]:
        yield f"{place}: this role may not write it; GRANT UPDATE ON {owner['quoted']} TO {owner['role']}"
    if column.column in {table.key, table.fund}:
        yield f"{place} is the key or the fund, and cannot be migrated"


def _target(spec: Spec, table: Table, column: Column, found: Any, columns: Mapping[str, Any]) -> Target:
    schema, name = spec.place(table)
    return Target(
        schema=schema,
        table=name,
        column=column.column,
        key=table.key,
        key_type=KEY_TYPES[columns[table.key]["type"]],
        fund=table.fund,
        fund_is_number=table.fund is not None and columns[table.fund]["type"] in _WHOLE_NUMBERS,
        column_type=columns[column.column]["type"],
        column_length=columns[column.column]["length"],
        shape=column.shape,
        field=column.field,
        weight=column.weight,
        weighted=column.weights or column.weight is not None,
        view=spec.view(table),
        columns=tuple(columns),
        estimate=found["estimate"],
        update_triggers=tuple(found["update_triggers"]),
    )
