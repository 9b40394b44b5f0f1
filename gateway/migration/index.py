"""The partial index over rows that are not canonical, for tables where looking for them takes long."""

import psycopg
from psycopg import sql

from gateway.migration.catalog import Target
from gateway.migration.database import Connection, patiently
from gateway.migration.progress import Reporter
from gateway.migration.refusals import line
from gateway.migration.shapes import literal_suspect
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary

_PATIENCE = "60s"  # for transactions that are older than the index; waiting for them holds nobody up


class Index:
    """The index of one column."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._name = f"stage_migration_index_{target.target_id}"

    def build(self, connection: Connection, vocabulary: Vocabulary, reporter: Reporter) -> None:
        """Build it where there is none that is valid. When it cannot be built the run goes on without, and says so."""
        if self._is_valid(connection):
            return
        self.drop(connection)
        slots = self._target.slots()
        suspect = literal_suspect(self._target, vocabulary, slots["column"])
        ddl = statement("index_create", index=sql.Identifier(self._name), suspect=suspect, **slots)
        try:
            with patiently(connection, _PATIENCE):
                connection.execute_once(ddl)
        except psycopg.Error as error:
            if connection.closed:
                raise
            reporter.note(f"{self._target.name}: going on without an index: {line(error)}")
        if not self._is_valid(connection):
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Drop it, if it is there, without holding up writers."""
        name = sql.Identifier(self._target.schema, self._name)
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))

    def _is_valid(self, connection: Connection) -> bool:
        values = {"schema": self._target.schema, "index": self._name}
        row = connection.execute(statement("index_state"), values).fetchone()
        return row is not None and bool(row["valid"])
