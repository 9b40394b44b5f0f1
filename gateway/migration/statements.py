"""The SQL files by their names. Slots in braces take identifiers and other files, values are parameters."""

from functools import cache
from importlib.resources import files

from psycopg import sql
from psycopg.abc import AdaptContext


class _Home(sql.Composable):
    """The schema of the migration's own tables, which the connection knows that a statement runs on."""

    def __init__(self) -> None:
        super().__init__("home")

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        home = getattr(context.connection if context else None, "home", None)
        if home is None:
            raise LookupError("the connection knows no schema of the migration")
        return sql.Identifier(home).as_bytes(context)


HOME = _Home()


@cache
def _text(name: str) -> str:
    return files("gateway.migration").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str, **slots: sql.Composable) -> sql.Composed:
    """Return the statement of a file with its slots filled; `{home}` is the migration's schema."""
    return sql.SQL(_text(name)).format(home=HOME, **slots)
