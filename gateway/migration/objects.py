"""The migration's objects in the database: whose they are, told by a mark, so that nobody else's is used or dropped.

Tables, functions and views bear the mark as their comment. A trigger is known by its function, since a comment on it
wants the owner of its table. Objects of the database are found by their names, and counted as ours by the mark alone.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.migration.catalog import Target
from gateway.migration.database import Connection, one
from gateway.migration.names import OWN
from gateway.migration.refusals import WrongDatabaseError
from gateway.migration.statements import marked, statement

_MARK = re.compile(r"made by stage-gateway migrate \(home (?P<home>.*), layout (?P<layout>\d+)\), removed by finish")
_CURES = MappingProxyType(
    {
        "own": "rename it, or name another schema for the migration's own tables (schema in the migration file)",
        "view": "rename it, or name another view to read through (view in the migration file)",
        "trigger": "rename it",
    }
)


def is_ours(connection: Connection, comment: str | None) -> bool:
    """Return whether a comment is the mark of the migration that this connection is for, or begins with it."""
    return (comment or "").startswith(marked(connection.home))


def home_of(comment: str | None) -> str | None:
    """Return the schema in which the migration keeps its own tables whose mark a comment is, None when it is none."""
    mark = _MARK.match(comment or "")
    return None if mark is None else mark["home"]


def is_installed(connection: Connection) -> bool:
    """Return whether a run was ever started since the last finish.

    Raises WrongDatabaseError when another version of this program started it.
    """
    found = one(connection, statement("installed"))
    if _MARK.match(found["comment"] or "") and (problem := _problem(connection, found)):
        raise WrongDatabaseError(problem)
    return is_ours(connection, found["comment"])


def want_free(connection: Connection, targets: Sequence[Target]) -> None:
    """Look at everything that has the name of an object of ours, and at the triggers of these tables.

    Raises WrongDatabaseError with a line for each that is somebody else's, or another migration's, before anything is
    written.
    """
    values = {
        "own": OWN,
        "schemas": [target.schema for target in targets],
        "tables": [target.table for target in targets],
        "views": [target.view for target in targets],
    }
    found = connection.execute(statement("objects"), values).fetchall()
    problems = [problem for row in found if (problem := _problem(connection, row))]
    if problems:
        raise WrongDatabaseError("\n".join(dict.fromkeys(problems)))


def want_no_dependents(connection: Connection, targets: Sequence[Target]) -> None:
    """Raise WrongDatabaseError when somebody else's object builds on a function of ours, and would go with it."""
    numbers = [target.target_id for target in targets]
    others = [row["what"] for row in connection.execute(statement("dependents"), {"numbers": numbers}).fetchall()]
    if others:
        raise WrongDatabaseError(
            f"{', '.join(others)}: builds on a function of the migration, and would be dropped with it; drop it first"
        )


def _problem(connection: Connection, found: Mapping[str, Any]) -> str | None:
    if is_ours(connection, found["comment"]):
        return None
    place, mark = f"{found['kind']} {found['place']}", _MARK.match(found["comment"] or "")
    if mark is None:
        cure = _CURES[found["used_as"]]
        return f"{place}: is none of the migration's, and has a name that the migration needs; {cure}"
    if mark["home"] == connection.home:
        return (
            f"{place}: was made by another version of stage-gateway (layout {mark['layout']}); "
            "end that migration with the version that began it: migrate finish"
        )
    return (
        f"{place}: belongs to the migration that keeps its own tables in schema {mark['home']}; "
        "name that schema in the migration file (schema), or end that migration first: migrate finish"
    )
