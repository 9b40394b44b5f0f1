"""The connection, and the one seam at which errors of the driver become errors a person can act on."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from gateway.errors import ConfigurationError, GatewayError, RefusedError, UnreachableError
from gateway.migration.spec import Spec
from gateway.migration.statements import statement


class Connection(psycopg.Connection[DictRow]):
    """A connection that knows the schema of the migration's own tables."""

    home: str


VARIABLE = "STAGE_GATEWAY_DATABASE_URL"
OLDEST_SERVER = 150000  # the first with views that check the rights of whoever reads (security_invoker)
# A server tells that it lost its client only when it looks; this bounds how long a killed run keeps its lock.
_CLIENT_CHECK = "client_connection_check_interval"


class WrongDatabaseError(GatewayError):
    """The database is not as the migration file says, or does not let this role work. Nothing was changed."""


@contextmanager
def connected(url: str | None, spec: Spec, purpose: str, *, writes: bool = True) -> Iterator[Connection]:
    """Yield a connection in autocommit with the settings of a migration, and close it.

    Raises ConfigurationError without an address, UnreachableError when nobody answers there or the connection is
    lost, WrongDatabaseError and RefusedError for what the server refuses.
    """
    if not url:
        raise ConfigurationError("environment", [f"{VARIABLE}: missing, expected the address of the database"])
    with translated(), _open(url, purpose) as connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise WrongDatabaseError(f"{place(url)}: PostgreSQL 15 or later is needed")
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            raise WrongDatabaseError(
                f"{place(url)}: its encoding is SQL_ASCII, in which letters have no meaning; expected UTF8 or another"
            )
        _set_up(connection, spec)
        if writes:
            _want_writable(connection, place(url))
        yield connection


def place(url: str) -> str:
    """Return where an address leads, without its password, also when that was mistaken for something else."""
    parts = conninfo_to_dict(url)
    name, host = str(parts.get("dbname", "")), str(parts.get("host", "the local socket"))
    return "database" if "@" in name + host else f"database {name} at {host}"


def _open(url: str, purpose: str) -> Connection:
    try:
        name = f"stage-gateway {purpose}"
        given: dict[str, Any] = {"application_name": name, "connect_timeout": 10, **conninfo_to_dict(url)}
        given["client_encoding"] = "UTF8"  # names of any script; what the server cannot hold, it says
        address = make_conninfo(**given)
        return Connection.connect(address, autocommit=True, row_factory=dict_row)
    except psycopg.ProgrammingError as error:
        # The driver's own words may hold the password.
        cure = "is no address of a database, expected postgresql://user:password@host:port/name; in a password write "
        raise ConfigurationError("environment", [f"{VARIABLE}: {cure}@ as %40, / as %2F and % as %25"]) from error
    except psycopg.OperationalError as error:
        where = place(url)
        why = "check user, password and host" if where == "database" else _line(error)
        raise UnreachableError(f"{where}: cannot be reached ({VARIABLE}): {why}") from error


def _set_up(connection: Connection, spec: Spec) -> None:
    connection.home = spec.schema_
    connection.execute(
        statement("session", schema=sql.Literal(spec.schema_)),
        {"lock": f"{spec.lock_timeout_ms}ms", "statement": f"{spec.statement_timeout_ms}ms"},
    )
    # Where the server's platform cannot, a killed run keeps its lock until its statement ends.
    with suppress(errors.InvalidParameterValue):
        connection.execute("SELECT set_config(%s, '500ms', false)", [_CLIENT_CHECK])


def want_own_schema(connection: Connection, spec: Spec) -> None:
    """Refuse a schema in which others may create objects: their functions could run with this role's rights.

    Raises WrongDatabaseError. PostgreSQL manual, "Writing SECURITY DEFINER Functions Safely".
    """
    others = one(connection, statement("creators"), {"schema": spec.schema_})["others"]
    if others:
        cure = f"REVOKE CREATE ON SCHEMA {spec.schema_} FROM {others}"
        raise WrongDatabaseError(
            f"schema {spec.schema_}: {others} may create objects there, which could run with the rights of this role; "
            f"first {cure}"
        )


def _want_writable(connection: Connection, where: str) -> None:
    row = one(connection, "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS mode")
    if row["standby"] or row["mode"] == "on":
        what = "a standby" if row["standby"] else "read-only"
        raise WrongDatabaseError(f"{where}: the server is {what}, name the primary in {VARIABLE}")


@contextmanager
def patiently(connection: Connection, lock: str) -> Iterator[None]:
    """Run statements without a time limit, waiting for locks as long as `lock` says (such as `60s`)."""
    before = one(connection, statement("timeouts"))
    values = {"lock": lock, "statement": "0"}
    connection.execute(statement("set_timeouts"), values)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(statement("set_timeouts"), before)


def one(connection: Connection, query: Any, parameters: Any = None) -> DictRow:
    """Return the one row that a query gives."""
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise LookupError("the query gave no row")
    return row


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into errors with one clear line."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise WrongDatabaseError(f"the database role may not do this: {_line(error)}") from error
    except errors.ReadOnlySqlTransaction as error:
        raise WrongDatabaseError(f"the server is read-only, name the primary in {VARIABLE}: {_line(error)}") from error
    except (errors.LockNotAvailable, errors.QueryCanceled) as error:
        raise RefusedError(f"the database was too busy, nothing was changed by this step: {_line(error)}") from error
    except psycopg.OperationalError as error:
        raise UnreachableError(
            f"the connection was lost, the same command goes on from here: {_line(error)}"
        ) from error
    except psycopg.Error as error:
        raise RefusedError(f"the database refused: {_line(error)}") from error


def _line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())
