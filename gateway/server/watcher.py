"""Notices that the content of the configuration file has changed, however it was replaced.

A mounted ConfigMap changes by a symbolic link that is swapped (kubelet's `..data`), an editor renames or writes in
place, some file systems send no events. So the file is looked at, and read when it looks different. A change counts
once two looks in a row find the same: a file that is being written is not read half.
https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

PERIOD_SECONDS = 0.4

_Look = tuple[int, ...] | None


class Watcher:
    """Calls `changed` when the content at `path` has become another than it was at the last `note`."""

    def __init__(self, path: Path, changed: Callable[[], object]) -> None:
        self._path = path
        self._changed = changed
        self.note()

    def note(self) -> None:
        """Take what is there now for known."""
        self._look = self._seen = _look(self._path)
        self._content = _read(self._path)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            self.check()

    def check(self) -> None:
        """Look once; reads the file only when it looks different from when it was read last."""
        before, self._seen = self._seen, _look(self._path)
        if self._seen == self._look or self._seen != before:
            return
        self._look = self._seen
        content = _read(self._path)
        if content != self._content:
            self._content = content
            self._changed()


def _look(path: Path) -> _Look:
    """Return what tells one file from the next at the same path, None where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
