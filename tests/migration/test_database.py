"""The connection: what is said when there is none, or not one to work with."""

from collections.abc import Iterator
from pathlib import Path

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
    assert wrong.err.startswith("environment: STAGE_GATEWAY_DATABASE_URL: is no address of a database: ")


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
