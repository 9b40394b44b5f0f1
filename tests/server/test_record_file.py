"""The file of recorded requests: for its owner alone, bounded, written without keeping anybody waiting."""

import asyncio
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
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
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none" / "record", Path("/"), Path("")):
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


@pytest.mark.parametrize("moved", [True, False])
async def test_file_that_was_taken_away(moved: bool, tmp_path: Path) -> None:
    """Where somebody moves or removes the file while it is written to, it is begun anew."""
    path, metrics = tmp_path / "record", Metrics()
    file = RecordFile(path, 10 * 1024, metrics)
    file.add(LINE)
    await asyncio.sleep(0.4)
    path.rename(tmp_path / "mine") if moved else path.unlink()
    file.add(LINE[:-2] + b'2"}')
    await file.close()
    assert path.read_bytes() == LINE[:-2] + b'2"}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert counted(metrics, "lost") == 0


async def test_another_file_that_was_put_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that somebody puts in the place of the record is kept as it is, and the log names it."""
    path, metrics = tmp_path / "record", Metrics()
    file = RecordFile(path, 10 * 1024, metrics)
    other = tmp_path / "other"
    other.write_bytes(b"other\n")
    other.chmod(0o644)
    other.replace(path)
    file.add(LINE)
    await file.close()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"other\n", 0o644)
    assert counted(metrics, "lost") == 1
    assert "something else" in caplog.records[-1].error  # type: ignore[attr-defined]


_HUNG = """
import asyncio, fcntl, os, signal, sys
from pathlib import Path
from gateway.server.record_file import RecordFile
from gateway.telemetry.metrics import Metrics

async def work(path):
    file = RecordFile(path, 10240, Metrics())
    print("ready", flush=True)
    sys.stdin.readline()
    file.add(b"1")
    await file.close()

asyncio.run(work(Path(sys.argv[1])))
"""


def test_disk_that_does_not_answer(tmp_path: Path) -> None:
    """At the end a disk that does not answer is waited for a few seconds, and no longer."""
    path, other = tmp_path / "record", tmp_path / "other"
    other.touch()
    handler = signal.signal(signal.SIGIO, signal.SIG_IGN)
    lease = os.open(other, os.O_RDWR)
    with subprocess.Popen(
        [sys.executable, "-c", _HUNG, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # whoever opens it waits until this is given up
            other.replace(path)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(20) == 0
        finally:
            os.close(lease)
            signal.signal(signal.SIGIO, handler)
