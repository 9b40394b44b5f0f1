"""The lock on a directory: one process at a time keeps its state there.

It is the operating system's, so it ends with its process, however that ends. It belongs to the process alone
(`fcntl`, not `flock`): children that a process forks neither hold it nor end it.
"""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from gateway.errors import RefusedError

FILE_NAME = "overrides.lock"


class DirectoryLock:
    """The lock of this process on a directory. `take` may be called again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._descriptor: int | None = None

    def take(self) -> None:
        """Lock the directory, where it is there, can be written and knows locks. Raises RefusedError."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return  # then nothing can be kept there either, which is told when it is tried
        try:
            locked = _lock(descriptor, self._file)
        except RefusedError:
            os.close(descriptor)
            raise
        if not locked:
            os.close(descriptor)
            return
        self._descriptor = descriptor
        with suppress(OSError):  # who it is only helps a person
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def look(self) -> None:
        """Look whether the directory could be locked, and lock nothing. Raises RefusedError."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            _lock(descriptor, self._file)  # which ends with the descriptor
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Let go of the directory."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int, file: Path) -> bool:
    """Lock an open file; returns whether its file system knows locks. Raises RefusedError."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.read(descriptor, 300).decode(errors="replace").strip() or "unknown"
        cure = "give each its own directory in STATE, or let them share a redis://"
        raise RefusedError(f"{file.parent}: is in use by another gateway ({holder}); {cure}") from None
    except OSError:
        return False
    return True
