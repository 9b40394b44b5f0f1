"""The SQL files by their names. Slots in braces take identifiers and other files, values are parameters."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files

from psycopg import sql
from psycopg.abc import AdaptContext

# Rises when objects are made otherwise than before, so that one version does not go on with those of another.
LAYOUT = 2


class _OfHome(sql.Composable):
    """What depends on the schema of the migration's own tables, which the connection knows that a statement runs on."""

    def __init__(self, make: Callable[[str], sql.Composable]) -> None:
        super().__init__(make)
        self._make = make

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        home = getattr(context.connection if context else None, "home", None)
        if home is None:
            raise LookupError("the connection knows no schema of the migration")
        return self._make(home).as_bytes(context)


def marked(home: str) -> str:
    """Return the comment that tells that an object is of the migration that keeps its own tables in this schema."""
    return f"made by stage-gateway migrate (home {home}, layout {LAYOUT}), removed by finish"


HOME = _OfHome(sql.Identifier)
_HOME_NAME = _OfHome(sql.Literal)
_MARK = _OfHome(lambda home: sql.Literal(marked(home)))


@cache
def _text(name: str) -> str:
    return files("gateway.migration").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str, **slots: sql.Composable) -> sql.Composed:
    """Return the statement of a file with its slots filled.

    `{home}` is the migration's schema as an identifier, `{home_name}` as text, `{mark}` the comment on its objects.
    """
    return sql.SQL(_text(name)).format(home=HOME, home_name=_HOME_NAME, mark=_MARK, **slots)
