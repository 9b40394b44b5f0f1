"""Replica lag: a standby that stands still is waited for; what cannot be read is unknown."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.clock import PATIENCE, eventually
from support.databases import clone, prepare
from support.migration import Migration
from support.postgres import Server

from gateway.migration.lag import Reading, must_wait
from gateway.migration.spec import Lag

CASES = [
    (None, 0, False),
    (None, 100, False),
    (None, 101, True),
    (101, 101, True),
    (101, 150, True),
    (150, 149, False),
    (None, None, False),
    (150, None, False),
]


@pytest.mark.parametrize(("before", "now", "waits"), CASES)
def test_waits_above_the_limit_unless_it_gets_smaller(before: int | None, now: int | None, waits: bool) -> None:
    """A replica above the limit is waited for as long as it does not catch up; unknown is not waited for."""
    seen = None if before is None else Reading("r", before)
    assert must_wait(Lag.model_validate({"maxBytes": 100}), seen, Reading("r", now)) is waits


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, Server]]:
    with Server() as server:
        prepare(server)
        with server.standby() as standby:
            yield server, standby


@pytest.fixture
def primary(
    pair: tuple[Server, Server], tmp_path: Path
) -> Iterator[tuple[Migration, psycopg.Connection[tuple[object, ...]]]]:
    server, standby = pair
    with psycopg.connect(standby.url("postgres"), autocommit=True) as replica:
        for migration in clone(server, tmp_path, "filled"):
            yield migration, replica


def test_standby_that_stands_still_is_waited_for(
    primary: tuple[Migration, psycopg.Connection[tuple[object, ...]]],
) -> None:
    """While replay is paused the run waits and says for whom; when it goes on, so does the run."""
    migration, standby = primary
    migration.specify(lag={"maxBytes": 1000}, batchRows=20)
    standby.execute("SELECT pg_wal_replay_pause()")
    process = migration.start("migrate", "run", "--no-snapshot")
    eventually(
        lambda: (
            migration.execute("SELECT to_regclass('stage_migration_runs')") != [(None,)]
            and migration.execute("SELECT count(*) FROM stage_migration_runs WHERE waiting_for LIKE 'waiting for %'")
            == [(1,)]
        )
    )
    done = migration.execute("SELECT count(*) FROM stage_migration_batches WHERE status = 'done'")
    assert "waiting for walreceiver" in migration.command("migrate", "status").out
    assert process.poll() is None
    assert migration.execute("SELECT count(*) FROM stage_migration_batches WHERE status = 'done'") == done
    standby.execute("SELECT pg_wal_replay_resume()")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "bytes behind (limit 1,000)" in out
    assert migration.verify().code == 0


def test_standby_is_refused_and_reads_flip_there_too(
    primary: tuple[Migration, psycopg.Connection[tuple[object, ...]]],
) -> None:
    """A run against a standby is refused; a flip on the primary is seen by readers of the standby."""
    migration, standby = primary
    at_standby = migration.url.split("?")[0] + f"?host={standby.info.host}"
    eventually(lambda: migration.command("migrate", "status", url=at_standby).code == 0)
    made = migration.command("migrate", "run", "--no-snapshot", url=at_standby)
    assert made.code == 2
    assert "the server is a standby, name the primary in STAGE_GATEWAY_DATABASE_URL" in made.err
    before = migration.execute("SELECT id, stage FROM portfoliocompanies ORDER BY id")
    migration.migrated()
    migration.command("reads", "legacy")
    ((written,),) = migration.execute("SELECT pg_current_wal_insert_lsn()")
    eventually(
        lambda: standby.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone() == (True,)
    )
    with psycopg.connect(at_standby, autocommit=True) as reader:
        query = "SELECT id, stage FROM portfoliocompanies_stages ORDER BY id"
        assert reader.execute("SELECT mode FROM stage_read_mode").fetchone() == ("legacy",)
        assert reader.execute(query).fetchall() == before
    assert migration.command("verify", url=at_standby).code == 0


def test_lag_that_may_not_be_read_is_unknown(
    primary: tuple[Migration, psycopg.Connection[tuple[object, ...]]],
) -> None:
    """A role that may not see how far replicas are is told so, and the run goes on."""
    migration, _ = primary
    with migration.role("GRANT ALL ON SCHEMA public TO {role}") as name:
        for table in ("portfoliocompanies", "fund_strategy_models", "fund_baselines", "tags", "rounds", "funds"):
            migration.execute(f"ALTER TABLE {table} OWNER TO {name}")
        plain = migration.as_role(name)
        made = migration.command("migrate", "run", "--no-snapshot", url=plain)
        assert made.code == 0, made
        assert "replica lag unknown (walreceiver): this role may not read it" in made.out
        assert migration.command("verify", url=plain).code == 0
