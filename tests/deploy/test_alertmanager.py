"""Alertmanager's configuration by amtool, and where it sends what."""

import pytest
from support.prometheus import DEPLOY, RULES, run

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"


def test_the_checkers_accept_the_configurations() -> None:
    """`amtool check-config` and `promtool check config` pass."""
    code, said = run("amtool", "check-config", CONFIG)
    assert code == 0, said
    code, said = run("promtool", "check", "config", RULES / "prometheus.yml")
    assert code == 0, said


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=StageInvalidRateCeiling severity=critical action=demote endpoint=/api", "gateways,page"),
        ("alertname=StageValidatorErrors severity=critical action=demote endpoint=/api", "gateways,page"),
        ("alertname=StageInvalidRateHigh severity=warning endpoint=/api", "ticket"),
        ("alertname=StageMetricsMissing severity=critical endpoint=all", "page"),
        ("alertname=StageOverrideActive severity=info endpoint=/api", "log"),
        ("alertname=AnotherTeams", "ticket"),
    ],
)
def test_each_alert_goes_where_it_should(labels: str, receivers: str) -> None:
    """A demotion goes to the gateways and to people, the rest by severity."""
    code, said = run("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *labels.split())
    assert (code, said.splitlines()[-1]) == (0, receivers)
