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
from gateway.server.directory_lock import FILE_NAME, DirectoryLock

CODE = """
import os, sys, time
from pathlib import Path
from gateway.server.directory_lock import DirectoryLock
DirectoryLock(Path(sys.argv[1])).take()
print(os.getpid(), flush=True)
time.sleep(60)
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
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
    """The lock on another process' directory is refused with the directory, the other process and the cure."""
    with held(tmp_path) as other, pytest.raises(RefusedError, match=r"is in use by another gateway") as error:
        DirectoryLock(tmp_path).take()
    for part in (str(tmp_path), f"process {other.pid} on ", "redis://"):
        assert part in str(error.value)


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """When the other process is killed its lock is gone, though its file is still there."""
    with held(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    lock = DirectoryLock(tmp_path)
    lock.take()
    lock.take()
    assert (tmp_path / FILE_NAME).read_text().startswith(f"process {os.getpid()} on ")
    lock.release()


def test_released_lock(tmp_path: Path) -> None:
    """After a release another process may have the directory."""
    lock = DirectoryLock(tmp_path)
    lock.take()
    lock.release()
    with held(tmp_path), pytest.raises(RefusedError):
        lock.take()


def test_no_directory(tmp_path: Path) -> None:
    """Where there is no directory nothing is locked and none is made; once it is there it can be locked."""
    lock = DirectoryLock(tmp_path / "none")
    lock.take()
    assert not (tmp_path / "none").exists()
    (tmp_path / "none").mkdir()
    lock.take()
    assert (tmp_path / "none" / FILE_NAME).exists()
    lock.release()
