"""The SQL files by their names. Slots in braces take identifiers and other files, values are parameters."""

from functools import cache
from importlib.resources import files

from psycopg import sql


@cache
def _text(name: str) -> str:
    return files("gateway.migration").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str, **slots: sql.Composable) -> sql.Composed:
    """Return the statement of a file with its slots filled."""
    return sql.SQL(_text(name)).format(**slots)
