"""The runbook has what every alert links to, and everything that a phase of the plan needs."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from support.deployed import dashboard, rules
from support.prometheus import DEPLOY, RULES

SECTIONS = re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", (DEPLOY / "runbook.md").read_text(), re.MULTILINE)
NAMES = sorted({rule["alert"] for rule in rules() if "alert" in rule})

DEMOTED = {"StageValidatorErrors", "StageOverrideActive"}
PHASES = {heading: text for heading, text in SECTIONS if heading.startswith("Phase ")}
[MODES] = [heading for heading, _ in SECTIONS if heading.startswith("Modes")]


def anchor(heading: str) -> str:
    """Return the fragment of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_link_of_an_alert_leads_to_its_section() -> None:
    """Each runbook_url is the configured address with the anchor of a section named as the alert."""
    base = tomllib.loads((RULES / "numbers.toml").read_text())["runbook_url"]
    assert base.endswith("deploy/runbook.md")
    sections = {anchor(heading): heading for heading, _ in SECTIONS}
    for rule in rules():
        if "alert" in rule:
            address, _, fragment = rule["annotations"]["runbook_url"].partition("#")
            assert address == base
            assert sections[fragment] == rule["alert"]


def test_no_section_is_about_an_alert_that_is_gone() -> None:
    """Every section that is named as an alert is about one that there is, and each alert has one."""
    assert sorted(heading for heading, _ in SECTIONS if heading.startswith("Stage")) == NAMES


def test_phases_of_the_plan_are_walked_in_its_order() -> None:
    """The files that the sections of the phases name are those of the plan, in its order."""
    plan = json.loads((DEPLOY.parent / "config" / "rollout.json").read_text())
    named = re.compile(r"^\*\*File\*\* `([^`]+)`", re.MULTILINE)
    found = dict.fromkeys(name for text in PHASES.values() for name in named.findall(text))
    assert list(found) == [Path(phase["file"]).name for phase in plan["phases"]]


@pytest.mark.parametrize("heading", PHASES)
def test_every_phase_has_gates_and_a_way_back(heading: str) -> None:
    """A phase says its file, what to do and to watch and how to go back; its gates are commands with their answers."""
    said = re.split(r"^\*\*(File|Entry|Do|Watch|Exit|Back)\*\*", PHASES[heading], flags=re.MULTILINE)
    assert list(dict.fromkeys(said[1::2])) == ["File", "Entry", "Do", "Watch", "Exit", "Back"]
    parts = dict(zip(said[1::2], said[2::2], strict=True))
    for gate in ("Entry", "Exit"):
        assert re.search(r"^# exits \d: \S", parts[gate], re.MULTILINE), gate


@pytest.mark.parametrize("name", [name for name in NAMES if "Invalid" in name or name in DEMOTED])
def test_a_demotion_can_be_undone_and_made_to_last(name: str) -> None:
    """A section about a demotion leads to how it is cleared, and how it is made permanent in the file."""
    assert f"](#{anchor(MODES)})" in dict(SECTIONS)[name].partition("**Back**")[2]
    for part in ("**Make a demotion permanent**", "`endpointMode`", "mode --clear ENDPOINT", "stage-gateway check"):
        assert part in dict(SECTIONS)[MODES]


@pytest.mark.parametrize("name", NAMES)
def test_every_section_says_what_to_do(name: str) -> None:
    """A section says what the alert means, what to look at, what to do and how to go back."""
    text = dict(SECTIONS)[name]
    for part in ("Means", "Look", "Do", "Back"):
        assert f"**{part}**" in text, part


def test_the_dashboard_is_where_the_alerts_say() -> None:
    """Each dashboard_url ends in the dashboard's uid and names a variable it has."""
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]}
    for rule in rules():
        if "alert" in rule:
            address, _, query = rule["annotations"]["dashboard_url"].partition("?")
            assert address.endswith(f"/d/{dashboard()['uid']}")
            assert query == "" or query.partition("=")[0].removeprefix("var-") in variables


def test_links_inside_lead_somewhere() -> None:
    """Every link within the runbook has its target."""
    text = (DEPLOY / "runbook.md").read_text()
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    for path in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text):
        assert (DEPLOY / path).exists(), path
