"""Databases for tests: two to clone, with and without rows, and a clone for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

from support.migration import Migration
from support.postgres import Server
from support.tables import TABLES

ROWS = 160


def prepare(server: Server) -> None:
    """Make the databases that tests clone: `bare` has tables, `filled` has rows in them too."""
    with psycopg.connect(server.create("bare"), autocommit=True) as connection:
        connection.execute(TABLES)
    Migration.fill_database(server.create("filled", "bare"), ROWS)


def clone(server: Server, folder: Path, template: str) -> Iterator[Migration]:
    name = f"test_{uuid.uuid4().hex}"
    yield Migration(server.create(name, template), folder)
    server.drop(name)
