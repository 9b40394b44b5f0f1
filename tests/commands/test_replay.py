"""`serve --record` and `stage-gateway replay` as commands: what they take, print and exit by."""

import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support.clock import eventually
from support.process import COMMAND, WAYS, Gateway, configuration
from support.recorded import records
from support.upstream import RecordingUpstream
from support.wire import exchange, request
from support.workers import TWO

from gateway.cli import main

STRATEGIES = "/api/portfolio/strategies"
GOOD = request("POST", f"{STRATEGIES}?fundId=7", body=b'{"stageAllocation":{"seed":1}}')
BAD = request("POST", f"{STRATEGIES}?fundId=8", body=b'{"stageAllocation":{"Series A":1,"\\u001b[31m":1}}')
ALL = ("--record-per-second", "100000")


def run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(words))
    return code, out.getvalue(), err.getvalue()


def candidate(folder: Path, **members: Any) -> str:
    file = folder / "candidate.json"
    file.write_text(json.dumps(configuration(1, **members)))
    return str(file)


@pytest.fixture
def record(recorder: RecordingUpstream, tmp_path: Path) -> str:
    file = tmp_path / "record"
    config = configuration(recorder.port, dryRun=True)
    with Gateway(tmp_path, config, options=["--record", str(file), *ALL]) as gateway:
        for raw in (GOOD, BAD, BAD):
            exchange(gateway.port, raw)
    return str(file)


def test_candidate_that_refuses_more(record: str, tmp_path: Path) -> None:
    """A candidate that refuses what was not refused is told of by endpoint, reason, value and fund, and exits by 1."""
    enforcing = candidate(tmp_path, endpointMode={STRATEGIES: "enforce"})
    code, out, err = run("replay", "--input", record, "--config", enforcing, "--json")
    assert (code, err) == (1, "")
    told = json.loads(out)
    more = {"now": 0, "then": 2, "more": 2, "fewer": 0}
    assert (told["requests"], told["told"], told["untold"], told["broken"]) == (3, 3, {}, 0)
    assert told["refused"] == more
    assert told["results"] == {"now": {"pass": 1, "would_reject": 2}, "then": {"pass": 1, "reject": 2}}
    assert (told["byEndpoint"], told["byReason"]) == ({STRATEGIES: more}, {"alias": more})
    assert (told["byFund"], told["byValue"]) == ({"8": more}, {"Series A": more, "\x1b[31m": more})
    assert [one["change"] for one in told["examples"]] == ["more", "more"]
    code, out, _ = run("replay", "--input", record, "--config", enforcing, "--examples", "1")
    assert code == 1
    assert "refused now 0, under the candidate 2: 2 more, 0 fewer" in out
    assert out.count("would_reject now, reject then (alias") == 1
    assert "\x1b" not in out


def test_candidate_that_refuses_no_more(record: str, tmp_path: Path) -> None:
    """A candidate that refuses nothing more exits by 0."""
    code, out, _ = run("replay", "--input", record, "--config", candidate(tmp_path))
    assert code == 0
    assert "0 more, 0 fewer" in out


def test_nothing_that_can_be_told(record: str, tmp_path: Path) -> None:
    """Where nothing can be told, the answer is no yes: exit 1, and why."""
    other = {"/other": {"stages": [{"value": "/stage"}]}}
    code, out, err = run("replay", "--input", record, "--config", candidate(tmp_path, endpoints=other))
    assert code == 1
    assert "not told: 3, since its endpoint is not in the candidate" in out
    assert "no recorded request of which anything can be told" in err
    empty = tmp_path / "empty"
    empty.touch()
    assert run("replay", "--input", str(empty), "--config", candidate(tmp_path))[0] == 1


def test_wrong_files(record: str, tmp_path: Path) -> None:
    """A record that is none and a candidate with errors exit by 2, with the place."""
    wrong = candidate(tmp_path, dryRun="x")
    assert run("replay", "--input", record, "--config", wrong)[0] == 2
    good = candidate(tmp_path)
    code, _, err = run("replay", "--input", good, "--config", good)
    assert (code, "line 1 is no recorded request" in err) == (2, True)


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A record that cannot be written keeps the gateway from starting: exit 2, and what to do."""
    config = candidate(tmp_path)
    words: list[str | Path] = [COMMAND, "serve", "--config", config, "--record", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "is no file; name another with --record" in ended.stderr


@pytest.mark.parametrize("way", WAYS)
def test_workers_record_into_one_file(way: str, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """With workers the main process writes what all of them record, while they run and when they end."""
    file = tmp_path / "record"
    environment = {**TWO, **WAYS[way]}
    config = configuration(recorder.port)
    with Gateway(tmp_path, config, environment, ["--record", str(file), *ALL]) as gateway:
        for _ in range(5):
            exchange(gateway.port, GOOD)
            exchange(gateway.port, BAD)
        eventually(lambda: len(records(file)) == 10)
        eventually(lambda: gateway.metrics().get("stage_gateway_records_total", result="written") == 10)
        for _ in range(4):
            exchange(gateway.port, BAD)
    assert sorted(one.result for one in records(file)) == ["pass"] * 5 + ["warn"] * 9


@pytest.mark.parametrize("way", WAYS)
def test_good_and_bad_are_chosen_alike(way: str, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """Far more requests than are recorded: the sample is as bad as they are, though they come in a strict turn."""
    file = tmp_path / "record"
    options = ["--record", str(file), "--record-per-second", "40"]
    with Gateway(tmp_path, configuration(recorder.port), WAYS[way], options) as gateway:
        for _ in range(600):
            exchange(gateway.port, GOOD)
            exchange(gateway.port, BAD)
    found = [one.result for one in records(file)]
    assert 40 <= len(found) < 1000
    assert 0.2 < found.count("warn") / len(found) < 0.8
