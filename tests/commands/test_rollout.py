"""`stage-gateway rollout status` and `next` on running gateways."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import eventually
from support.process import COMMAND, Gateway, Serve
from support.prometheus import free_port
from support.rollout import BAD, NAMES, SIMULATE, STRATEGIES, Rollout
from support.upstream import RecordingUpstream

from gateway.commands.asking import addresses
from gateway.promotion import replacing
from gateway.rules.load import load
from gateway.settings import read_settings

NOBODY = 65534


@pytest.fixture(scope="module")
def running(serve: Serve, recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    return Rollout(tmp_path_factory.mktemp("rollout"), recorder.port).start(serve)


@pytest.fixture
def rollout(running: Rollout) -> Iterator[Rollout]:
    """Give the gateways at the first step, with nothing held."""
    for file in running.folder.glob("gateway.json.*"):
        file.unlink()
    running.reset(1)
    yield running
    running.others.clear()


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.admin}"


def change(file: Path, **members: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **members}))


class TestStatus:
    def test_whole_plan(self, rollout: Rollout) -> None:
        """Every step stands there as done, here or to come, with the gate of the next one and what the file holds."""
        rollout.reset(2)
        told = rollout("status")
        rows = [line for line in told.out.splitlines() if any(name in line for name in NAMES) and "│" in line]
        assert [row.split("│")[1].strip() for row in rows] == ["done", "here", "to come", "to come", "to come"]
        assert "next is 2-writes at 100 %, when: at least 5 validations" in told.out
        assert "holds 2-writes at 10 %, which is in force" in told.out
        assert told.code == 0

    def test_json(self, rollout: Rollout) -> None:
        """With --json the same stands in one document."""
        document = rollout("status", "--json").json()
        assert [step["state"] for step in document["steps"]] == ["here", *["to come"] * 4]
        assert {one["step"] for one in document["gateways"].values()} == {"1-base"}
        assert (document["mixed"], document["next"]["name"], document["forced"]) == (False, NAMES[1], [])

    def test_mixed_and_held(self, rollout: Rollout) -> None:
        """Gateways in several configurations are told one by one, with what is held on each and the newer file."""
        rollout.put(2)
        rollout.reload(rollout.gateways[1])
        rollout.hold(rollout.gateways[0], SIMULATE)
        document = rollout("status", "--json").json()
        first, second = (document["gateways"][address(gateway)] for gateway in rollout.gateways)
        assert (first["step"], second["step"], document["mixed"]) == (NAMES[0], NAMES[1], True)
        assert first["held"][SIMULATE]["reason"] == "a person's"
        assert f"not in force on {address(rollout.gateways[0])}; the next command goes on" in document["file"]

    def test_changed_and_elsewhere(self, rollout: Rollout) -> None:
        """A step whose file was changed otherwise is told as that step; what enforces as no step does is none."""
        change(rollout.target, metrics={"maxFunds": 7})
        rollout.reload(rollout.gateways[0])
        change(rollout.target, endpointMode={SIMULATE: "enforce"})
        rollout.reload(rollout.gateways[1])
        told = rollout("status")
        assert "from a file that was changed since" in told.out
        assert "which is no step" in told.out

    def test_one_cannot_be_reached(self, rollout: Rollout) -> None:
        """What answers is shown, who does not is named, and the exit is 3."""
        rollout.others.append(f"http://127.0.0.1:{free_port()}")
        told = rollout("status", "--json")
        assert told.code == 3
        assert [*told.json()["unreachable"]] == rollout.others
        assert len(told.json()["gateways"]) == 2


class TestNext:
    def test_shows_and_writes_nothing(self, rollout: Rollout) -> None:
        """With neither --write nor --output the difference is shown, in words and line by line, and nothing is done."""
        rollout.fill()
        told = rollout("next")
        assert told.code == 0, told.all
        assert f"{STRATEGIES} gets stricter: from warn to enforce at 10 %" in told.out
        assert '+  "enforcementPercent": 10' in told.out
        assert (rollout.steps(), rollout.on_disk()) == ([1, 1], 1)

    def test_step(self, rollout: Rollout) -> None:
        """When the gate is READY, --write puts the next step in force on every gateway and keeps the old file."""
        rollout.fill()
        before = rollout.target.read_text()
        told = rollout("next", "--write")
        assert told.code == 0, told.all
        assert (rollout.steps(), rollout.on_disk()) == ([2, 2], 2)
        assert rollout.target.with_name("gateway.json.before").read_text() == before
        assert json.loads(rollout.target.read_text())["$schema"] == "./gateway.schema.json"
        assert told.out.endswith("2-writes at 10 % is in force on all 2 gateways\n")
        samples = rollout.gateways[0].metrics()
        assert samples.series("stage_gateway_rollout_step") == {frozenset({("phase", "2-writes")}): 2}

    @pytest.mark.parametrize("bad", [0, 1])
    def test_refused(self, rollout: Rollout, bad: int) -> None:
        """While the gate is not READY it exits 1 with the figures, and nothing is written."""
        if bad:
            rollout.fill()
            rollout.send(BAD, bad)
        told = rollout("next", "--write", "--json")
        assert (told.code, told.json()["result"]) == (1, "refused")
        assert told.json()["readiness"]["answer"] == ("NOT_READY" if bad else "INSUFFICIENT_DATA")
        assert (rollout.steps(), rollout.on_disk()) == ([1, 1], 1)

    def test_force(self, rollout: Rollout) -> None:
        """A step that is forced is logged, and told by every gateway until the way back undoes it."""
        told = rollout("next", "--write", "--force", "the board wants it")
        assert (told.code, rollout.steps()) == (0, [2, 2])
        for gateway in rollout.gateways:
            note = gateway.status()["config"]["rollout"]
            assert [(one["step"], one["reason"]) for one in note["forced"]] == [(NAMES[1], "the board wants it")]
            assert gateway.logs("configuration reloaded")[-1]["rollout"]["forced"] == note["forced"]
        rollout.fill()
        assert rollout("next", "--write").code == 0
        assert "2-writes at 10 % was taken by force" in rollout("status").out
        assert [rollout("back").code, rollout("back").code] == [0, 0]
        assert (rollout.steps(), rollout("status", "--json").json()["forced"]) == ([1, 1], [])

    def test_needless_force(self, rollout: Rollout) -> None:
        """A step whose gate is READY was not taken by force, whatever was given."""
        rollout.fill()
        assert rollout("next", "--write", "--force", "to be sure").code == 0
        assert "forced" not in json.loads(rollout.target.read_text())["rollout"]

    def test_note_is_no_part_of_the_configuration(self, rollout: Rollout) -> None:
        """The file that was made has the fingerprint of the step, note or not."""
        rollout("next", "--write", "--force", "r")
        made = load(rollout.target)
        assert made.rollout is not None
        assert made.fingerprint == rollout.plan.steps[1].fingerprint

    def test_unreachable(self, rollout: Rollout) -> None:
        """A gateway that cannot be reached before anything is written keeps everything as it was, and exits 3."""
        rollout.fill()
        rollout.others.append(f"http://127.0.0.1:{free_port()}")
        told = rollout("next", "--write", "--force", "r")
        assert told.code == 3
        assert rollout.others[0] in told.err
        assert (rollout.steps(), rollout.on_disk()) == ([1, 1], 1)

    def test_wrong_token(self, rollout: Rollout) -> None:
        """A token that no gateway takes is found before anything is written."""
        rollout.token.write_text("another")
        try:
            told = rollout("next", "--write", "--force", "r")
        finally:
            rollout.token.write_text("the token of the tests")
        assert told.code == 2
        assert "nothing was written" in told.err
        assert rollout.on_disk() == 1

    def test_two_at_once(self, rollout: Rollout) -> None:
        """The second one is told who is at it, exits 1, and does nothing."""
        with replacing.locked(rollout.target, "ann@host"):
            told = rollout("next", "--write", "--force", "r")
        assert told.code == 1
        assert f"is being changed by ann@host (process {os.getpid()})" in told.err
        assert rollout.on_disk() == 1
        assert rollout("next", "--write", "--force", "r").code == 0

    def test_two_processes_at_once(self, rollout: Rollout) -> None:
        """Of two commands given at the same moment one takes the step, and the other takes none."""
        commands = [rollout.begin("next", "--write", "--force", "r") for _ in range(2)]
        ended = sorted((command.communicate(), command.returncode)[1] for command in commands)
        steps = rollout.steps()
        assert (ended, steps) in [([0, 1], [2, 2]), ([0, 0], [3, 3])]  # the second may come when the first has ended

    def test_other_file(self, rollout: Rollout) -> None:
        """A file that holds anything but what is in force is left alone, with the cure."""
        rollout.put(4)
        told = rollout("next", "--write", "--force", "r")
        assert told.code == 1
        assert "which no gateway has in force; reload them, or put it back" in told.err
        rollout.target.write_text("{")
        told = rollout("next", "--write", "--force", "r")
        assert (told.code, rollout.target.read_text()) == (1, "{")
        assert "put the file of a step there" in told.err

    def test_read_only_file(self, rollout: Rollout) -> None:
        """A file that nobody may write is left alone; the exit is 3, and the cure is told."""
        rollout.target.chmod(0o444)
        try:
            told = rollout("next", "--write", "--force", "r")
        finally:
            rollout.target.chmod(0o640)
        assert (told.code, rollout.on_disk()) == (3, 1)
        assert "take --output" in told.err
        assert rollout("next", "--write", "--force", "r").code == 0
        assert rollout.target.stat().st_mode & 0o777 == 0o640

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
    def test_read_only_folder(self, rollout: Rollout) -> None:
        """Who may not write the folder changes nothing, and is told which file could not be written."""
        for folder in (rollout.folder, *rollout.folder.parents):
            if not folder.stat().st_mode & 0o005:
                folder.chmod(0o755)
        rollout("status")  # which imports everything, as nobody may read it
        rollout("next")
        for words in (["next", "--write", "--force", "r"], ["back", "--timeout", "0"]):
            rollout.reset(2)
            os.seteuid(NOBODY)
            try:
                told = rollout(*words)
            finally:
                os.seteuid(0)
            assert told.code == 3, told.all
            assert "cannot be written: Permission denied" in told.err
            assert (rollout.steps(), rollout.on_disk()) == ([2, 2], 2)

    def test_output(self, rollout: Rollout, tmp_path: Path) -> None:
        """With --output the file is made elsewhere, its schema named from there, and nothing is reloaded."""
        rollout.fill()
        made = tmp_path / "made.json"
        assert rollout("next", "--output", str(made)).code == 0
        assert load(made).fingerprint == rollout.plan.steps[1].fingerprint
        schema = json.loads(made.read_text())["$schema"]
        assert (tmp_path / schema).resolve() == (rollout.folder / "gateway.schema.json").resolve()
        assert (rollout.steps(), rollout.on_disk()) == ([1, 1], 1)

    def test_config_map(self, rollout: Rollout, tmp_path: Path) -> None:
        """With --configmap it is a patch that puts the file under its name into that ConfigMap."""
        made = tmp_path / "patch.json"
        assert rollout("next", "--output", str(made), "--configmap", "stage-gateway", "--force", "r").code == 0
        patch = json.loads(made.read_text())
        assert (patch["kind"], patch["metadata"], [*patch["data"]]) == (
            "ConfigMap", {"name": "stage-gateway"}, ["gateway.json"],
        )  # fmt: skip
        rollout.target.write_text(patch["data"]["gateway.json"])
        assert rollout.on_disk() == 2

    def test_goes_on_where_some_gateways_have_it(self, rollout: Rollout) -> None:
        """When the file is there and in force on one gateway, the others read it, and no gate is asked."""
        rollout.put(2)
        rollout.reload(rollout.gateways[1])
        told = rollout("next", "--write")
        assert (told.code, rollout.steps()) == (0, [2, 2])
        assert "was begun" in told.err

    def test_file_is_there_and_in_force_nowhere(self, rollout: Rollout) -> None:
        """When the file is there and nobody has read it, the gate is asked again."""
        rollout.put(2)
        assert rollout("next", "--write").code == 1
        assert rollout.steps() == [1, 1]
        rollout.fill()
        assert (rollout("next", "--write").code, rollout.steps()) == (0, [2, 2])

    def test_several_configurations(self, rollout: Rollout) -> None:
        """Gateways that have several configurations for another reason take no step."""
        rollout.put(2)
        rollout.reload(rollout.gateways[1])
        rollout.put(1)
        told = rollout("next", "--write", "--force", "r")
        assert (told.code, rollout.steps()) == (1, [1, 2])

    def test_changed_file_is_taken_first(self, rollout: Rollout) -> None:
        """A step whose own file was changed is taken again, without a gate as long as nothing gets stricter."""
        rollout.reset(3)
        file = rollout.folder / "phases" / "2-writes.json"
        text = file.read_text()
        change(file, metrics={"maxFunds": 7})
        try:
            told = rollout("next", "--write")
            assert (told.code, rollout.steps()) == (0, [3, 3]), told.all
            assert "again, its file was changed" in told.out
            change(file, metrics={"maxFunds": 8}, vocabulary={"canonical": ["seed", "series-a"], "aliases": {}})
            plan = json.loads(rollout.file.read_text())
            plan["phases"] = plan["phases"][1:2]  # with the other vocabulary there is no plan of all phases
            rollout.file.write_text(json.dumps(plan))
            told = rollout("next", "--write")
            assert (told.code, rollout.steps()) == (1, [0, 0]), told.all
        finally:
            file.write_text(text)
            rollout.__post_init__()

    def test_never_weaker(self, rollout: Rollout) -> None:
        """A step that would look at less of what is written than the file in force is refused, --force or not."""
        rollout.reset(3)
        stages = [{"keys": "/stageAllocation"}, {"value": "/stage"}]
        one = {"operation": "write", "stages": stages}
        text = json.loads(rollout.target.read_text())
        endpoints = dict(load(rollout.target).document["endpoints"])
        endpoints = {name: {k: v for k, v in given.items() if v is not None} for name, given in endpoints.items()}
        rollout.target.write_text(json.dumps({**text, "endpoints": {**endpoints, STRATEGIES: one}}))
        for gateway in rollout.gateways:
            rollout.reload(gateway)
        told = rollout("next", "--write", "--force", "r")
        assert told.code == 1
        assert f"{STRATEGIES} is no longer inspected at /stage" in told.err
        rollout.put(3)  # so that only the gateways know what they have in force
        told = rollout("next", "--write", "--force", "r")
        assert (told.code, rollout.steps()) == (1, [0, 0])
        assert f"{STRATEGIES} is no longer inspected at /stage" in told.err

    def test_last_step(self, rollout: Rollout) -> None:
        """After the last step there is none."""
        rollout.reset(5)
        told = rollout("next", "--write")
        assert (told.code, told.err) == (1, f"3-all at 100 % is the last step of {rollout.file}\n")

    def test_no_step(self, rollout: Rollout) -> None:
        """From a configuration that is no step there is no next one; which ones there are is told."""
        change(rollout.target, endpointMode={SIMULATE: "enforce"})
        for gateway in rollout.gateways:
            rollout.reload(gateway)
        told = rollout("next", "--write", "--force", "r")
        assert told.code == 1
        assert f"is no step of {rollout.file}" in told.err

    def test_gateway_of_another_file(
        self, rollout: Rollout, serve: Serve, recorder: RecordingUpstream, tmp_path: Path
    ) -> None:
        """A gateway that reads another file does not come to the step; after the time it is told which one it reads."""
        other = Rollout(tmp_path / "other", recorder.port).start(serve, 1)
        rollout.others.append(address(other.gateways[0]))
        told = rollout("next", "--write", "--force", "r", "--timeout", "0.5")
        assert (told.code, rollout.steps(), other.steps()) == (3, [2, 2], [1])
        assert f"in force, from {other.target}" in told.err
        assert "go back with: stage-gateway rollout back" in told.err
        other.put(2)
        assert (rollout("next", "--write").code, other.steps()) == (0, [2])

    @pytest.mark.parametrize(
        "words",
        [
            ["next", "--write", "--output", "f"],
            ["next", "--configmap", "c"],
            ["next", "--force", " "],
            ["back", "--configmap", "c"],
            ["run"],
            ["run", "--output", "f"],
            ["run", "--write", "--interval", "soon"],
        ],
    )
    def test_wrong_usage(self, rollout: Rollout, words: list[str]) -> None:
        """What contradicts itself exits 2 in one line, and nothing is done."""
        told = rollout(*words)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
        assert rollout.on_disk() == 1


def test_every_address_of_a_name(rollout: Rollout) -> None:
    """`dns+http` asks every address that a name leads to, and a name that leads nowhere is a gateway not reached."""
    found = addresses(["dns+http://localhost:7", "http://10.0.0.1:8081"], read_settings())
    assert {"http://127.0.0.1:7", "http://10.0.0.1:8081"} <= {*found} <= {
        "http://127.0.0.1:7", "http://[::1]:7", "http://10.0.0.1:8081",
    }  # fmt: skip
    rollout.others.append("dns+http://no-such-name.invalid:8081")
    told = rollout("status")
    assert (told.code, told.err.count("cannot be looked up")) == (3, 1)


def test_plan_is_read_anew(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A plan with faults is logged and gives no metric, and one that was mended gives it after a reload."""
    rollout = Rollout(tmp_path, recorder.port)
    good = rollout.file.read_text()
    rollout.file.write_text("{")
    [gateway] = rollout.start(serve, 1).gateways
    eventually(lambda: any("rollout.json" in entry["message"] for entry in gateway.logs()))
    assert gateway.metrics().series("stage_gateway_rollout_step") == {}
    rollout.file.write_text(good)
    rollout.reload(gateway)
    eventually(lambda: gateway.metrics().get("stage_gateway_rollout_step", phase="1-base") == 1)


@pytest.mark.parametrize("name", ["status", "next", "back", "run"])
def test_commands_tell_how_to_use_them(name: str) -> None:
    """Every command of the group has help with an example."""
    told = subprocess.run([COMMAND, "rollout", name, "--help"], capture_output=True, text=True, check=True)
    assert f"stage-gateway rollout {name}" in told.stdout
