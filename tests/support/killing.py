"""Runs a command again and again, and kills it each time at another line of its code.

As a process without threads it imports everything once, and forks for each run: `python -m support.killing WORDS…`.
Lines come from standard input: the number of the line before which to kill. It answers with `killed` or `ended CODE`.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

WATCHED = ("rollout_way.py", "rollout_forward.py", "rollout_back.py", "fleet.py", "replacing.py")


class Killing:
    """A command that can be run up to a line of its code. Use it as a context."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.killing", *words],
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> "Killing":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, line: int) -> bool:
        """Run up to a line, counted from the first one that is executed; returns whether it was killed there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        assert answer, "the command could not be run"
        return answer[0] == "killed"


def main(words: list[str]) -> None:
    """Answer the lines of standard input."""
    from gateway import cli
    from gateway.commands import measuring, readiness, rollout_back, rollout_forward  # noqa: F401 - before the fork
    from gateway.promotion import gateways  # noqa: F401
    from gateway.server import token  # noqa: F401

    for text in sys.stdin:
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            sys.settrace(_tracer(int(text)))
            os._exit(cli.main(words))
        _, status = os.waitpid(child, 0)
        told = "killed" if os.WIFSIGNALED(status) else f"ended {os.WEXITSTATUS(status)}"
        print(told, flush=True)


def _tracer(last: int) -> Any:
    count = 0

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, event: str, _: object) -> Any:
        return line if frame.f_code.co_filename.endswith(WATCHED) else None

    return call


if __name__ == "__main__":
    main(sys.argv[1:])
