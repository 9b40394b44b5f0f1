"""The snapshot: the tables as they were, made with pg_dump before anything is written."""

import subprocess
from pathlib import Path

import psycopg
import pytest
from support.migration import Migration
from support.postgres import EMBEDDED, Server
from support.tables import picture


def test_tables_are_dumped_before_anything_is_written(
    migration: Migration, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--snapshot writes a dump of the tables, which holds the values before the migration."""
    monkeypatch.setenv("PATH", str(EMBEDDED), prepend=":")
    before = migration.picture()
    folder = migration.folder / "snapshots"
    made = migration.command("migrate", "run", "--snapshot", folder)
    assert made.code == 0, made
    [path] = folder.iterdir()
    assert migration.execute("SELECT snapshot FROM stage_migration_runs") == [(str(path),)]
    url = server.create(f"restored_{path.stem[-6:]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE funds (id int PRIMARY KEY)")
    subprocess.run([EMBEDDED / "pg_restore", "--no-owner", "-d", url, path], check=False, capture_output=True)
    with psycopg.connect(url) as connection:
        assert picture(connection) == before


def test_no_pg_dump_is_3(migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pg_dump nothing is written, and the cure is named."""
    monkeypatch.setenv("PATH", "/nowhere")
    made = migration.command("migrate", "run", "--snapshot", migration.folder)
    assert made.code == 3
    assert made.err == "pg_dump: not found on PATH; install the client of PostgreSQL, or name --snapshot-ref\n"
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("echo first >&2; echo 'no room: here' >&2; exit 3", "no room: here"),
        ("exit 3", "it ended with 3 and said nothing"),
    ],
)
def test_pg_dump_that_fails(says: str, told: str, migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pg_dump said last is told in its own words, and nothing is written."""
    program = migration.folder / "pg_dump"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(migration.folder), prepend=":")
    made = migration.command("migrate", "run", "--snapshot", migration.folder)
    assert (made.code, made.err) == (2, f"pg_dump failed, nothing was changed: {told}\n")
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


def test_folder_that_cannot_be_written(migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be made is told, and nothing is written."""
    monkeypatch.setenv("PATH", str(EMBEDDED), prepend=":")
    made = migration.command("migrate", "run", "--snapshot", Path("/proc/none"))
    assert (made.code, made.err.count("\n")) == (2, 1)
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


def test_name_with_a_quote_is_dumped(bare: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump is told names as it reads them, quotes and all."""
    monkeypatch.setenv("PATH", str(EMBEDDED), prepend=":")
    bare.execute('CREATE TABLE "we""ird" (id int PRIMARY KEY, stage text)')
    bare.specify(tables=[{"table": 'we"ird', "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    made = bare.command("migrate", "run", "--snapshot", bare.folder / "snapshots")
    assert made.code == 0, made.err
