"""Reading recorded requests: what is broken off is counted, what is something else is an error that says where."""

import json
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.promotion.recorded import RecordedRequests
from gateway.promotion.replay import Keys, UntoldError
from gateway.rollout.cohort import bucket_of

GOOD = {
    "version": 1,
    "time": "2026-01-01T00:00:00.000Z",
    "endpoint": "/api/monte-carlo/simulate",
    "method": "POST",
    "mode": "warn",
    "effective": "warn",
    "result": "pass",
    "dryRun": False,
    "enforcementKey": "requestId",
    "bucket": 1,
    "requestBucket": 1,
    "config": "c",
    "vocabulary": "v",
    "judging": "j",
    "maxBodyBytes": 1,
    "places": [],
}
LINE = json.dumps(GOOD, separators=(",", ":")) + "\n"


def read(path: Path, text: str) -> tuple[int, int]:
    path.write_text(text)
    requests = RecordedRequests([path])
    return len(list(requests)), requests.broken


@pytest.mark.parametrize("end", range(1, len(LINE) - 1, 7))
def test_lines_that_were_broken_off(end: int, tmp_path: Path) -> None:
    """A line that a kill broke off anywhere is left out and counted, at the end and before others."""
    assert read(tmp_path / "r", LINE + LINE[:end]) == (1, 1)
    assert read(tmp_path / "r", LINE + LINE[:end] + "\n" + LINE) == (2, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello\n", "line 1 is no recorded request"),
        (LINE + '{"a":1}\n', "line 2 is no recorded request"),
        ("[]\n", "line 1 is no recorded request"),
        (LINE + "\n" + LINE.replace('"version":1', '"version":2'), "line 3 is of version 2, expected 1"),
        (LINE.replace('"bucket":1', '"bucket":"x"'), "line 1 has not the members of a recorded request"),
        ('{"version":1}\n', "line 1 has not the members of a recorded request"),
    ],
)
def test_other_files(text: str, told: str, tmp_path: Path) -> None:
    """What is no record is an error that names file and line."""
    with pytest.raises(GatewayError, match=told) as error:
        read(tmp_path / "r", text)
    assert str(tmp_path / "r") in str(error.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(GatewayError, match="cannot be read"):
        list(RecordedRequests([tmp_path / "none"]))


def test_keys() -> None:
    """Every bucket has a key, and what is no bucket has none."""
    keys = Keys()
    for bucket in (0, 1, 4999, 9999, 0):
        assert bucket_of(keys.of(bucket)) == bucket
    for bucket in (-1, 10_000):
        with pytest.raises(UntoldError):
            keys.of(bucket)
