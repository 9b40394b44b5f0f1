"""`stage-gateway check` and `schema` about the plan of a rollout."""

import json
from pathlib import Path

import pytest

from gateway.cli import main

GOOD = {"upstreams": {"all": {"url": "http://127.0.0.1:1"}}}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run where there is a good configuration, no plan, and no setting of whoever runs the tests."""
    for name in ("PLAN", "CONFIG", "PROMETHEUS_URL"):
        monkeypatch.delenv(f"STAGE_GATEWAY_{name}", raising=False)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.json").write_text(json.dumps(GOOD))
    monkeypatch.chdir(tmp_path)


def test_plan_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan is checked where there is one; the default one may be missing, one that is named may not."""
    assert main(["check"]) == 0
    assert "steps" not in capsys.readouterr().out
    (tmp_path / "config" / "rollout.json").write_text('{"phases": [{"file": "gateway.json"}]}')
    assert main(["check"]) == 0
    assert f"{Path('config/rollout.json')}: good (1 steps)" in capsys.readouterr().out
    assert main(["check", "--plan", "none.json"]) == 2
    assert "none.json: no such file" in capsys.readouterr().err


def test_faults_of_both_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Faults of the configuration and of the plan are told together, by 2."""
    (tmp_path / "config" / "gateway.json").write_text(json.dumps({**GOOD, "enforcementPercent": 101}))
    (tmp_path / "config" / "rollout.json").write_text('{"gates": {"alerts": ["x"]}, "phases": [{"file": "no.json"}]}')
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    for place in ("$.enforcementPercent", "$.gates.alerts[0]", "$.phases[0].file: no.json: no such file"):
        assert place in told


def test_schema_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """`schema --plan` prints what is committed, to the byte."""
    assert main(["schema", "--plan"]) == 0
    committed = Path(__file__).parents[2] / "config" / "rollout.schema.json"
    assert capsys.readouterr().out == committed.read_text(encoding="utf-8")
