"""What a recorder keeps of requests until they are recorded is bounded, those on their way among it."""

import json
from typing import Any

import pytest

from gateway.proxy.recorder import Recorder, Sample
from gateway.rollout.decision import Decision
from gateway.rollout.endpoints import Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, parse
from gateway.telemetry.metrics import Metrics

ROOM = 8 * 1024 * 1024
BODY = b'{"stage":"seed","pad":"' + b"x" * 200_000 + b'"}'


@pytest.fixture
def rules() -> Rules:
    endpoints = {"/a": {"stages": [{"value": "/stage"}]}}
    return parse(json.dumps({"upstreams": {"a": {"url": "http://127.0.0.1:1"}}, "endpoints": endpoints}))


def begun(recorder: Recorder, rules: Rules) -> tuple[Sample, Inspection]:
    """Return a request that was chosen."""
    headers = {b"content-type": [b"application/json"]}
    head = Head("POST", "/a", "", headers, "id", True, len(BODY))
    match = rules.endpoints.match(head.path, lambda _: Mode.WARN)
    assert match is not None
    return recorder.sample(head, Match(match.endpoint, {}, False), rules), Inspection(head, match, rules.policy)


def decided(inspection: Inspection) -> Decision | None:
    inspection.feed(BODY)
    return inspection.finish()


async def test_requests_on_their_way_are_counted(rules: Rules) -> None:
    """Bodies that are still coming have the same room as those that wait; beyond it they are left out."""
    lines: list[bytes] = []
    recorder = Recorder(1, lines.append, Metrics())
    many = [begun(recorder, rules) for _ in range(60)]
    for sample, _ in many:
        for at in range(0, len(BODY), 10_000):
            sample.hear(BODY[at : at + 10_000])
    assert not recorder.take(ROOM // 3)
    for sample, inspection in many:
        sample.conclude(decided(inspection))
    recorder.finish()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    kept = [one for one in records if "body" in one]
    assert len(records) == len(many)
    assert len(kept) * len(BODY) > ROOM // 2
    assert all("no room" in one["unkept"] for one in records if one not in kept)
    assert recorder.take(ROOM)


async def test_requests_that_come_to_nothing_give_back(rules: Rules) -> None:
    """A request that is broken off, or not inspected in the end, or too long, takes no room any more."""
    recorder = Recorder(1, lambda _: None, Metrics())
    for end in ("release", "conclude", "too long"):
        sample, _ = begun(recorder, rules)
        sample.hear(BODY)
        if end == "release":
            sample.release()
            sample.release()
        elif end == "conclude":
            sample.conclude(None)
        else:
            sample.hear(BODY)
    assert recorder.take(ROOM)
