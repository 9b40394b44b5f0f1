"""The verifier's own SQL files by their names."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from psycopg import sql


@cache
def _text(name: str) -> str:
    return files("gateway.migration.verification").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def query(name: str, **given: sql.Composable) -> sql.Composed:
    """Return the statement of a file with its slots filled."""
    return sql.SQL(_text(name)).format(**given)


def slots(column: Mapping[str, Any], number: int) -> dict[str, sql.Composable]:
    """Return the identifiers of a column; its table is `t` in every statement."""
    return {
        "table": sql.Identifier(column["schema"], column["table"]),
        "column": sql.Identifier(column["column"]),
        "key": sql.Identifier(column["key"]),
        "fund": sql.Identifier("t", column["fund"]) if column["fund"] else sql.SQL("NULL"),
        "undo": sql.Identifier(f"stage_migration_undo_{number}"),
    }
