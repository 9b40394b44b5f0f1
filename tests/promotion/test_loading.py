"""Plans that cannot be loaded: everything that is wrong is named at once, each fault with its place and the cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.promotion.loading import load_plan

STRATEGIES, ONE, SIMULATE = "/api/portfolio/strategies", "/api/portfolio/strategies/:id", "/api/monte-carlo/simulate"
Document = dict[str, Any]


class Room:
    """A folder with a good plan of three phases, parts of which a test spoils."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan: Document = {
            "phases": [
                {"file": "1.json"},
                {"file": "2.json", "percent": [10, 100]},
                {"file": "3.json", "percent": {SIMULATE: [50, 100]}},
            ]
        }
        self.files: dict[str, Any] = {
            "1.json": self._phase("warn", "warn"),
            "2.json": self._phase("enforce", "warn"),
            "3.json": self._phase("enforce", "enforce"),
        }

    @staticmethod
    def _phase(writes: str, reads: str) -> Document:
        upstreams = {"all": {"url": "http://127.0.0.1:1"}}
        return {"endpointMode": {STRATEGIES: writes, ONE: writes, SIMULATE: reads}, "upstreams": upstreams}

    def endpoints(self, **changes: Any) -> Document:
        """Return endpoints for a file: one for writes, with changes."""
        one = {"operation": "write", "stages": [{"keys": "/a", "required": True}, {"value": "/b"}], **changes}
        read = {"operation": "read", "stages": [{"query": "stage"}]}
        return {STRATEGIES: one, ONE: one, SIMULATE: read}

    def load(self) -> list[str]:
        """Return what is wrong, nothing for a good plan."""
        for name, document in self.files.items():
            (self.folder / name).write_text(json.dumps(document))
        file = self.folder / "plan.json"
        file.write_text(json.dumps(self.plan))
        try:
            load_plan(file)
        except ConfigurationError as error:
            return list(error.problems)
        return []


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def weakened_mode(room: Room) -> None:
    room.files["3.json"]["endpointMode"][ONE] = "warn"


def lower_percent(room: Room) -> None:
    room.files["3.json"]["enforcementPercent"] = 100
    room.plan["phases"][2]["percent"] = [50, 100]


def falling_climb(room: Room) -> None:
    room.plan["phases"][1]["percent"] = [25, 10, 100]


def short_climb(room: Room) -> None:
    room.plan["phases"][1]["percent"] = [10, 50]


def unknown_endpoint(room: Room) -> None:
    room.plan["phases"][2]["percent"] = {"/api/monte-carlo/simulat": [50, 100]}


def endpoint_that_warns(room: Room) -> None:
    room.plan["phases"][1]["percent"] = {SIMULATE: [50, 100]}


def unknown_alert(room: Room) -> None:
    room.plan["gates"] = {"alerts": ["StageValidatorError"]}


def gate_of_no_endpoint(room: Room) -> None:
    room.plan["gates"] = {"minValidationsOf": {"/api/portfolio/strategy": 5}}


def same_step(room: Room) -> None:
    room.plan["phases"].insert(1, {"file": "1.json"})


def other_vocabulary(room: Room) -> None:
    room.files["3.json"]["vocabulary"] = {"canonical": ["seed"], "aliases": {}}


def other_aliases_accepted(room: Room) -> None:
    room.files["3.json"]["vocabulary"] = {"acceptAliases": True}


def other_key(room: Room) -> None:
    room.files["3.json"]["enforcementKey"] = "fundId"


def missing_file(room: Room) -> None:
    del room.files["2.json"]


def bad_file(room: Room) -> None:
    room.files["2.json"]["endpointMode"][STRATEGIES] = "enforced"


def location_lost(room: Room) -> None:
    room.files["1.json"]["endpoints"] = room.files["2.json"]["endpoints"] = room.endpoints()
    room.files["3.json"]["endpoints"] = room.endpoints(stages=[{"keys": "/a", "required": True}])


def no_longer_required(room: Room) -> None:
    room.files["1.json"]["endpoints"] = room.files["2.json"]["endpoints"] = room.endpoints()
    room.files["3.json"]["endpoints"] = room.endpoints(stages=[{"keys": "/a"}, {"value": "/b"}])


def weights_no_longer(room: Room) -> None:
    room.files["1.json"]["endpoints"] = room.files["2.json"]["endpoints"] = room.endpoints(weightTolerance=0.01)
    room.files["3.json"]["endpoints"] = room.endpoints()


def endpoint_lost(room: Room) -> None:
    room.files["1.json"]["endpoints"] = room.files["2.json"]["endpoints"] = room.endpoints()
    room.files["3.json"]["endpoints"] = {k: v for k, v in room.endpoints().items() if k != ONE}
    del room.files["3.json"]["endpointMode"][ONE]


def misspelt(room: Room) -> None:
    room.plan["phasen"] = []


FAULTS: dict[Callable[[Room], None], str] = {
    weakened_mode: f"3 at 50 % protects writes less than 2 at 100 %: {ONE} falls from enforce at 100 % to warn",
    lower_percent: f"3 at 50 % protects writes less than 2 at 100 %: {STRATEGIES} falls from enforce at 100 % to",
    falling_climb: "$.phases[1].percent: got [25, 10, 100], expected percentages that climb",
    short_climb: "$.phases[1].percent: ends at 50, expected 100, the percentage of 2.json",
    unknown_endpoint: "did you mean '/api/monte-carlo/simulate'?",
    endpoint_that_warns: f'$.phases[1].percent["{SIMULATE}"]: {SIMULATE} is at warn in 2.json, expected one at enforce',
    unknown_alert: "did you mean 'StageValidatorErrors'?",
    gate_of_no_endpoint: '$.gates.minValidationsOf["/api/portfolio/strategy"]: is no endpoint',
    same_step: "1 is the same configuration as 1, expected each step once",
    other_vocabulary: "3 has vocabulary",
    other_aliases_accepted: "differ in vocabulary.acceptAliases",
    other_key: "3 has the enforcementKey 'fundId', 2 has 'requestId'",
    missing_file: "$.phases[1].file: 2.json: no such file",
    bad_file: f'$.phases[1].file: 2.json: $.endpointMode["{STRATEGIES}"]: got "enforced"',
    location_lost: f"{STRATEGIES} is no longer inspected at /b",
    no_longer_required: f"{STRATEGIES} no longer requires /a",
    weights_no_longer: f"{STRATEGIES} is inspected less: its weights are no longer looked at",
    endpoint_lost: f"{ONE} falls from enforce at 100 % to off",
    misspelt: "$.phasen: unknown member",
}


def test_good(room: Room) -> None:
    """The plan that the others spoil is good."""
    assert room.load() == []


@pytest.mark.parametrize(("spoil", "told"), FAULTS.items(), ids=lambda given: getattr(given, "__name__", ""))
def test_fault(room: Room, spoil: Callable[[Room], None], told: str) -> None:
    """Each fault is told with its place and what was expected."""
    spoil(room)
    problems = room.load()
    assert any(told in problem for problem in problems), problems


def test_all_at_once(room: Room) -> None:
    """Whatever is wrong with a plan, its phases and its gates is told in one go."""
    spoilers = (unknown_alert, gate_of_no_endpoint, falling_climb, weakened_mode, other_key, other_vocabulary)
    for spoil in spoilers:
        spoil(room)
    room.plan["gates"] = {"alerts": ["StageValidatorError"], "minValidationsOf": {"/api/portfolio/strategy": 5}}
    room.plan["phases"].append({"file": "3.json", "percent": {"/api/nowhere": [100]}})
    problems = "\n".join(room.load())
    named = [FAULTS[spoil] for spoil in spoilers if spoil is not weakened_mode]
    for told in (
        *named,
        f"{ONE} falls from enforce at 100 % to warn",
        "/api/nowhere",
        "3 is the same configuration as",
    ):
        assert told in problems, problems
    room.plan["phases"].append({"file": "none.json"})
    assert "$.phases[4].file: none.json: no such file" in "\n".join(room.load())


def test_stricter_inspection_is_no_fault(room: Room) -> None:
    """A later phase may look at more, require more and tolerate less."""
    room.files["1.json"]["endpoints"] = room.files["2.json"]["endpoints"] = room.endpoints(
        stages=[{"keys": "/a"}], weightTolerance=0.1
    )
    room.files["3.json"]["endpoints"] = room.endpoints(weightTolerance=0.01)
    assert room.load() == []


def test_missing_plan(tmp_path: Path) -> None:
    """A plan that is not there is told with where to name another."""
    with pytest.raises(ConfigurationError, match="STAGE_GATEWAY_PLAN"):
        load_plan(tmp_path / "no.json")


def write_text(room: Room, text: str) -> list[str]:
    """Write a plan that no document can be, beside good phases; returns what is wrong with it."""
    room.load()
    (room.folder / "plan.json").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_plan(room.folder / "plan.json")
    return list(caught.value.problems)


def test_name_that_stands_twice(room: Room) -> None:
    """A name that stands more than once is a fault: of two lists of phases people see the one, and get the other."""
    told = write_text(
        room, '{"phases": [{"file": "1.json"}], "gate": 1, "phases": [{"file": "3.json", "file": "2.json"}]}'
    )
    assert told[0].startswith("$.phases: stands more than once, the last time as")
    assert told[1].startswith("$.phases[0].file: stands more than once")
    assert "did you mean 'gates'?" in told[2]


@pytest.mark.parametrize(
    ("percent", "told"),
    [
        ([10, "x"], '$.phases[1].percent[1]: got "x", expected a number'),
        ([10, 101], "$.phases[1].percent[1]: got 101, expected at most 100"),
        ([], "$.phases[1].percent: got [], expected at least one"),
        ({ONE: []}, f'$.phases[1].percent["{ONE}"]: got [], expected at least one'),
        ({ONE: 5}, f'$.phases[1].percent["{ONE}"]: got 5, expected a list'),
        ({}, "$.phases[1].percent: got {}, expected at least one"),
        (50, "$.phases[1].percent: got 50, expected a list"),
    ],
)
def test_percentages_of_a_wrong_kind(room: Room, percent: Any, told: str) -> None:
    """A fault in percentages is told once, with its place in the file."""
    room.plan["phases"][1]["percent"] = percent
    assert room.load() == [told]


def test_name_that_no_file_can_have(room: Room) -> None:
    """A phase's file with a name that no file can have is told as one that cannot be read."""
    room.plan["phases"][1]["file"] = "2\0.json"
    assert any("cannot be read: no file can have this name" in told for told in room.load())
