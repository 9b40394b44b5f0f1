"""What a run shows to Prometheus while it goes."""

import socket
import urllib.request

from support.clock import PATIENCE, eventually
from support.migration import Migration
from support.process import Samples


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_run_shows_rows_batches_and_lag(migration: Migration) -> None:
    """While it runs, rows, batches by status, invalid rows, lag and the last progress can be scraped."""
    migration.execute("UPDATE tags SET stages = '{\"bogus\": 1}' WHERE id = 1")
    port = free_port()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    samples = Samples("")

    def scraped() -> bool:
        nonlocal samples
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            samples = Samples(answer.read().decode())
        return bool(samples.get("stage_migration_rows_done"))

    options = ("--no-snapshot", "--on-invalid", "record", "--metrics-port", str(port))
    with migration.held():
        process = migration.start("migrate", "run", *options)
        assert process.stdout is not None
        process.stdout.readline()
        eventually(scraped)
    rows = samples.get("stage_migration_rows")
    assert rows is not None
    assert 0 < (samples.get("stage_migration_rows_done") or 0) < rows
    assert samples.get("stage_migration_lag_bytes") == 0
    assert samples.get("stage_migration_invalid_rows") == 0
    assert (samples.get("stage_migration_last_progress_timestamp_seconds") or 0) > 1e9
    assert {dict(labels)["status"] for labels in samples.series("stage_migration_batches")} == {
        "pending", "running", "done", "failed",
    }  # fmt: skip
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1


def test_port_that_is_taken_is_told(migration: Migration) -> None:
    """A port that is in use ends the command before it begins."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = migration.run("--metrics-port", str(port))
    assert made.code == 2
    assert made.err == f"port {port} for metrics cannot be had: Address already in use; name another\n"
