"""The file of a step: the phase's, under a note, its schema named from where it stands; and how it is told."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.promotion import making
from gateway.promotion.enforcement import enforcement
from gateway.promotion.loading import load_plan
from gateway.promotion.plan import Plan
from gateway.rules.load import parse

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
STRATEGIES = "/api/portfolio/strategies"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(Path("config/rollout.json"))


def test_every_file(plan: Plan) -> None:
    """The file of every step of the shipped plan loads as that step, and loads its note."""
    for step in plan.steps:
        note = making.note_of(plan, step, None, by="ann@host", at=AT, forced=None)
        found = parse(making.made(step, note, Path("config")))
        assert found.fingerprint == step.fingerprint
        assert dict(found.rollout or {}) == {**note, "forced": []}


@pytest.mark.parametrize(
    ("folder", "schema"),
    [("config", "./gateway.schema.json"), ("config/phases", "../gateway.schema.json"), ("/", None)],
)
def test_schema_is_named_from_the_folder(plan: Plan, folder: str, schema: str | None) -> None:
    """Wherever a file stands, its schema leads to the same file."""
    found = json.loads(making.made(plan.steps[0], {"phase": "p", "step": 1, "by": "b", "at": "t"}, Path(folder)))
    assert next(iter(found)) == "$schema"
    if schema is None:
        schema = found["$schema"]
        assert schema.startswith("./")
    assert found["$schema"] == schema


def test_forced_steps_are_told_until_the_way_back(plan: Plan) -> None:
    """What was forced stays in the notes of later steps, and goes when a step before it is taken."""
    third = making.note_of(plan, plan.steps[2], None, by="ann", at=AT, forced="why")
    fourth = making.note_of(plan, plan.steps[3], third, by="bob", at=AT, forced=None)
    assert (
        fourth["forced"]
        == third["forced"]
        == [{"step": plan.steps[2].name, "reason": "why", "by": "ann", "at": "2026-01-31T12:00:00Z"}]
    )
    assert "forced" not in making.note_of(plan, plan.steps[1], fourth, by="ann", at=AT, forced=None)
    again = making.note_of(plan, plan.steps[2], third, by="ann", at=AT, forced="once more")
    assert [one["reason"] for one in again["forced"]] == ["once more"]


def test_summary(plan: Plan) -> None:
    """Each endpoint that is treated otherwise is told with from what to what, in both directions."""
    first, second = plan.steps[0].rules, plan.steps[1].rules
    assert f"{STRATEGIES} gets stricter: from warn to enforce at 10 %" in list(
        making.summary(enforcement(first), second)
    )
    assert f"{STRATEGIES} gets less strict: from enforce at 10 % to warn" in list(
        making.summary(enforcement(second), first)
    )
    assert list(making.summary(enforcement(first), first)) == []


def test_difference_is_of_what_is_meant(plan: Plan) -> None:
    """Layout, schema and note make no difference."""
    step = plan.steps[1]
    note = {"phase": "p", "step": 2, "by": "b", "at": "t"}
    assert making.difference(json.dumps(json.loads(step.text)), making.made(step, note, None), "a", "b") == []
    changed = making.difference(plan.steps[2].text, step.text, "old", "new")
    assert changed[:2] == ["--- old", "+++ new"]
    assert '-  "enforcementPercent": 25,' in changed
    assert '+  "enforcementPercent": 10,' in changed


def test_patch() -> None:
    """A patch is one of a ConfigMap; without a text it changes nothing."""
    assert json.loads(making.patch("c", "gateway.json", "{}"))["data"] == {"gateway.json": "{}"}
    assert making.patch("c", "gateway.json", None) == "{}\n"
