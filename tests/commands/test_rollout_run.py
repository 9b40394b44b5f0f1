"""`stage-gateway rollout run`: steps while the gate is ready, back when an alert fires, else to a person."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clock import eventually
from support.process import Serve
from support.prometheus import free_port
from support.rollout import BAD, TOKEN, Rollout
from support.upstream import RecordingUpstream

from gateway.commands.fleet import Fleet
from gateway.commands.rollout_run import Runner
from gateway.commands.rollout_way import Measured, Way
from gateway.promotion.gates import Alert, EndpointFigures, judge
from gateway.promotion.gates import Measured as Figures
from gateway.promotion.position import InForce, position_of


@pytest.fixture(scope="module")
def running(serve: Serve, recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    return Rollout(tmp_path_factory.mktemp("rollout"), recorder.port).start(serve)


@pytest.fixture
def rollout(running: Rollout) -> Iterator[Rollout]:
    running.reset(1)
    yield running
    running.others.clear()


def asked(rollout: Rollout, *firing: Alert, enough: bool = True) -> Callable[[], Measured]:
    """Return what gives figures that are all good but for the alerts that fire, and for their number."""

    def ask() -> Measured:
        figures = EndpointFigures(1e6 if enough else 1, 0, 0, 0, 0.001, 0.001, 0.0)
        position = position_of(InForce("", "", enforce_write_only=False, endpoints={}), rollout.plan)
        return position, judge(position.gates, Figures("the test", {"/e": figures}, firing=firing))

    return ask


def way(rollout: Rollout, ask: Callable[[], Measured], output: Path | None = None) -> Way:
    fleet = Fleet(tuple(f"http://127.0.0.1:{gateway.admin}" for gateway in rollout.gateways), TOKEN)
    name = None if output is None else "stage-gateway"
    return Way(rollout.plan, fleet, rollout.target, ask, print, output is None, output, name)


def test_to_the_end_of_the_plan(rollout: Rollout) -> None:
    """While requests come that are good it takes each step, in order, and ends by 0 after the last."""
    command = rollout.begin("run", "--write", "--interval", "0.05s")
    seen = [rollout.steps()]
    while command.poll() is None:
        rollout.fill()
        seen.append(rollout.steps())
    _, err = command.communicate()
    assert command.returncode == 0, err
    assert (rollout.steps(), rollout.on_disk()) == ([5, 5], 5)
    lowest = [min(steps) for steps in seen]
    assert lowest == sorted(lowest)
    messages = [json.loads(line)["message"] for line in err.splitlines() if line.startswith("{")]
    assert messages.count("step is in force") == 4


def test_not_ready_is_for_a_person(rollout: Rollout) -> None:
    """The first NOT_READY ends it by 1, with the figures in the log, and nothing is changed."""
    rollout.fill()
    rollout.send(BAD, 1)
    told = rollout("run", "--write", "--interval", "0.05s")
    assert (told.code, rollout.steps()) == (1, [1, 1])


@pytest.mark.parametrize(("enough", "steps"), [(True, [2, 2]), (False, [1, 1])])
def test_once(rollout: Rollout, enough: bool, steps: list[int]) -> None:
    """With --once it takes one step at most, and ends by 0 also while there is not enough data."""
    assert Runner(way(rollout, asked(rollout, enough=enough)), 60).run(once=True) == 0
    assert rollout.steps() == steps


def test_once_and_a_gateway_is_away(rollout: Rollout) -> None:
    """With --once it ends by 3 when a gateway cannot be reached."""
    rollout.others.append(f"http://127.0.0.1:{free_port()}")
    assert rollout("run", "--write", "--once").code == 3
    assert rollout.steps() == [1, 1]


def test_back_when_an_alert_fires(rollout: Rollout) -> None:
    """A named alert leads back, whatever else the figures say; then it waits until a person has taken a step."""
    rollout.reset(3)
    alert = Alert("StageValidatorErrors", "/e")
    assert Runner(way(rollout, asked(rollout, alert, enough=False)), 60).run(once=False) == 1
    assert (rollout.steps(), rollout.held()) == ([2, 2], [{}, {}])
    assert Runner(way(rollout, asked(rollout)), 60).run(once=False) == 1
    assert rollout.steps() == [2, 2]
    assert "waits for a person: alerts fire: StageValidatorErrors (/e)" in rollout("status").out
    assert rollout("next", "--write", "--force", "mended").code == 0
    assert Runner(way(rollout, asked(rollout)), 60).run(once=True) == 0
    assert rollout.steps() == [4, 4]


def test_alert_that_is_not_named(rollout: Rollout) -> None:
    """An alert that the gate does not name changes nothing."""
    assert Runner(way(rollout, asked(rollout, Alert("StageMigrationStalled", "all"))), 60).run(once=True) == 0
    assert rollout.steps() == [2, 2]


def test_with_a_config_map(rollout: Rollout, tmp_path: Path) -> None:
    """With --output the file is always there: a patch with a step's file, or one that changes nothing."""
    made = tmp_path / "patch.json"

    def once(*firing: Alert, enough: bool = True) -> int:
        made.unlink(missing_ok=True)
        return Runner(way(rollout, asked(rollout, *firing, enough=enough), made), 60).run(once=True)

    def apply() -> None:
        rollout.target.write_text(json.loads(made.read_text())["data"]["gateway.json"])
        for gateway in rollout.gateways:
            rollout.reload(gateway)

    assert (once(enough=False), made.read_text()) == (0, "{}\n")
    assert once() == 0
    apply()
    assert rollout.steps() == [2, 2]
    assert once(Alert("StageValidatorErrors", "/e")) == 0
    eventually(lambda: all(rollout.held()))
    apply()
    assert (once(), rollout.steps(), rollout.held(), made.read_text()) == (0, [1, 1], [{}, {}], "{}\n")
    assert (once(), made.read_text()) == (1, "{}\n")
