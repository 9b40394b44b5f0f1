"""`stage-gateway rollout back` on running gateways: holds at once, then the file, then the holds go."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clock import eventually, within
from support.process import Gateway, Serve
from support.prometheus import free_port
from support.redis import running as running_redis
from support.rollout import NAMES, SIMULATE, STRATEGIES, TOKEN, Rollout
from support.upstream import RecordingUpstream

from gateway.promotion import replacing

ONE = f"{STRATEGIES}/:id"


@pytest.fixture(scope="module")
def running(serve: Serve, recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    return Rollout(tmp_path_factory.mktemp("rollout"), recorder.port).start(serve)


@pytest.fixture
def rollout(running: Rollout) -> Iterator[Rollout]:
    """Give the gateways at the fourth step, with nothing held."""
    running.reset(4)
    yield running
    running.others.clear()


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.admin}"


@contextmanager
def silent() -> Iterator[str]:
    """Give the address of one who takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def messages(gateway: Gateway) -> list[str]:
    wanted = {"override set", "configuration reloaded", "override cleared"}
    return [entry["message"] for entry in gateway.logs() if entry["message"] in wanted]


def test_holds_then_file_then_lets_go(rollout: Rollout) -> None:
    """Every gateway is held first, then has the file of the step before in force, and then nothing is held."""
    before = [len(messages(gateway)) for gateway in rollout.gateways]
    told = rollout("back", "--json")
    assert told.code == 0, told.all
    assert (rollout.steps(), rollout.on_disk(), rollout.held()) == ([3, 3], 3, [{}, {}])
    for gateway, seen in zip(rollout.gateways, before, strict=True):
        assert messages(gateway)[seen:] == ["override set", "configuration reloaded", "override cleared"]
    assert told.json()["step"] == NAMES[2]


def test_all_the_way(rollout: Rollout) -> None:
    """Given again and again it leads to the first step, holding just what falls; there it exits 1."""
    seen = []
    while (told := rollout("back")).code == 0:
        seen.append(rollout.steps())
    assert seen == [[3, 3], [2, 2], [1, 1]]
    assert (told.code, rollout.on_disk(), rollout.held()) == (1, 1, [{}, {}])
    assert f"1-base is the first step of {rollout.file}" in told.err


def test_held_within_two_seconds(rollout: Rollout) -> None:
    """What falls is held on all others in under two seconds also where one gateway never answers."""
    with silent() as never:
        rollout.others.append(never)
        command = rollout.begin("back", "--timeout", "1")
        with within(2):
            eventually(lambda: all(SIMULATE in held for held in rollout.held()))
        _, err = command.communicate()
    assert command.returncode == 3, err
    assert (rollout.steps(), [list(held) for held in rollout.held()]) == ([3, 3], [[SIMULATE], [SIMULATE]])


def test_unreachable_then_back(rollout: Rollout, serve: Serve) -> None:
    """While one gateway is away the others go back and stay held; once it is there again the same command ends it."""
    rollout.start(serve, 1)
    away = rollout.gateways.pop()
    away.signal(signal.SIGSTOP)
    rollout.others.append(address(away))
    try:
        told = rollout("back")
        assert told.code == 3
        assert f"{address(away)}/status: cannot be asked" in told.err
        assert "what is held stays held" in told.err
        assert (rollout.steps(), [list(held) for held in rollout.held()]) == ([3, 3], [[SIMULATE], [SIMULATE]])
    finally:
        away.signal(signal.SIGCONT)
    told = rollout("back")
    assert told.code == 0, told.all
    assert (rollout.steps(), rollout.held()) == ([3, 3], [{}, {}])
    assert away.status()["config"]["fingerprint"] == rollout.plan.steps[2].fingerprint
    assert away.status()["endpoints"][SIMULATE]["override"] is None


def test_same_command_takes_no_second_step_while_one_is_away(rollout: Rollout) -> None:
    """Given again while a gateway gives no answer, the command stays at its step, also where nothing is held."""
    rollout.others.append(f"http://127.0.0.1:{free_port()}")
    assert (rollout("back").code, rollout.steps()) == (3, [3, 3])
    for gateway in rollout.gateways:  # as after a step that enforces what the one before did
        gateway.call(
            "/-/mode", method="POST", token=TOKEN, body=json.dumps({"endpoint": SIMULATE, "mode": None}).encode()
        )
    assert (rollout("back").code, rollout.steps(), rollout.on_disk()) == (3, [3, 3], 3)
    rollout.others.clear()
    assert (rollout("back").code, rollout.steps()) == (0, [2, 2])


def test_nobody_answers(rollout: Rollout, tmp_path: Path) -> None:
    """Where no gateway answers nothing is done, and the exit is 3."""
    alone = Rollout(tmp_path, rollout.port)
    alone.put(4)
    alone.others.append(f"http://127.0.0.1:{free_port()}")
    told = alone("back")
    assert (told.code, alone.on_disk()) == (3, 4)
    assert "nothing was changed" in told.err


def test_what_others_hold_stays(rollout: Rollout) -> None:
    """What a person or an alert holds is neither replaced nor let go of, and is told."""
    first, second = rollout.gateways
    rollout.hold(first, SIMULATE, mode="off")
    rollout.hold(second, STRATEGIES)
    told = rollout("back")
    assert told.code == 0, told.all
    assert rollout.held() == [{SIMULATE: "a person's"}, {STRATEGIES: "a person's"}]
    assert f"{address(first)}: {SIMULATE} is still held at off by ann: a person's" in told.out


def test_damaged_state_is_not_let_go_of(recorder: RecordingUpstream, serve: Serve, tmp_path: Path) -> None:
    """What is held for damaged state stays held when the way back ends."""
    rollout = Rollout(tmp_path / "r", recorder.port)
    rollout.put(3)
    state = tmp_path / "state"
    state.mkdir()
    (state / "overrides.json").write_text("{")
    rollout.start(serve, 1, STAGE_GATEWAY_STATE=str(state))
    assert rollout("back").code == 0
    [endpoints] = [gateway.status()["endpoints"] for gateway in rollout.gateways]
    assert endpoints[STRATEGIES]["override"]["sources"] == ["damaged_state"]


def test_file_that_cannot_be_written(rollout: Rollout) -> None:
    """What was held stays held while the file cannot be written; then the same command ends it."""
    rollout.target.chmod(0o444)
    try:
        told = rollout("back")
    finally:
        rollout.target.chmod(0o644)
    assert told.code == 3
    assert "what is held stays held" in told.err
    assert (rollout.steps(), [list(held) for held in rollout.held()]) == ([4, 4], [[SIMULATE], [SIMULATE]])
    assert (rollout("back").code, rollout.steps(), rollout.held()) == (0, [3, 3], [{}, {}])


def test_file_that_is_no_configuration(rollout: Rollout) -> None:
    """A file that is no configuration is left alone while endpoints are held; one that is gone is made."""
    rollout.target.write_text("[]")
    told = rollout("back")
    assert (told.code, rollout.target.read_text()) == (1, "[]")
    assert [list(held) for held in rollout.held()] == [[SIMULATE], [SIMULATE]]
    rollout.target.unlink()
    assert (rollout("back").code, rollout.steps(), rollout.held()) == (0, [3, 3], [{}, {}])


def test_waits_for_the_lock(rollout: Rollout) -> None:
    """Endpoints are held at once also while another command changes the file; who has it is told in the end."""
    with replacing.locked(rollout.target, "ann@host"):
        told = rollout("back", "--timeout", "0.3")
    assert told.code == 1
    assert "is being changed by ann@host" in told.err
    assert [list(held) for held in rollout.held()] == [[SIMULATE], [SIMULATE]]
    assert (rollout("back").code, rollout.held()) == (0, [{}, {}])


def test_mixed(rollout: Rollout) -> None:
    """Where gateways are at two steps, all go to the lower one."""
    rollout.put(5)
    rollout.reload(rollout.gateways[0])
    assert (rollout("back").code, rollout.steps(), rollout.on_disk()) == (0, [4, 4], 4)


def test_no_step(rollout: Rollout) -> None:
    """From a configuration that is no step it leads to `rollback`, and changes nothing."""
    document = json.loads(rollout.target.read_text())
    rollout.target.write_text(json.dumps({**document, "endpointMode": {SIMULATE: "enforce"}}))
    rollout.reload(rollout.gateways[0])
    told = rollout("back")
    assert (told.code, rollout.held()) == (1, [{}, {}])
    assert "use stage-gateway rollback" in told.err


def test_output(rollout: Rollout, tmp_path: Path) -> None:
    """With --output endpoints are held and the file is made; once it is in force the same command lets go of them."""
    made = tmp_path / "made.json"
    told = rollout("back", "--output", str(made))
    assert (told.code, rollout.steps(), rollout.on_disk()) == (0, [4, 4], 4)
    assert [list(held) for held in rollout.held()] == [[SIMULATE], [SIMULATE]]
    rollout.target.write_text(made.read_text())
    for gateway in rollout.gateways:
        rollout.reload(gateway)
    made.unlink()
    told = rollout("back", "--output", str(made))
    assert (told.code, rollout.steps(), rollout.held(), made.exists()) == (0, [3, 3], [{}, {}], False)


def test_replicas_of_one_redis(serve: Serve, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Replicas that share what they hold go back and hold nothing afterwards; what a person holds stays on all."""
    with running_redis(tmp_path) as redis:
        rollout = Rollout(tmp_path / "r", recorder.port)
        rollout.put(4)
        rollout.start(serve, 2, STAGE_GATEWAY_STATE=redis.address)
        assert (rollout("back").code, rollout.steps()) == (0, [3, 3])
        eventually(lambda: rollout.held() == [{}, {}])
        rollout.hold(rollout.gateways[0], STRATEGIES)
        eventually(lambda: all(rollout.held()))
        assert (rollout("back").code, rollout.steps()) == (0, [2, 2])
        eventually(lambda: rollout.held() == [{STRATEGIES: "a person's"}] * 2)
        for gateway in rollout.gateways:
            gateway.end()


def test_only_its_own_reason(rollout: Rollout) -> None:
    """A call that lets go of what is held for one reason lets go of nothing that is held for another."""
    gateway = rollout.gateways[0]
    rollout.hold(gateway, SIMULATE)
    for reason, held in (("another", {SIMULATE: "a person's"}), ("a person's", {})):
        change = {"endpoint": SIMULATE, "mode": None, "ifReason": reason}
        assert gateway.call("/-/mode", method="POST", token=TOKEN, body=json.dumps(change).encode())[0] == 200
        assert rollout.held()[0] == held


def test_only_where_it_is_free(rollout: Rollout) -> None:
    """A call that holds what nothing holds leaves what is held as it is."""
    gateway = rollout.gateways[0]
    rollout.hold(gateway, SIMULATE, mode="off")
    rollout.hold(gateway, SIMULATE, reason="mine", ifFree=True)
    rollout.hold(gateway, ONE, reason="mine", ifFree=True)
    assert rollout.held()[0] == {SIMULATE: "a person's", ONE: "mine"}
