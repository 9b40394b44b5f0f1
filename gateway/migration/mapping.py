"""From the distinct names in the database to the exact map that SQL joins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow

from gateway.migration.catalog import Target
from gateway.migration.database import Connection
from gateway.migration.shapes import fragments, parameters
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Spellings:
    """The names in a column that the vocabulary knows, raw → canonical, and whether there are others.

    Unknown names are dropped as they come, so that a column full of them costs no memory.
    """

    known: Mapping[str, str]
    complete: bool


def spellings(connection: Connection, target: Target, vocabulary: Vocabulary) -> Spellings:
    """Ask the vocabulary about every name in rows that are not canonical."""
    query = statement("spellings", **fragments(target))
    known, complete = {}, True
    for row in streamed(connection, query, parameters(target, vocabulary, {})):
        canonical = vocabulary.resolve(row["name"])
        if canonical is None:
            complete = False
        else:
            known[row["name"]] = canonical
    return Spellings(known, complete)


def streamed(connection: Connection, query: sql.Composed, values: Mapping[str, Any]) -> Iterator[DictRow]:
    """Yield the rows of a query a few at a time, so that memory does not grow with them. May scan a whole table."""
    with connection.streamed(query, values) as rows:
        yield from rows
