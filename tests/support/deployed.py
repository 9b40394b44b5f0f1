"""What the files under deploy/ say, for the tests that hold them against what is there."""

import importlib
import json
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from gateway.telemetry.counts import Counter, Histogram
from support.prometheus import DEPLOY, RULES

_MIGRATION: dict[str, tuple[str, ...]] = {
    "stage_migration_rows": (),
    "stage_migration_rows_done": (),
    "stage_migration_batches": ("status",),
    "stage_migration_invalid_rows": (),
    "stage_migration_lag_bytes": (),
    "stage_migration_last_progress_timestamp_seconds": (),
}
_PARTS: dict[str | None, dict[str, tuple[str, ...]]] = {
    "counter": {"_total": ()},
    "gauge": {"": ()},
    "histogram": {"_bucket": ("le",), "_sum": (), "_count": ()},
}


def exposed(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    """Return the series that a registry can show, by name, with their labels."""
    described: list[tuple[str, str | None, tuple[str, ...]]] = []
    for one in set(registry._names_to_collectors.values()):
        match one:
            case MetricWrapperBase():
                described.append((one._name, one._type, tuple(one._labelnames)))
            case Counter():
                described.append((one._name, "counter", one._labels))
            case Histogram():
                described.append((one._name, "histogram", (one._label,)))
    return {
        name + suffix: (*labels, *more) for name, kind, labels in described for suffix, more in _PARTS[kind].items()
    }


def migration_gauges() -> dict[str, tuple[str, ...]]:
    """Return the gauges of a migration with their labels: from its own registry, where the package has one."""
    try:
        module = importlib.import_module("gateway.migration.metrics")
    except ModuleNotFoundError:
        return _MIGRATION
    return exposed(module.MigrationMetrics().registry)


def rules() -> list[dict[str, Any]]:
    """Return the recording and alert rules."""
    files = [yaml.safe_load((RULES / name).read_text()) for name in ("recording.yml", "alerts.yml")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    document: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "stage-gateway.json").read_text())
    return document


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
