"""The runbook has what every alert links to."""

import re
import tomllib

import pytest
from support.deployed import dashboard, rules
from support.prometheus import DEPLOY, RULES

SECTIONS = re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", (DEPLOY / "runbook.md").read_text(), re.MULTILINE)
NAMES = sorted({rule["alert"] for rule in rules() if "alert" in rule})

DEMOTED = {"StageValidatorErrors", "StageOverrideActive"}


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
    """Every section but the one about modes is an alert's, and each alert has one."""
    headings = [heading for heading, _ in SECTIONS]
    assert sorted(headings[1:]) == NAMES
    assert headings[0].startswith("Modes")


@pytest.mark.parametrize("name", [name for name in NAMES if "Invalid" in name or name in DEMOTED])
def test_a_demotion_can_be_undone_and_made_to_last(name: str) -> None:
    """A section about a demotion leads to how it is cleared, and how it is made permanent in the file."""
    heading, text = SECTIONS[0]
    assert f"](#{anchor(heading)})" in dict(SECTIONS)[name].partition("**Back**")[2]
    for part in ("**Make a demotion permanent**", "`endpointMode`", "mode --clear ENDPOINT", "stage-gateway check"):
        assert part in text


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
