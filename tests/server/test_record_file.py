"""The file of recorded requests: for its owner alone, bounded, written without keeping anybody waiting."""

import asyncio
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.server.record_file import RecordFile
from gateway.telemetry.metrics import Metrics

LINE = b'{"version":1,"requestBucket":7,"text":"' + b"x" * 960 + b'"}'


def counted(metrics: Metrics, result: str) -> int:
    return metrics.records.value(result)


async def test_lines_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    """Lines go to the file in order, and nobody but its owner may read it, even where it was there before."""
    path, metrics = tmp_path / "record", Metrics()
    path.touch(0o644)
    file = RecordFile(path, 1_000_000, metrics)
    for line in (b"1", b"2"):
        file.add(line)
    await file.close()
    assert path.read_bytes() == b"1\n2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (counted(metrics, "written"), counted(metrics, "lost")) == (2, 0)


async def test_two_files_share_the_bytes(tmp_path: Path) -> None:
    """When the file has half of the bytes it takes the place of the older one; both together never have more."""
    path, metrics = tmp_path / "record", Metrics()
    file = RecordFile(path, 10 * 1024, metrics)
    older = tmp_path / "record.1"
    for _ in range(12):
        file.add(LINE)
        await asyncio.sleep(0.25)  # a batch of its own
    await file.close()
    assert older.stat().st_size + path.stat().st_size <= 10 * 1024
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(older.stat().st_mode) == 0o600
    assert len(path.read_bytes().splitlines()) + len(older.read_bytes().splitlines()) >= 5


async def test_batch_larger_than_the_file(tmp_path: Path) -> None:
    """A batch that has no room in a whole file is lost but for what has."""
    path, metrics = tmp_path / "record", Metrics()
    file = RecordFile(path, 4 * 1024, metrics)
    for _ in range(20):
        file.add(LINE)
    await file.close()
    sizes = [one.stat().st_size for one in (path, tmp_path / "record.1") if one.exists()]
    assert sum(sizes) <= 4 * 1024
    assert counted(metrics, "written") + counted(metrics, "lost") == 20


async def test_what_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be written, records are lost and counted, and the log says so once; half a line never stays."""
    path, metrics = tmp_path / "record", Metrics()
    file = RecordFile(path, 1_000_000, metrics)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * len(LINE), hard))  # the system's way to say that there is no room
    try:
        for count in (2, 3, 4):
            for _ in range(count):
                file.add(LINE)
            await asyncio.sleep(0.4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    await file.close()
    assert path.read_bytes() == 2 * (LINE + b"\n")
    assert (counted(metrics, "written"), counted(metrics, "lost")) == (2, 7)
    assert [one.message for one in caplog.records if one.name == "gateway.recording"] == ["requests cannot be recorded"]


@pytest.mark.parametrize("content", [b"other\n", b'{"version":1}\n', b"[1]\n", b"\x00" * 100])
def test_other_files_are_kept(content: bytes, tmp_path: Path) -> None:
    """A file that holds anything but records is kept, whether it would be written to or given up."""
    for name in ("record", "record.1"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(GatewayError, match="holds something else"):
            RecordFile(tmp_path / "record", 1_000_000, Metrics())
        assert path.read_bytes() == content
        path.unlink()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder, a pipe and a place in no folder are errors that name the option."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none" / "record"):
        with pytest.raises(GatewayError, match="--record"):
            RecordFile(path, 1_000_000, Metrics())


async def test_line_that_was_broken_off(tmp_path: Path) -> None:
    """What is written behind a line that a kill broke off begins a line of its own."""
    path = tmp_path / "record"
    path.write_bytes(LINE + b"\n" + LINE[:20])
    file = RecordFile(path, 1_000_000, Metrics())
    file.add(LINE)
    await file.close()
    assert path.read_bytes() == LINE + b"\n" + LINE[:20] + b"\n" + LINE + b"\n"
