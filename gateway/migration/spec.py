"""The migration file (`config/migration.json`): which columns of which tables hold stages, and how gently to go.

A line about a fault reads: `config/migration.json: $.tables[0].key: missing, expected a value here`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from gateway.errors import ConfigurationError, cause_of
from gateway.faults import Spelt, members_of, type_problems
from gateway.migration.names import LONGEST, TABLE, is_own, split, view_of

ColumnShape = Literal["value", "keys", "each"]
# The driver takes a % in a statement for the mark of a parameter, in a quoted name too.
Name = Annotated[str, Field(min_length=1, max_length=127), Spelt("^[^%]*$", "a name without %")]
_NAME_OF_TABLE = "a name or schema.name without %, in double quotes what holds a dot"
Milliseconds = Annotated[int, Field(gt=0, le=86_400_000)]


class _Member(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class Column(_Member):
    """A column that holds stages.

    `shape`: `value` the text itself, `keys` the member names of a JSON object, `each` a field of every element of a
    JSON array. `weights` (keys) and `weight` (each, a member's name) say that weights stand beside the stages, which
    sum to 1.
    """

    column: Name
    shape: ColumnShape
    field: Name | None = None
    weight: Name | None = None
    weights: bool = False

    @model_validator(mode="after")
    def _fits_its_shape(self) -> Self:
        if (self.shape == "each") != (self.field is not None):
            raise ValueError("a field with the shape each, and with no other")
        if self.weight is not None and self.shape != "each":
            raise ValueError("no weight but with the shape each; the shape keys has weights")
        if self.weights and self.shape != "keys":
            raise ValueError("no weights but with the shape keys; the shape each has weight")
        return self


class Table(_Member):
    """A table with stages: `table` is its name, or `schema.name`; `view` names the view to read through.

    What holds a dot stands in double quotes, as in SQL: `"a.b"`. Letters keep their case.
    """

    table: Annotated[str, Field(min_length=1, max_length=259), Spelt(TABLE, _NAME_OF_TABLE)]
    key: Name
    fund: Name | None = None
    view: Name | None = None
    columns: Annotated[tuple[Column, ...], Field(min_length=1, strict=False)]


class Lag(_Member):
    """How far replicas may fall behind, in bytes of the write-ahead log, before the run waits for them."""

    source: Literal["pg_stat_replication"] = "pg_stat_replication"
    max_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024


class Spec(_Member):
    """The whole file. `schema` is where tables stand that name none, and where the migration keeps its own."""

    schema_: Annotated[Name, Field(alias="schema")] = "public"
    batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 5000
    target_batch_ms: Milliseconds = 500
    lock_timeout_ms: Milliseconds = 2000
    statement_timeout_ms: Milliseconds = 30_000
    index_after_ms: Annotated[int, Field(ge=0)] = 2000
    lag: Lag = Lag()
    tables: Annotated[tuple[Table, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        places = [self.place(table) for table in self.tables]
        views = [(schema, self.view(table)) for table, (schema, _) in zip(self.tables, places, strict=True)]
        _want_once(places, [table.table for table in self.tables])
        _want_once(views, [view for _, view in views])
        for table in self.tables:
            names = [column.column for column in table.columns]
            _want_once(names, names)
        self._want_free_names(places, views)
        return self

    def _want_free_names(self, places: Sequence[tuple[str, str]], views: Sequence[tuple[str, str]]) -> None:
        for schema, name in views:
            if (schema, name) in places:
                raise ValueError(f"another name for the view {name!r}, a table has it")
            if len(name.encode()) > LONGEST:
                raise ValueError(f"at most {LONGEST} bytes in the name of the view {name!r}")
        for schema, name in [*views, *((schema, name) for schema, name in places if schema == self.schema_)]:
            if is_own(name):
                raise ValueError(f"another name than {schema}.{name}, the migration gives it to an object of its own")

    def place(self, table: Table) -> tuple[str, str]:
        """Return schema and name of a table."""
        return split(table.table, self.schema_)

    def column_places(self) -> list[tuple[str, str, str]]:
        """Return schema, table and column of every column."""
        return [(*self.place(table), column.column) for table in self.tables for column in table.columns]

    def view(self, table: Table) -> str:
        """Return the name of the view of a table, which is in the table's schema."""
        return table.view or view_of(self.place(table)[1])


def _want_once(names: Sequence[Any], told: Sequence[str]) -> None:
    twice = next((number for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ValueError(f"{told[twice]!r} once, it stands twice")


def load_spec(path: Path) -> Spec:
    """Read and check a migration file. Raises ConfigurationError with every fault, its place and what was expected."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(str(path), ["no such file; name another with --spec"]) from None
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be read: {cause_of(error)}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [f"cannot be read: byte {error.start} is no UTF-8"]) from error
    try:
        return Spec.model_validate_json(text)
    except ValidationError as error:
        known = members_of(Spec, Table, Column, Lag)
        raise ConfigurationError(str(path), list(type_problems(error, known))) from None
