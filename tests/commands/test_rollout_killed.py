"""`rollout next` and `back`, killed at each line of their code: all is whole then, and the same command goes on."""

from collections.abc import Iterable

import pytest
from support.killing import Killing
from support.length import LONG
from support.process import Serve
from support.rollout import Rollout
from support.upstream import RecordingUpstream

MOST = 2000  # lines that a command executes
STRIDE = 1 if LONG else 41


@pytest.fixture(scope="module")
def rollout(serve: Serve, recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    return Rollout(tmp_path_factory.mktemp("rollout"), recorder.port).start(serve)


def lines() -> Iterable[int]:
    return range(1, MOST, STRIDE)


def test_next(rollout: Rollout) -> None:
    """Killed anywhere, `next` leaves the old or the new file, in force and on disk, and given again it is done."""
    killed = 0
    with Killing(rollout.words("next", "--write"), rollout.environment()) as command:
        for line in lines():
            rollout.reset(1)
            rollout.fill()
            if not command.run(line):
                break
            killed += 1
            assert set(rollout.steps()) <= {1, 2}
            assert rollout.on_disk() in {1, 2}
            if rollout.steps() != [2, 2]:
                told = rollout("next", "--write")
                assert told.code == 0, told.all
            assert (rollout.steps(), rollout.on_disk()) == ([2, 2], 2)
    assert (rollout.steps(), rollout.on_disk()) == ([2, 2], 2)
    assert killed * STRIDE > 100


def test_back(rollout: Rollout) -> None:
    """Killed anywhere, `back` enforces no more than before, and given again it is done and holds nothing any more."""
    killed = 0
    with Killing(rollout.words("back"), rollout.environment()) as command:
        for line in lines():
            rollout.reset(3)
            if not command.run(line):
                break
            killed += 1
            assert set(rollout.steps()) <= {2, 3}
            assert rollout.on_disk() in {2, 3}
            if rollout.steps() != [2, 2] or any(rollout.held()):
                told = rollout("back")
                assert told.code == 0, told.all
            assert (rollout.steps(), rollout.on_disk(), rollout.held()) == ([2, 2], 2, [{}, {}])
    assert (rollout.steps(), rollout.on_disk(), rollout.held()) == ([2, 2], 2, [{}, {}])
    assert killed * STRIDE > 100
