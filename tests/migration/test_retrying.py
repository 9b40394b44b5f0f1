"""Locks: waited for and tried again by every command, then told by table, process, application and query."""

import ast
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.clock import eventually
from support.migration import Ended, Migration

import gateway.migration
from gateway.migration import retrying
from gateway.migration.retrying import Blocked, Watch

LOCK = "LOCK TABLE portfoliocompanies IN ACCESS EXCLUSIVE MODE"
WAITING = """SELECT EXISTS (
  SELECT FROM pg_stat_activity WHERE application_name = 'stage-gateway migrate run' AND wait_event_type = 'Lock'
)"""
# Each command with what is locked before it.
COMMANDS = {
    "plan": (["migrate", "plan"], LOCK),
    "run": (["migrate", "run", "--no-snapshot"], LOCK),
    "verify": (["verify"], LOCK),
    "undo": (["migrate", "undo"], LOCK),
    "finish": (["migrate", "finish", "--yes"], LOCK),
    "reads": (["reads", "legacy"], "SELECT FROM stage_read_mode FOR UPDATE"),
    "grant": (["reads", "grant", "pg_monitor"], "LOCK TABLE stage_migration_targets IN ACCESS EXCLUSIVE MODE"),
    "status": (["migrate", "status"], "LOCK TABLE stage_migration_runs IN ACCESS EXCLUSIVE MODE"),
    "guard": (["migrate", "guard", "refuse"], "SELECT FROM stage_migration_guard FOR UPDATE"),
}


@pytest.fixture
def busy(migration: Migration) -> Migration:
    migration.migrated()
    migration.execute("UPDATE portfoliocompanies SET stage = 'Series A' WHERE id = 10000000003")
    migration.specify(lockTimeoutMs=400)
    return migration


@contextmanager
def locked(migration: Migration, statement: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with migration.connect(application_name="nightly report") as holder:
        holder.execute("BEGIN")
        holder.execute(statement)
        yield holder
        holder.rollback()


@pytest.mark.parametrize("name", COMMANDS)
def test_lock_that_is_given_up_is_waited_for(busy: Migration, name: str) -> None:
    """Every command goes on when the lock is let go, after more than one lock timeout."""
    command, statement = COMMANDS[name]
    if name in {"verify", "finish"}:
        busy.migrated()
    if name == "grant":
        busy.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor")
    with locked(busy, statement) as holder:
        release = threading.Timer(1.0, holder.rollback)
        release.start()
        made = busy.command(*command)
        release.join()
    assert made.code == 0, made


@pytest.mark.parametrize("name", COMMANDS)
def test_lock_that_stays_is_told_with_its_holder(busy: Migration, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the end every command says in one line which table, which process, its application and since when."""
    monkeypatch.setattr(retrying, "ATTEMPTS", 3)
    command, statement = COMMANDS[name]
    if name == "grant":
        busy.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor")
    with locked(busy, statement) as holder:
        made = busy.command(*command)
        named(made, holder.info.backend_pid)
    table = "portfoliocompanies" if statement == LOCK else "stage_"
    assert f"public.{table}" in made.err


def named(made: Ended, process: int) -> None:
    assert (made.code, made.err.count("\n")) == (1, 1), made
    assert f"process {process} ('nightly report', role postgres, " in made.err
    assert " UTC" in made.err
    assert f"pg_terminate_backend({process})" in made.err


@pytest.mark.parametrize("command", [["migrate", "run", "--no-snapshot"], ["migrate", "undo"]], ids=["run", "undo"])
def test_row_that_stays_locked_is_told_with_its_holder(
    busy: Migration, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that an application holds names its session, the run is failed, and goes on when the row is free."""
    monkeypatch.setattr(retrying, "ATTEMPTS", 3)
    with locked(busy, "SELECT FROM portfoliocompanies WHERE stage IN ('Series A', 'seed') FOR UPDATE") as holder:
        made = busy.command(*command)
        named(made, holder.info.backend_pid)
        assert "portfoliocompanies.stage, keys 1" in made.err
        assert '"status": "failed"' in busy.command("migrate", "status", "--json").out
    assert busy.command(*command).code == 0


def test_prepared_transaction_is_told_as_such() -> None:
    """A lock that no process holds is one of a prepared transaction, and the message says where to look."""
    blocked = retrying.Blocked("public.t", None, None, None, None, None)
    assert "a prepared transaction (see pg_prepared_xacts)" in str(blocked)


def test_role_that_may_not_see_the_holder_is_told_process_and_application(
    busy: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pg_monitor the query's start is hidden; process and application are told all the same."""
    monkeypatch.setattr(retrying, "ATTEMPTS", 3)
    rights = "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    with busy.role(rights) as role, locked(busy, LOCK) as holder:
        made = busy.command("migrate", "plan", url=busy.as_role(role))
        process = holder.info.backend_pid
    assert made.code == 1
    assert f"process {process} ('nightly report', role postgres, since when this role may not see)" in made.err


def test_deadlock_is_tried_again(busy: Migration) -> None:
    """A deadlock that the server resolves against the migration costs it a second attempt and no more."""
    busy.specify(lockTimeoutMs=20_000, batchRows=1000)
    busy.execute("UPDATE portfoliocompanies SET stage = 'Seed'")
    first, last = 10**10, 10**10 + 3 * 159
    with busy.connect() as other:
        other.execute("SET deadlock_timeout = '60s'")  # so that it is the migration that is ended
        other.execute("BEGIN")
        other.execute("UPDATE portfoliocompanies SET name = 'x' WHERE id = %s", [last])

        def cross() -> None:
            eventually(lambda: busy.execute(WAITING) == [(True,)])
            other.execute("UPDATE portfoliocompanies SET name = 'x' WHERE id = %s", [first])
            other.execute("COMMIT")

        crossing = threading.Thread(target=cross)
        crossing.start()
        made = busy.run()
        crossing.join()
    assert made.code == 0, made


def test_every_transaction_is_begun_where_locks_are_waited_for() -> None:
    """No module but database.py begins a transaction, so that none ends at the first lock."""
    folder = Path(gateway.migration.__file__).parent
    strays = [
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in folder.rglob("*.py")
        if path.name != "database.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "transaction"
    ]
    assert strays == []


def test_name_of_a_table_is_not_lost(migration: Migration) -> None:
    """A later look that finds the same holder, but not the table, takes nothing away; another holder is news."""
    with migration.connect() as connection:
        watch = Watch(connection)
        holder = Blocked("public.t", 7, "psql", "app", None, "active")
        watch.note(holder)
        watch.note(replace(holder, relation=None))
        watch.note(None)
        assert watch.seen == holder
        watch.note(replace(holder, relation=None, pid=8))
        assert watch.seen == replace(holder, relation=None, pid=8)
