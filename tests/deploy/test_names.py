"""Every metric and label that a rule, an alert or the dashboard names is one that is exposed, and explained."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deployed import dashboard, exposed, migration_gauges, panels, rules

from gateway.telemetry.metrics import Metrics

README = Path(__file__).parents[2] / "README.md"
TARGET = {"job", "instance"}
ALERTS = {"alertname", "alertstate", "endpoint", "severity"}
FUNCTIONS = {"by", "on", "without"}
Named = tuple[str, str, tuple[str, ...]]


def identifiers(expression: str) -> set[str]:
    """Return the metrics that an expression names, from what is left when texts, groupings and functions are gone."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|on|without)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\boffset \S+", " ", bare)
    found = set(re.findall(r"[A-Za-z_][\w:]*(?!\w|\s*\()", bare))
    return found - {"and", "or", "unless"} - FUNCTIONS


def labelled(expression: str) -> Iterator[tuple[str, str]]:
    """Give each selector's metric with each label that it asks for."""
    for name, selector in re.findall(r"([A-Za-z_][\w:]*)\{([^}]*)\}", expression):
        for label in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', selector):
            yield name, label


def grouped(expression: str) -> set[str]:
    """Return the labels that an expression groups or matches by."""
    lists = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression)
    return {label.strip() for one in lists for label in one.split(",")}


def made(expression: str) -> set[str]:
    """Return the labels that an expression itself makes."""
    return set(re.findall(r'label_replace\(.*?, "(\w+)", "\w+", "", ""\)', expression, re.DOTALL))


def expressions() -> list[Named]:
    """Return where each expression stands, the expression, and the texts that name its labels."""
    found: list[Named] = []
    for rule in rules():
        texts = [re.sub(r"\$labels\.(\w+)", r"{{\1}}", text) for text in rule.get("annotations", {}).values()]
        found.append((rule.get("record") or rule["alert"], rule["expr"], tuple(texts)))
    for panel in panels():
        found += [(panel["title"], target["expr"], (target["legendFormat"],)) for target in panel["targets"]]
    for one in dashboard()["annotations"]["list"]:
        tags = tuple(f"{{{{{tag}}}}}" for tag in one["tagKeys"].split(","))
        found.append((one["name"], one["expr"], (one["titleFormat"], *tags)))
    return found


def known() -> dict[str, set[str]]:
    """Return the labels of every metric: the gateway's, the migration's, Prometheus' own, and the recorded ones."""
    labels = {name: {*of, *TARGET} for name, of in {**exposed(Metrics().registry), **migration_gauges()}.items()}
    labels |= {"up": set(TARGET), "ALERTS": ALERTS}
    for rule in rules():
        if "record" in rule:
            inner = set().union(*(labels[name] for name in identifiers(rule["expr"])))
            labels[rule["record"]] = inner & (grouped(rule["expr"]) or inner)
    return labels


@pytest.mark.parametrize(("place", "expression", "texts"), expressions())
def test_named_metrics_and_labels_are_exposed(place: str, expression: str, texts: tuple[str, ...]) -> None:
    """No rule, panel or annotation asks for a metric or a label that nobody exposes."""
    labels = known()
    names = identifiers(expression)
    assert names, place
    assert names <= set(labels), place
    for name, label in labelled(expression):
        assert label in labels[name], (place, name)
    carried = set().union(*(labels[name] for name in names)) | made(expression)
    assert grouped(expression) <= carried, place
    for text in texts:
        wanted = set(re.findall(r"{{\s*(\w+)", text)) - {"value"}
        assert wanted <= carried | {"endpoint"}, (place, text)


def test_a_name_nobody_exposes_is_noticed() -> None:
    """The test above sees a metric and a label that are not there."""
    expression = 'sum by (endpoint) (rate(stage_validation_error_total{reasons="alias"}[5m])) / on (fund) up > 0.5'
    assert identifiers(expression) == {"stage_validation_error_total", "up"}
    assert list(labelled(expression)) == [("stage_validation_error_total", "reasons")]
    assert grouped(expression) == {"endpoint", "fund"}


def test_the_readme_explains_every_metric() -> None:
    """Each metric stands in a table of the README with its labels."""
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `stage_")]
    for name, labels in {**exposed(Metrics().registry), **migration_gauges()}.items():
        series = re.sub(r"_(bucket|sum|count)$", "", name)
        found = [row for row in rows if f"`{series}`" in row]
        assert found, f"{series} is not in the README"
        named = set(re.findall(r"\w+", found[0].split("|")[2]))
        assert set(labels) - {"le"} <= named, series


def test_the_readme_explains_every_recorded_series() -> None:
    """The recorded series that people may build on are named in the README."""
    text = README.read_text()
    for name in ("invalid_rate:ratio", "invalid_rate:baseline", "latency:p99", "latency:p99_baseline"):
        assert f"`stage_validation_{name}`" in text
    assert "`stage_validation_would_reject_rate:ratio`" in text
