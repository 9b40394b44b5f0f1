"""The connection: what is said when there is none, or not one to work with."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.databases import clone
from support.migration import Migration
from support.postgres import Server


@pytest.fixture
def nowhere(tmp_path: Path) -> Migration:
    return Migration("", tmp_path)


@pytest.fixture(scope="module")
def untouched(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migration]:
    yield from clone(server, tmp_path_factory.mktemp("untouched"), "bare")


COMMANDS = [
    ["migrate", "plan"],
    ["migrate", "run", "--no-snapshot"],
    ["migrate", "status"],
    ["migrate", "pause"],
    ["migrate", "resume"],
    ["migrate", "undo"],
    ["migrate", "guard"],
    ["migrate", "finish"],
    ["verify"],
    ["reads", "legacy"],
    ["reads", "status"],
    ["reads", "grant", "x"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unreachable_database_is_3(nowhere: Migration, command: list[str]) -> None:
    """Every command says in one line where nobody answered, without the password, and ends with 3."""
    made = nowhere.command(*command, url="postgresql://me:secret@127.0.0.1:1/app")
    assert (made.code, made.out, made.err.count("\n")) == (3, "", 1)
    assert made.err.startswith("database app at 127.0.0.1: cannot be reached (STAGE_GATEWAY_DATABASE_URL): ")
    assert "secret" not in made.err


def test_address_that_is_missing_or_none_is_2(nowhere: Migration) -> None:
    """Without an address, or with something else, the variable is named."""
    missing = nowhere.command("verify", url="")
    assert missing.code == 2
    assert missing.err == ("environment: STAGE_GATEWAY_DATABASE_URL: missing, expected the address of the database\n")
    wrong = nowhere.command("verify", url="http://x:secret@y/z")
    assert wrong.code == 2
    assert wrong.err.startswith("environment: STAGE_GATEWAY_DATABASE_URL: is no address of a database, expected ")


@pytest.mark.parametrize(
    "url",
    [
        "postgres//u:S3cret@127.0.0.1/db",
        "postgresql://u:S3%zzcret@127.0.0.1:1/db",
        "postgresql://u:S3/cret@127.0.0.1:1/db",
        "postgresql://u:S3@cret@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 password=S3 cret",
    ],
)
def test_no_part_of_a_password_is_told(nowhere: Migration, url: str) -> None:
    """An address that is written wrongly is not repeated: parts of the password may stand anywhere in it."""
    made = nowhere.command("verify", url=url)
    assert made.code in {2, 3}
    assert "cret" not in made.err
    assert "S3" not in made.err


@pytest.mark.parametrize("grantee", ["PUBLIC", "planter"])
def test_schema_in_which_others_create_is_refused(migration: Migration, grantee: str) -> None:
    """Neither plan nor run begins where another role could plant a function that they, or triggers, would call."""
    migration.execute("DROP ROLE IF EXISTS planter")
    migration.execute("CREATE ROLE planter")
    migration.execute(f"GRANT CREATE ON SCHEMA public TO {grantee}")
    try:
        for made in (migration.command("migrate", "plan"), migration.run()):
            assert made.code == 2
            assert f"first REVOKE CREATE ON SCHEMA public FROM {grantee}" in made.err
        assert migration.execute("SELECT to_regclass('stage_migration_runs')::text") == [(None,)]
    finally:
        migration.execute(f"REVOKE CREATE ON SCHEMA public FROM {grantee}")
        migration.execute("DROP ROLE planter")


def test_time_limits_of_a_role_do_not_end_a_run(bare: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit to transactions or idle sessions, set for role or database, ends no slow batch and no long snapshot."""
    database = bare.execute("SELECT current_database()")[0][0]
    bare.execute("""
        CREATE TABLE deals (id int PRIMARY KEY, stage text); INSERT INTO deals VALUES (1, 'Seed');
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END';
        CREATE TRIGGER slow AFTER UPDATE ON deals FOR EACH ROW EXECUTE FUNCTION slow()""")
    for name in ("idle_session_timeout", "transaction_timeout"):
        if bare.execute("SELECT FROM pg_settings WHERE name = %s", [name]):
            bare.execute(f"ALTER DATABASE {database} SET {name} = '1s'")
    programs = bare.folder / "programs"
    programs.mkdir()
    (programs / "pg_dump").write_text("#!/bin/sh\nsleep 1.5\n")
    (programs / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    bare.specify(tables=[{"table": "deals", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    made = bare.command("migrate", "run", "--snapshot", bare.folder)
    assert made.code == 0, made
    assert bare.command("migrate", "undo").code == 0
    assert bare.execute("SELECT stage FROM deals") == [("Seed",)]


def test_read_only_server_is_told(migration: Migration) -> None:
    """A server that takes no writes is named as such, and plan works there all the same."""
    [(name,)] = migration.execute("SELECT current_database()")
    migration.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    made = migration.run()
    assert made.code == 2
    assert made.err.endswith("the server is read-only, name the primary in STAGE_GATEWAY_DATABASE_URL\n")
    assert migration.command("migrate", "plan").code == 0


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c[:2] not in (["migrate", "plan"], ["migrate", "run"], ["migrate", "status"])],
    ids=" ".join,
)
def test_no_migration_is_a_no(untouched: Migration, command: list[str]) -> None:
    """What is about a migration ends with 1 where none was begun."""
    made = untouched.command(*command)
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert made.err.startswith("no migration has been started in this database")


def _encoded(server: Server, name: str, encoding: str) -> str:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    return server.url(name)


def test_database_without_an_encoding_is_refused(server: Server, tmp_path: Path) -> None:
    """SQL_ASCII gives bytes and no text, so that no name can be known; one line says so."""
    made = Migration(_encoded(server, "ascii", "SQL_ASCII"), tmp_path).command("migrate", "plan")
    server.drop("ascii")
    assert (made.code, made.err.count("\n")) == (2, 1)
    assert "its encoding is SQL_ASCII" in made.err


def test_alias_that_the_database_cannot_hold_is_told(server: Server, tmp_path: Path) -> None:
    """A name in a script that the encoding of the database lacks ends in one line, and no fault of ours."""
    migration = Migration(_encoded(server, "latin", "LATIN1"), tmp_path)
    migration.execute("CREATE TABLE t (id int PRIMARY KEY, stage text); INSERT INTO t VALUES (1, 'Seed')")
    migration.specify(tables=[{"table": "t", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}])
    migration.vocabulary(acceptAliases=True, canonical=["seed"], aliases={"シード": "seed"})
    made = migration.run()
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert 'has no equivalent in encoding "LATIN1"' in made.err
    migration.vocabulary(canonical=["seed"], aliases={"シード": "seed"})
    assert migration.run().code == 0
    server.drop("latin")
