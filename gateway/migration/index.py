"""The partial index over rows that are not canonical, for tables where looking for them takes long."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors, sql

from gateway.migration.catalog import Target
from gateway.migration.database import Connection, patiently
from gateway.migration.objects import is_ours
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
        there = self._look(connection)
        if there is not None and there["valid"] and self._is_ours(connection, there):
            return
        self.drop(connection)
        if self._look(connection) is not None:
            name = f"{self._target.schema}.{self._name}"
            reporter.note(f"{self._target.name}: going on without an index: {name} is none of the migration's")
            return
        try:
            self._create(connection, vocabulary)
        except psycopg.Error as error:
            if connection.closed:
                raise
            reporter.note(f"{self._target.name}: going on without an index: {line(error)}")
            self.drop(connection)

    def _create(self, connection: Connection, vocabulary: Vocabulary) -> None:
        slots = self._target.slots()
        suspect = literal_suspect(self._target, vocabulary, slots["column"])
        self._note(connection, begun=True)
        with patiently(connection, _PATIENCE):
            connection.execute_once(
                statement("index_create", index=sql.Identifier(self._name), suspect=suspect, **slots)
            )
        connection.execute(statement("index_mark", index=sql.Identifier(self._target.schema, self._name)))

    def drop(self, connection: Connection) -> None:
        """Drop it, if it is there and ours, without holding up writers."""
        there = self._look(connection)
        if there is not None and self._is_ours(connection, there):
            name = sql.Identifier(self._target.schema, self._name)
            try:
                connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
            except errors.FeatureNotSupported:  # an event trigger of the database has written something before it
                connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
            self._note(connection, begun=False)

    def _note(self, connection: Connection, *, begun: bool) -> None:
        """Put down that what will have the name is ours, before it has: it cannot be made and marked in one step."""
        connection.execute(statement("index_begun"), {"target": self._target.target_id, "begun": begun})

    def _is_ours(self, connection: Connection, there: Mapping[str, Any]) -> bool:
        return is_ours(connection, there["comment"]) or (there["comment"] is None and there["begun"])

    def _look(self, connection: Connection) -> Mapping[str, Any] | None:
        target = self._target
        values = {"schema": target.schema, "table": target.table, "target": target.target_id, "index": self._name}
        return connection.execute(statement("index_state"), values).fetchone()
