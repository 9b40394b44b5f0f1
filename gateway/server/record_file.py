"""The file of recorded requests: bounded, for the eyes of its owner alone, and never in anybody's way.

Two files share the bytes that it may have: when FILE has half of them it becomes FILE.1, in the place of the one
before. It is written in a thread, a batch at a time. What cannot be written is lost and counted, and told to the log
once; after a minute it is tried again. Where somebody takes FILE away, it is begun anew.
"""

import asyncio
import contextlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.errors import GatewayError, cause_of
from gateway.telemetry.metrics import Metrics

_BATCH_SECONDS = 0.2
_MOST_WAITING = 4 * 1024 * 1024  # bytes
_PAUSE_SECONDS = 60.0
_END_SECONDS = 5.0
_log = logging.getLogger("gateway.recording")


class RecordingOptions(NamedTuple):
    """What `serve` was told about recording: where, how many requests a second, how many bytes in all."""

    file: Path
    per_second: float
    total_bytes: int


class RecordFile:
    """Writes lines to a file.

    Raises GatewayError, when made, for one that cannot be written or holds something else.
    """

    def __init__(self, path: Path, total_bytes: int, metrics: Metrics) -> None:
        self.path = path
        self._half = total_bytes // 2
        self._metrics = metrics
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._paused_until = 0.0
        self._failing = False
        for file in (path, self._older):
            _want_records(file)
        try:
            self._file = self._open()
        except OSError as error:
            raise GatewayError(
                f"{path}: cannot be written: {cause_of(error)}; name another file with --record"
            ) from error

    @property
    def _older(self) -> Path:
        return self.path.parent / (self.path.name + ".1")

    def add(self, line: bytes) -> None:
        """Have a line written before long, or lose it."""
        if self._bytes + len(line) > _MOST_WAITING or time.monotonic() < self._paused_until:
            self._metrics.records.labels("lost").inc()
            return
        self._waiting.append(line + b"\n")
        self._bytes += len(line) + 1
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_on())

    async def close(self) -> None:
        """Write what is left, and close the file; a disk that does not answer is not waited for."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=_END_SECONDS)
        if self._writing is None:
            os.close(self._file)

    async def _write_on(self) -> None:
        try:
            await asyncio.sleep(_BATCH_SECONDS)
            while self._waiting:
                lines, self._waiting, self._bytes = self._waiting, [], 0
                error = await _in_thread(partial(self._write, lines))
                self._count(len(lines), error)
        finally:
            self._writing = None

    def _count(self, lines: int, error: str | None) -> None:
        self._metrics.records.labels("lost" if error else "written").inc(lines)
        if error is not None:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
        if error is not None and not self._failing:
            _log.error("requests cannot be recorded", extra={"file": str(self.path), "error": error})
        elif error is None and self._failing:
            _log.info("requests are recorded again", extra={"file": str(self.path)})
        self._failing = error is not None

    def _write(self, lines: list[bytes]) -> str | None:
        """Write lines whole, or none of them; returns what kept us from it."""
        data = b"".join(lines)
        try:
            if not self._is_in_place():
                self._begin_anew()
            if len(lines) > 1 and len(data) > self._half:  # line by line, each in a file that it has room in
                return next((error for line in lines if (error := self._write([line])) is not None), None)
            if os.fstat(self._file).st_size + len(data) > self._half:
                self.path.replace(self._older)
                self._begin_anew()
            before = os.fstat(self._file).st_size
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, before)
                raise
        except OSError as error:
            return cause_of(error)
        except GatewayError as error:
            return str(error)
        return None

    def _is_in_place(self) -> bool:
        """Whether what is written to is what the path names: somebody may have taken it away, or put another there."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _begin_anew(self) -> None:
        _want_records(self.path)
        new = self._open()
        os.close(self._file)
        self._file = new

    def _open(self) -> int:
        """Open the file for its owner alone; a line that was broken off by a kill gets its end."""
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(file, 0o600)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")
        return file


def _in_thread(work: Callable[[], str | None]) -> "asyncio.Future[str | None]":
    """Do some work in a thread that the process does not wait for at its end, as it does for the loop's own."""
    done: Future[str | None] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="recording", daemon=True).start()
    return asyncio.wrap_future(done)


class Recording(NamedTuple):
    """The file, and how many requests a second it gets at most."""

    file: RecordFile
    per_second: float


def _want_records(path: Path) -> None:
    """Raise GatewayError for a file that holds anything but records."""
    try:
        if not path.exists():
            return
        if not stat.S_ISREG(path.stat().st_mode):
            raise GatewayError(f"{path}: is no file; name another with --record")
        with path.open("rb") as file:
            line = file.readline(64 * 1024 + 1)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {cause_of(error)}; name another with --record") from error
    with contextlib.suppress(msgspec.DecodeError):
        if not line or "requestBucket" in msgspec.json.decode(line, type=dict[str, object]):
            return
    raise GatewayError(f"{path}: holds something else than recorded requests, and is kept; name another with --record")
