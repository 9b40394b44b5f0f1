"""A gateway's record, replayed under its own configuration and under others, against what gateways really answer."""

import json
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.process import WAYS, Gateway
from support.recorded import MARK, answers, config, records, requests
from support.upstream import RecordingUpstream
from support.wire import exchange

from gateway.promotion.replay import Candidate, UntoldError
from gateway.rules.load import parse
from gateway.telemetry.records import Record

ALL = ("--record-per-second", "100000")
SENT = requests(300, 1)
CONFIGS: dict[str, dict[str, Any]] = {
    "baseline": {"mode": "warn", "dryRun": True},
    "part": {"mode": "enforce", "enforcementPercent": 37},
    "whole": {"mode": "enforce", "dryRun": True},
    "funds": {"mode": "enforce", "enforcementKey": "fundId", "enforcementPercent": 50, "enforceWriteOnly": True},
    "tenants": {"mode": "enforce", "enforcementKey": "header:X-Tenant", "enforcementPercent": 50, "dryRun": True},
    "lenient": {"mode": "enforce", "vocabulary": {"acceptAliases": True}},
    "small": {"mode": "enforce", "limits": {"maxBodyBytes": 20_000}, "enforcementPercent": 80},
}
Answers = dict[int, tuple[str, str | None]]


class Served:
    """What gateways under each of the configurations made of SENT: their records and answers, each made once."""

    def __init__(self, upstream: RecordingUpstream, folder: Path) -> None:
        self.upstream = upstream
        self._folder = folder
        self._made: dict[tuple[str, str], tuple[list[Record], Answers, bytes]] = {}
        self._numbers = count()

    def of(self, name: str, way: str = "lane") -> tuple[list[Record], Answers, bytes]:
        if (name, way) not in self._made:
            folder = self._folder / str(next(self._numbers))
            folder.mkdir()
            file = folder / "record.ndjson"
            with Gateway(folder, self.config(name), WAYS[way], ["--record", str(file), *ALL]) as gateway:
                found = answers(gateway, SENT)
                totals = {
                    (pattern, result): number
                    for pattern, endpoint in gateway.status()["endpoints"].items()
                    for result, number in endpoint["totals"].items()
                    if number
                }
                gateway.end()
                assert gateway.process.returncode == 0
            kept = records(file)
            assert Counter((one.endpoint, one.result) for one in kept) == totals
            self._made[name, way] = kept, found, file.read_bytes()
        return self._made[name, way]

    def config(self, name: str) -> dict[str, Any]:
        return dict(config(self.upstream.port, **CONFIGS[name]))


@pytest.fixture(scope="module")
def served(recorder: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(recorder, tmp_path_factory.mktemp("served"))


def replayed(candidate: dict[str, Any], kept: list[Record]) -> tuple[Answers, Counter[str], int]:
    """Return what the candidate makes of requests by their buckets, what cannot be told, and how many not exactly."""
    decider = Candidate(parse(json.dumps(candidate)))
    told: Answers = {}
    untold: Counter[str] = Counter()
    inexact = 0
    for record in kept:
        try:
            outcome = decider.decide(record)
        except UntoldError as why:
            untold[str(why)] += 1
            continue
        inexact += not outcome.is_exact
        if outcome.is_exact:
            result = "pass" if outcome.result == "pass_through" else outcome.result
            told[record.request_bucket] = result, outcome.reason
    return told, untold, inexact


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CONFIGS)
def test_own_configuration(served: Served, name: str, way: str) -> None:
    """Under the configuration that it was recorded under, every request comes to the very result that it came to."""
    kept, found, _ = served.of(name, way)
    told, untold, inexact = replayed(served.config(name), kept)
    assert (untold, inexact) == (Counter(), 0)
    assert {one.request_bucket: (one.result, one.reason) for one in kept} == told
    assert told == {bucket: found[bucket] for bucket in told}
    assert all(found[bucket][0] == "pass" for bucket in found.keys() - told.keys())


PAIRS = [(had, new) for had in ("baseline", "part", "funds", "small") for new in CONFIGS if new != had]


@pytest.mark.parametrize(("had", "new"), PAIRS)
def test_other_configuration(served: Served, had: str, new: str) -> None:
    """Under another configuration every request that is told comes to what a gateway under that one answers."""
    kept, _, _ = served.of(had)
    _, found, _ = served.of(new)
    told, untold, _ = replayed(served.config(new), kept)
    assert told == {bucket: found[bucket] for bucket in told}
    assert len(told) > 20  # of those whose bucket another key gives, only shares are right
    assert sum(untold.values()) < len(kept) / 3, untold


def test_nothing_else_is_recorded(served: Served) -> None:
    """No other member, header, query parameter or piece of a path is in the record, by name or value."""
    for name in ("baseline", "tenants"):
        _, _, raw = served.of(name)
        assert MARK.encode() not in raw


def told_of(raw: bytes, had: dict[str, Any], new: dict[str, Any], upstream: RecordingUpstream, folder: Path) -> str:
    """Return what the candidate makes of one request that was recorded, or why that cannot be told."""
    file, base = folder / "record.ndjson", {"upstreams": {"api": {"url": f"http://127.0.0.1:{upstream.port}"}}}
    with Gateway(folder, {**base, **had}, options=["--record", str(file), *ALL]) as gateway:
        exchange(gateway.port, raw)
        gateway.end()
    (record,) = records(file)
    try:
        return Candidate(parse(json.dumps({**base, **new}))).decide(record).result
    except UntoldError as why:
        return str(why)


def test_fund_that_is_a_stage(recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A query parameter that is fund and stage at once is judged as it was, also when it was cut."""
    endpoint = {"stages": [{"query": "stage"}], "fundId": {"query": "stage"}}
    config = {"endpoints": {"/a": endpoint}, "endpointMode": {"/a": "enforce"}}
    raw = b"POST /a?stage=" + b"x" * 90 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert told_of(raw, config, config, recorder, tmp_path) == "reject"


def test_body_that_was_not_looked_into(recorder: RecordingUpstream, tmp_path: Path) -> None:
    """A candidate that looks for the fund in bodies that nothing was looked for in cannot be told."""
    had = {"endpoints": {"/a": {"stages": [{"query": "stage"}]}}, "endpointMode": {"/a": "enforce"}}
    new = {**had, "endpoints": {"/a": {"stages": [{"query": "stage"}], "fundId": {"body": "/f"}}}}
    raw = b"POST /a?stage=seed HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
    raw += b"Content-Length: 7\r\n\r\n" + b'{"f":1}'
    assert "looks into the body" in told_of(raw, had, new, recorder, tmp_path)
