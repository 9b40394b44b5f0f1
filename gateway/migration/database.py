"""The connection, and the one seam at which errors of the driver become errors a person can act on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from gateway.errors import ConfigurationError, UnreachableError
from gateway.migration.refusals import WrongDatabaseError, refusal
from gateway.migration.retrying import persistently
from gateway.migration.spec import Spec
from gateway.migration.statements import statement

_Result = TypeVar("_Result")


class Connection(psycopg.Connection[DictRow]):
    """A connection that knows the schema of the migration's own tables, and waits for locks.

    What stands alone, one statement or one piece of work that is a transaction, is tried again when a lock, a deadlock
    or an object in use stood in its way. Raises BusyError when that does not end.
    """

    home: str
    attempts: int | None = None

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[DictRow]:
        """Run a statement; within a transaction once, else again until no lock stands in its way."""
        once = partial(super().execute, query, params, prepare=prepare, binary=binary)
        return once() if self._within_transaction else persistently(self, once, self.attempts)

    def execute_once(self, query: Any) -> psycopg.Cursor[DictRow]:
        """Run a statement that leaves something behind when it fails, such as CREATE INDEX CONCURRENTLY."""
        return super().execute(query)

    def atomically(self, work: Callable[[], _Result]) -> _Result:
        """Do work in a transaction, the whole of it again until no lock stands in its way; in another one, once."""

        def attempt() -> _Result:
            with self.transaction():
                return work()

        return attempt() if self._within_transaction else persistently(self, attempt, self.attempts)

    def unhurried(self, query: sql.Composed, values: Any) -> psycopg.Cursor[DictRow]:
        """Run a statement that may scan a whole table, without a limit to its time."""

        def work() -> psycopg.Cursor[DictRow]:
            self.execute("SET LOCAL statement_timeout = 0")
            return self.execute(query, values)

        return self.atomically(work)

    def as_a_trial(self, work: Callable[[], object]) -> psycopg.Error | None:
        """Do work in a transaction that is rolled back whatever comes of it; returns what the server refuses."""
        try:
            with self.transaction(force_rollback=True):
                work()
                self.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if self.closed:
                raise
            return error
        return None

    @contextmanager
    def streamed(self, query: sql.Composed, values: Any) -> Iterator[Iterator[DictRow]]:
        """Yield the rows of a query, a thousand in memory at a time, without a limit to its time."""

        def opened() -> tuple[ExitStack, psycopg.ServerCursor[DictRow]]:
            with ExitStack() as stack:
                stack.enter_context(self.transaction())
                self.execute("SET LOCAL statement_timeout = 0")
                cursor = stack.enter_context(self.cursor("stage_migration"))
                cursor.itersize = _FETCHED_AT_ONCE
                cursor.execute(query, values)  # takes all locks
                return stack.pop_all(), cursor

        stack, cursor = opened() if self._within_transaction else persistently(self, opened, self.attempts)
        with stack:
            yield iter(cursor)

    @property
    def _within_transaction(self) -> bool:
        return self.info.transaction_status is not TransactionStatus.IDLE


_FETCHED_AT_ONCE = 1000
VARIABLE = "STAGE_GATEWAY_DATABASE_URL"
OLDEST_SERVER = 150000  # the first with views that check the rights of whoever reads (security_invoker)
# A server tells that it lost its client only when it looks; this bounds how long a killed run keeps its lock.
_CLIENT_CHECK = "client_connection_check_interval"
# Of a brisk connection. The driver takes no less than two seconds to connect.
_BRISK_TO_CONNECT: Mapping[str, int] = MappingProxyType({"connect_timeout": 2})
_BRISK_ATTEMPTS = 2
_BRISK_LIMITS: Mapping[str, int] = MappingProxyType({"lock_timeout_ms": 700, "statement_timeout_ms": 1500})


@contextmanager
def connected(
    url: str | None, spec: Spec, purpose: str, *, writes: bool = True, brisk: bool = False
) -> Iterator[Connection]:
    """Yield a connection in autocommit with the settings of a migration, and close it.

    `brisk` is for who cannot wait: what does not come to be within a few seconds is an error.
    Raises ConfigurationError without an address, UnreachableError when nobody answers there or the connection is
    lost, WrongDatabaseError and RefusedError for what the server refuses.
    """
    if not url:
        raise ConfigurationError("environment", [f"{VARIABLE}: missing, expected the address of the database"])
    with _open(url, purpose, _BRISK_TO_CONNECT if brisk else {}) as connection, translated(connection):
        if connection.info.server_version < OLDEST_SERVER:
            raise WrongDatabaseError(f"{database_of(url)}: PostgreSQL 15 or later is needed")
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            raise WrongDatabaseError(
                f"{database_of(url)}: its encoding is SQL_ASCII, in which letters have no meaning; "
                "expected UTF8 or another"
            )
        if brisk:
            connection.attempts = _BRISK_ATTEMPTS
        _set_up(connection, spec.model_copy(update=_BRISK_LIMITS) if brisk else spec)
        if writes:
            _want_writable(connection, database_of(url))
        yield connection


def database_of(url: str) -> str:
    """Return where an address leads, without its password, also when that was mistaken for something else."""
    parts = conninfo_to_dict(url)
    name, host = str(parts.get("dbname", "")), str(parts.get("host", "the local socket"))
    return "database" if "@" in name + host else f"database {name} at {host}"


def _open(url: str, purpose: str, limits: Mapping[str, int]) -> Connection:
    try:
        name = f"stage-gateway {purpose}"
        given: dict[str, Any] = {"application_name": name, "connect_timeout": 10, **conninfo_to_dict(url)}
        given.update(limits)
        given["client_encoding"] = "UTF8"  # names of any script; what the server cannot hold, it says
        address = make_conninfo(**given)
        return Connection.connect(address, autocommit=True, row_factory=dict_row)
    except psycopg.ProgrammingError as error:
        # The driver's own words may hold the password.
        cure = "is no address of a database, expected postgresql://user:password@host:port/name; in a password write "
        raise ConfigurationError("environment", [f"{VARIABLE}: {cure}@ as %40, / as %2F and % as %25"]) from error
    except psycopg.OperationalError as error:
        where = database_of(url)
        why = "check user, password and host" if where == "database" else " ".join(str(error).split())
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
    found = one(connection, statement("creators"), {"schema": spec.schema_})
    others = found["others"]
    if others:
        cure = f"REVOKE CREATE ON SCHEMA {found['quoted_schema']} FROM {others}"
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
def translated(connection: Connection) -> Iterator[None]:
    """Turn what the driver raises into errors with one clear line."""
    try:
        yield
    except psycopg.Error as error:
        raise refusal(error, closed=connection.closed) from error
