"""A directory belongs to one process at a time. The other process is a real one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clock import PATIENCE

from gateway.errors import RefusedError
from gateway.server.claim import FILE_NAME, Claim

CODE = """
import os, sys, time
from pathlib import Path
from gateway.server.claim import Claim
Claim(Path(sys.argv[1])).take()
print(os.getpid(), flush=True)
time.sleep(60)
"""


@contextmanager
def claimed(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process have the directory."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(process.pid)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def test_directory_of_another_process(tmp_path: Path) -> None:
    """A claim on another process' directory is refused with the directory, the other process and the cure."""
    with claimed(tmp_path) as other, pytest.raises(RefusedError, match=r"is in use by another gateway") as error:
        Claim(tmp_path).take()
    for part in (str(tmp_path), f"process {other.pid} on ", "redis://"):
        assert part in str(error.value)


def test_claim_ends_with_its_process(tmp_path: Path) -> None:
    """When the other process is killed its claim is gone, though its file is still there."""
    with claimed(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    claim = Claim(tmp_path)
    claim.take()
    claim.take()
    assert (tmp_path / FILE_NAME).read_text().startswith(f"process {os.getpid()} on ")
    claim.release()


def test_released_claim(tmp_path: Path) -> None:
    """After a release another process may have the directory."""
    claim = Claim(tmp_path)
    claim.take()
    claim.release()
    with claimed(tmp_path), pytest.raises(RefusedError):
        claim.take()


def test_no_directory(tmp_path: Path) -> None:
    """Where there is no directory nothing is claimed and none is made; once it is there it can be claimed."""
    claim = Claim(tmp_path / "none")
    claim.take()
    assert not (tmp_path / "none").exists()
    (tmp_path / "none").mkdir()
    claim.take()
    assert (tmp_path / "none" / FILE_NAME).exists()
    claim.release()
