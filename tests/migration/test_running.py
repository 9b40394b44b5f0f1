"""A whole migration: there, verified, back, and there again; and what a run tells and refuses while it goes."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import PATIENCE, eventually
from support.databases import clone, prepare
from support.migration import Migration
from support.postgres import EMBEDDED, Server, versions
from support.tables import ALL_SPELLINGS

from gateway.migration.running import MOST_ROUNDS
from gateway.stages.vocabulary import Vocabulary


@pytest.fixture(params=versions(), ids=lambda path: "embedded" if path == EMBEDDED else path.parent.name)
def everywhere(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Migration]:
    if request.param == EMBEDDED:
        yield from clone(server, tmp_path, "filled")
        return
    with Server(request.param) as other:
        prepare(other)
        yield from clone(other, tmp_path, "filled")


def test_there_and_back_and_there_again(everywhere: Migration) -> None:
    """A run is verified, undo leaves the database as it was to the letter, and a second run ends as the first."""
    before = everywhere.picture()
    everywhere.migrated()
    after = everywhere.picture()
    assert after != before
    made = everywhere.verify()
    assert made.code == 0, made.out
    assert everywhere.command("migrate", "undo").code == 0
    assert everywhere.picture() == before
    everywhere.migrated()
    assert everywhere.picture() == after
    assert everywhere.verify().code == 0


def test_values_become_what_the_vocabulary_says(migration: Migration) -> None:
    """Every text is what the vocabulary resolves it to, NULL stays NULL, and sums by stage are exact."""
    query = "SELECT id, stage, current_stage FROM portfoliocompanies ORDER BY id"
    before = migration.execute(query)
    weights = "SELECT id, sum(v::numeric) FROM fund_strategy_models, jsonb_each(stage_allocation) e (k, v) GROUP BY 1"
    sums = sorted(migration.execute(weights))
    by_stage = totals(migration)
    migration.migrated()
    resolve = Vocabulary().resolve
    expected = [(key, a and resolve(a), b and resolve(b)) for key, a, b in before]
    assert migration.execute(query) == expected
    assert sorted(migration.execute(weights)) == sums
    assert totals(migration) == by_stage


def totals(migration: Migration) -> Counter[Any]:
    """Return the sum of weights by canonical stage over both JSON columns, as exact numbers."""
    made: Counter[Any] = Counter()
    for name, weight in migration.execute(
        "SELECT k, v::numeric FROM fund_strategy_models, jsonb_each(stage_allocation) e(k, v) UNION ALL "
        "SELECT e ->> 'stage', (e -> 'weight')::numeric FROM fund_baselines, jsonb_array_elements(stage_distribution) e"
    ):
        made[Vocabulary().resolve(name)] += weight
    return made


def test_second_run_writes_no_row(migration: Migration) -> None:
    """Rows that are canonical keep their version, in the first run and in the second."""
    query = (
        "SELECT id::text, xmin::text, ctid::text FROM portfoliocompanies UNION ALL "
        "SELECT id, xmin::text, ctid::text FROM fund_baselines ORDER BY 1"
    )
    good = "SELECT id, xmin::text FROM portfoliocompanies WHERE stage = 'seed' AND current_stage IS NULL ORDER BY id"
    untouched = migration.execute(good)
    assert untouched
    migration.migrated()
    assert [row for row in migration.execute(good) if row in untouched] == untouched
    versions_ = migration.execute(query)
    made = migration.run()
    assert made.code == 0
    assert made.lines == [{"message": "done: 0 values made canonical in 0 batches"}]
    assert migration.execute(query) == versions_


def test_each_batch_is_a_line(migration: Migration) -> None:
    """Without a terminal each batch is one JSON line with its fund, keys, counts and time."""
    lines = [line for line in migration.run().lines if "message" not in line]
    assert {tuple(line) for line in lines} == {
        ("table", "column", "fundId", "joined", "startPk", "endPk", "updated", "skipped_invalid", "duration_ms")
    }
    companies = [line for line in lines if line["table"] == "portfoliocompanies"]
    assert {line["joined"] for line in companies} == {False, True}
    assert {line["fundId"] for line in companies if not line["joined"]} <= {None, 1, 2, 3, 4, 5}
    assert {line["fundId"] for line in companies if line["joined"]} == {None}
    assert all(isinstance(line["startPk"], int) and line["startPk"] <= line["endPk"] for line in companies)
    assert all(0 < line["updated"] <= 40 for line in lines)
    [rows] = migration.execute("SELECT count(*), sum(updated) FROM stage_migration_batches WHERE status = 'done'")
    assert rows == (len(lines), sum(line["updated"] for line in lines))


def test_funds_are_taken_in_turn(migration: Migration) -> None:
    """The batches of a column go fund by fund, those without one last, in the order of the keys."""
    migration.specify(batchRows=5)
    lines = [line for line in migration.run().lines if line.get("column") == "stage"]
    assert not any(line["joined"] for line in lines)
    funds = [line["fundId"] for line in lines]
    assert funds == sorted(funds, key=lambda fund: (fund is None, fund or 0))


def test_run_wants_a_snapshot(migration: Migration) -> None:
    """Without a snapshot, and without saying so, a run does not start."""
    made = migration.command("migrate", "run")
    assert made.code == 1
    assert "--snapshot DIR, --snapshot-ref TEXT" in made.err
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]
    assert migration.command("migrate", "run", "--snapshot-ref", "nightly-17").code == 0
    assert migration.execute("SELECT snapshot FROM stage_migration_runs") == [("nightly-17",)]
    both = migration.command("migrate", "run", "--snapshot-ref", "x", "--no-snapshot")
    assert both.code == 2


def test_values_that_cannot_be_mapped_stop_a_run_before_it_starts(migration: Migration) -> None:
    """The run refuses, lists them all in the file, and writes nothing at all."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Sereis A' WHERE id = 10000000003")
    migration.execute(
        """UPDATE fund_baselines SET stage_distribution = '[{"stage": "seed", "weight": "1"}]'
        WHERE id LIKE '%% 7 %%'""",
        [],
    )
    before = migration.picture()
    made = migration.run()
    assert made.code == 1
    assert made.err.startswith("2 values cannot be mapped")
    lines = [json.loads(line) for line in migration.remediation.read_text().splitlines()]
    assert [(line["key"], line["reason"], line["suggestion"]) for line in lines] == [
        ("10000000003", "disallowed_value", "series-a"),
        ("Ünïcode 7 'quoted'", "wrong_type", None),
    ]
    assert migration.picture() == before
    assert migration.execute("SELECT to_regclass('stage_migration_runs')") == [(None,)]


def test_recorded_values_are_gone_past(migration: Migration) -> None:
    """With --on-invalid record everything else is migrated, the rows are counted, and the answer is still no."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Sereis A' WHERE id < 10000000030")
    made = migration.run("--on-invalid", "record")
    assert made.code == 1
    assert "10 rows cannot be mapped" in made.out
    assert sum(line["skipped_invalid"] for line in made.lines if "message" not in line) >= 10
    left = migration.execute("SELECT DISTINCT stage FROM portfoliocompanies WHERE stage ~ '[A-Z ]'")
    assert left == [("Sereis A",)]
    assert migration.verify().code == 1
    assert migration.command("migrate", "undo").code == 0


def test_value_that_arrives_while_it_runs_stops_the_run(migration: Migration) -> None:
    """A bad value that comes in after the check rolls its batch back and stops the run, which can then go on."""
    migration.migrated()
    key = 10000000003
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [key])
    # The check before the run passes, and a trigger spoils another row of the same batch as the batch is cut.
    migration.execute("""
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          UPDATE portfoliocompanies SET stage = 'bogus' WHERE id = 10000000003; RETURN NULL; END $$;
        CREATE TRIGGER spoil AFTER INSERT ON stage_migration_batches FOR EACH STATEMENT EXECUTE FUNCTION spoil()""")
    made = migration.run()
    assert made.code == 1
    assert "key 10000000003: 'bogus' cannot be mapped (disallowed_value)" in made.err
    assert migration.execute("SELECT status FROM stage_migration_runs ORDER BY run_id DESC LIMIT 1") == [("failed",)]
    migration.execute("DROP TRIGGER spoil ON stage_migration_batches")
    migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [key])
    again = migration.run()
    assert again.code == 0, again
    assert "going on with run 2" in again.out
    assert migration.verify().code == 0


def test_another_vocabulary_does_not_go_on(migration: Migration) -> None:
    """A run that was stopped goes on under the vocabulary it was begun with, and under no other."""
    process = migration.start("migrate", "run", "--no-snapshot")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    migration.vocabulary(aliases={"preseed": "pre-seed"})
    made = migration.run()
    assert made.code == 1
    assert "was begun under vocabulary" in made.err
    migration.vocabulary()
    assert migration.run().code == 0


def test_lock_is_held_by_one(migration: Migration) -> None:
    """While one run holds the lock another one ends with 1 and says who holds it."""
    with migration.connect(application_name="stage-gateway migrate run") as holder:
        process = holder.info.backend_pid
        holder.execute("SELECT pg_advisory_lock(hashtextextended('stage-gateway migrate', 0))")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.migration.lock._PATIENCE", 0.2)
            made = migration.run()
    assert made.code == 1
    assert f"'stage-gateway migrate run' (process {process}, role postgres" in made.err


def test_pause_and_resume_from_another_terminal(migration: Migration) -> None:
    """A paused run does no batch until it is told to go on, and status says so."""
    with migration.held():
        process = migration.start("migrate", "run", "--no-snapshot")
        assert process.stdout is not None
        process.stdout.readline()
        assert migration.command("migrate", "pause").code == 0
        eventually(lambda: '"status": "paused"' in migration.command("migrate", "status", "--json").out)
    done = "SELECT count(*) FROM stage_migration_batches WHERE status = 'done'"
    eventually(
        lambda: migration.execute("SELECT waiting_for LIKE 'paused%%' FROM stage_migration_runs", []) == [(True,)]
    )
    before = migration.execute(done)
    time.sleep(0.5)
    assert migration.execute(done) == before
    assert migration.command("migrate", "resume").code == 0
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "paused; go on with: stage-gateway migrate resume" in out
    assert "going on" in out
    nobody = migration.command("migrate", "pause")
    assert (nobody.code, nobody.err.split(";")[0]) == (1, "no run is under way")


def test_what_comes_in_while_it_runs_is_swept(migration: Migration) -> None:
    """A value spelt badly in rows that are done already is made canonical by the last sweep of the same run."""
    with migration.held():
        process = migration.start("migrate", "run", "--no-snapshot")
        assert process.stdout is not None
        done = json.loads(process.stdout.readline())
        migration.execute("UPDATE portfoliocompanies SET stage = 'Seed' WHERE id = %s", [done["startPk"]])
        migration.execute("INSERT INTO tags VALUES (9999, '{\"PreSeed\": 1}')")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert migration.execute("SELECT stage FROM portfoliocompanies WHERE id = %s", [done["startPk"]]) == [("seed",)]
    assert migration.execute("SELECT stages FROM tags WHERE id = 9999") == [({"pre-seed": 1},)]
    assert migration.verify().code == 0


def test_slow_batches_are_made_smaller(migration: Migration) -> None:
    """When a batch takes longer than is aimed at, those after it are cut."""
    migration.specify(batchRows=200, targetBatchMs=1)
    migration.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END'"
    )
    migration.execute("CREATE TRIGGER slow BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION slow()")
    migration.execute("INSERT INTO tags SELECT n, '{\"Seed\": 1}' FROM generate_series(1000, 1599) n")
    made = migration.run()
    assert made.code == 0
    rows = [line["updated"] for line in made.lines if line.get("table") == "tags"]
    assert rows[0] == 200
    assert max(rows[1:]) == 50


def test_batch_that_times_out_is_split(migration: Migration) -> None:
    """A batch that the statement timeout ends is done in halves."""
    migration.specify(batchRows=64, statementTimeoutMs=300)
    migration.execute("""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.012); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION slow()""")
    migration.execute("INSERT INTO tags SELECT n, '{\"Seed\": 1}' FROM generate_series(1000, 1063) n")
    made = migration.run()
    assert made.code == 0, made
    assert max(line["updated"] for line in made.lines if line.get("table") == "tags") <= 32
    assert migration.verify().code == 0


def test_locked_row_is_waited_for(migration: Migration) -> None:
    """A row that an application holds for longer than the lock timeout is done when it lets go."""
    migration.specify(lockTimeoutMs=50)
    with migration.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM portfoliocompanies WHERE stage = 'Seed' FOR UPDATE")
        release = threading.Timer(1.0, holder.rollback)
        release.start()
        made = migration.run()
        release.join()
    assert made.code == 0, made
    assert migration.verify().code == 0


def test_values_that_keep_coming_end_the_run(migration: Migration) -> None:
    """When every sweep finds new values the run says so instead of going on for ever."""
    migration.execute("""
        CREATE FUNCTION slip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          UPDATE tags SET stages = '{"Seed": 1}' WHERE id = 1; RETURN NULL; END $$""")
    migration.migrated()
    migration.execute("UPDATE tags SET stages = '{\"Seed\": 1}' WHERE id = 1")
    migration.execute(
        "CREATE TRIGGER slip AFTER UPDATE ON stage_migration_batches FOR EACH ROW "
        "WHEN (NEW.status = 'done') EXECUTE FUNCTION slip()"
    )
    made = migration.run()
    assert made.code == 1
    assert "come in faster than they are swept" in made.err
    assert migration.execute("SELECT max(round) FROM stage_migration_batches") == [(MOST_ROUNDS,)]


def test_every_spelling_has_a_row(migration: Migration) -> None:
    """The rows of these tests hold every spelling, so that none goes untested."""
    found = {row[0] for row in migration.execute("SELECT DISTINCT stage FROM portfoliocompanies")}
    assert found == {*ALL_SPELLINGS, None}


def test_lost_connection_is_gone_on_after(migration: Migration) -> None:
    """A run whose connection the server ends exits with 3, and the next one goes on."""
    with migration.held():
        process = migration.start("migrate", "run", "--no-snapshot")
        assert process.stdout is not None
        process.stdout.readline()
        migration.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'stage-gateway%'"
        )
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.count("\n")) == (3, 1)
    assert "the same command goes on from here" in err
    assert migration.run().code == 0
    assert migration.verify().code == 0


def test_interrupt_is_130(migration: Migration) -> None:
    """Ctrl-C ends a run between two states that are whole."""
    with migration.held():
        process = migration.start("migrate", "run", "--no-snapshot")
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert migration.run().code == 0
    assert migration.verify().code == 0
