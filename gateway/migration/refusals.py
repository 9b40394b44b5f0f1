"""What an error of the server means, by its SQLSTATE, and what is told about it (PostgreSQL manual, "Error Codes").

That a connection is lost is told by the connection, and never by the code: a trigger may raise any.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

import psycopg

from gateway.errors import GatewayError, RefusedError, UnreachableError


class WrongDatabaseError(GatewayError):
    """The database is not as the migration file says, or does not let this role work. Nothing was changed."""


class Meaning(Enum):
    """What an error is to somebody who must act on it."""

    LOST = auto()
    BUSY = auto()
    SLOW = auto()
    CONSTRAINT = auto()
    ROOM = auto()
    RIGHTS = auto()
    READ_ONLY = auto()
    OTHER = auto()

    @property
    def of_a_row(self) -> bool:
        """Return whether one row may be the reason, so that the others can be written without it."""
        return self in {Meaning.SLOW, Meaning.CONSTRAINT, Meaning.RIGHTS, Meaning.OTHER}


# A code, or a class of codes by its first two characters.
_MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "40001": Meaning.BUSY,  # serialization_failure
        "40P01": Meaning.BUSY,  # deadlock_detected
        "55006": Meaning.BUSY,  # object_in_use
        "55P03": Meaning.BUSY,  # lock_not_available
        "57014": Meaning.SLOW,  # query_canceled
        "42501": Meaning.RIGHTS,  # insufficient_privilege
        "25006": Meaning.READ_ONLY,  # read_only_sql_transaction
        "23": Meaning.CONSTRAINT,
        "53": Meaning.ROOM,
    }
)
_AGAIN = "give the same command again"
_TOLD: Mapping[Meaning, tuple[type[GatewayError], str]] = MappingProxyType(
    {
        Meaning.LOST: (UnreachableError, "the connection was lost, the same command goes on from here: {line}"),
        Meaning.BUSY: (RefusedError, "the database was too busy, nothing was changed by this step: {line}; {again}"),
        Meaning.SLOW: (
            RefusedError,
            "took too long, or was cancelled, nothing was changed by this step: {line}; {again}",
        ),
        Meaning.CONSTRAINT: (RefusedError, "the database refused: {line}; {cure}, then {again}"),
        Meaning.ROOM: (RefusedError, "the server lacks room: {line}; give it some, then {again}"),
        Meaning.RIGHTS: (WrongDatabaseError, "the database role may not do this: {line}"),
        Meaning.READ_ONLY: (
            WrongDatabaseError,
            "the server is read-only, name the primary in STAGE_GATEWAY_DATABASE_URL: {line}",
        ),
        Meaning.OTHER: (RefusedError, "the database refused: {line}"),
    }
)
_CURES: Mapping[str, str] = MappingProxyType(
    {
        "23503": (
            "add the name to the table that is referred to, let the constraint follow (ON UPDATE CASCADE), or drop it "
            "until the migration is done"
        ),
        "23505": "change or merge one of the rows that become alike",
        "23P01": "change or merge one of the rows that become alike",
    }
)
_CURE = "let the constraint take this value, or drop it until the migration is done"
_CURE_OF_PARTITION = "make a partition for this value and move the row there"
_LONGEST = 400  # a DETAIL may show a whole row


def meaning_of(error: psycopg.Error, *, closed: bool) -> Meaning:
    """Return what an error means; `closed` says that its connection is."""
    gone = error.sqlstate is None and isinstance(error, psycopg.OperationalError)
    if closed or gone or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
        return Meaning.LOST
    code = error.sqlstate or ""
    return _MEANINGS.get(code) or _MEANINGS.get(code[:2], Meaning.OTHER)


def refusal(error: psycopg.Error, *, closed: bool, again: str = _AGAIN) -> GatewayError:
    """Return an error with one line for a person: what the server said, and a cure; `again` is what to do then."""
    kind, text = _TOLD[meaning_of(error, closed=closed)]
    return kind(text.format(line=line(error), cure=_cure(error), again=again))


def line(error: psycopg.Error) -> str:
    """Return all that the server said in one line: message, detail, hint, and the function that raised it."""
    diag = error.diag
    parts = [diag.message_detail, diag.message_hint and f"hint: {diag.message_hint}", _raised_by(error)]
    more = "; ".join(_short(part) for part in parts if part)
    return _short(diag.message_primary or str(error)) + (f" ({more})" if more else "")


def _cure(error: psycopg.Error) -> str:
    if error.sqlstate == "23514" and error.diag.constraint_name is None and error.diag.table_name is not None:
        return _CURE_OF_PARTITION
    return _CURES.get(error.sqlstate or "", _CURE)


def _raised_by(error: psycopg.Error) -> str | None:
    # The innermost first; a constraint says by itself whose it is.
    told = (error.diag.context or "").splitlines() if error.diag.constraint_name is None else []
    return next((f"raised by {part}" for part in told if "function " in part), None)


def _short(text: str) -> str:
    whole = " ".join(text.split()).rstrip(".")
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…"
