"""Runs and undos that are killed at any moment: what follows ends as if nothing had happened."""

import random
import signal
import time
from collections.abc import Mapping
from typing import Any

import pytest
from support.clock import PATIENCE
from support.databases import clone, prepare
from support.length import examples
from support.migration import Migration
from support.postgres import Server

KILLS = examples(6, 50)


def killed(migration: Migration, command: str, random_: random.Random) -> None:
    """Start a command and kill it somewhere on its way: some time after its first words, or before."""
    options = ["--no-snapshot"] if command == "run" else []
    process = migration.start("migrate", command, *options)
    assert process.stdout is not None
    for _ in range(random_.randint(0, 25)):
        process.stdout.readline()
    time.sleep(random_.random() * 0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def unbroken(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the database before and after a run that nobody disturbs."""
    [pictures] = [
        (migration.picture(), migration.migrated().picture())
        for migration in clone(server, tmp_path_factory.mktemp("unbroken"), "filled")
    ]
    return pictures


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_run_and_undo_are_gone_on_with(
    migration: Migration, unbroken: tuple[Mapping[str, Any], Mapping[str, Any]], seed: int
) -> None:
    """However often run and undo are killed, a run ends as an unbroken one, and undo at the start."""
    random_ = random.Random(seed)
    migration.specify(batchRows=random_.choice([5, 20, 40]))
    before, after = unbroken
    assert migration.picture() == before
    killed(migration, "run", random_)
    if random_.random() < 0.3:
        killed(migration, "run", random_)
    migration.migrated()
    assert migration.picture() == after
    assert migration.verify().code == 0
    killed(migration, "undo", random_)
    if random_.random() < 0.5:
        migration.migrated()
        assert migration.picture() == after
        made = migration.verify()
        assert made.code == 0, made.out
    assert migration.command("migrate", "undo").code == 0
    assert migration.picture() == before


def test_server_that_crashes_is_gone_on_with(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that crashes under a run and comes back has lost no batch and done none twice."""
    folder = tmp_path_factory.mktemp("crash")
    with Server(settings={"synchronous_commit": "on"}) as server:
        prepare(server)
        for migration in clone(server, folder, "filled"):
            migration.specify(batchRows=5)
            process = migration.start("migrate", "run", "--no-snapshot")
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(12)]
            assert all(lines)
            server.stop(signal.SIGQUIT)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 3, err
            server.start()
            done = migration.execute("SELECT count(*) FROM stage_migration_batches WHERE status = 'done'")
            assert done[0][0] >= len(lines)
            migration.migrated()
            assert migration.verify().code == 0
