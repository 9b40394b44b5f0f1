"""What a run shows to Prometheus while it goes (`--metrics-port`), in a registry of its own."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from gateway.errors import GatewayError
from gateway.migration.lag import Reading


class MigrationMetrics:
    """The gauges of one run."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"stage_migration_{name}", meaning, labels, registry=self.registry)

        self._rows = gauge("rows", "Rows that were found not canonical.")
        self._done = gauge("rows_done", "Rows of these that were looked at.")
        self._batches = gauge("batches", "Batches, by status.", "status")
        self._invalid = gauge("invalid_rows", "Rows with values that cannot be mapped.")
        self._lag = gauge("lag_bytes", "Lag of the replica furthest behind; NaN when unknown.")
        self._progress = gauge("last_progress_timestamp_seconds", "When a batch was last done, as Unix time.")
        self._lag.set(math.nan)

    def count(self, counts: Mapping[str, Any]) -> None:
        """Take how far the run is."""
        self._rows.set(counts["rows"])
        self._done.set(counts["rows_done"])
        self._invalid.set(counts["invalid_rows"])
        for status in ("pending", "running", "done", "failed"):
            self._batches.labels(status).set(counts[status])

    def progressed(self, rows: int) -> None:
        """Take a batch that is done."""
        self._done.inc(rows)
        self._batches.labels("pending").dec()
        self._batches.labels("done").inc()
        self._progress.set(time.time())

    def lagged(self, reading: Reading) -> None:
        """Take a reading of the replicas' lag."""
        self._lag.set(math.nan if reading.bytes is None else reading.bytes)


@contextmanager
def served(metrics: MigrationMetrics, port: int | None) -> Iterator[None]:
    """Serve the metrics on a port while the context lasts, if one is given. Raises GatewayError when it is taken."""
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    except OSError as error:
        raise GatewayError(f"port {port} for metrics cannot be had: {error.strerror}; name another") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
