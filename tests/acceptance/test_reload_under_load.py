"""Reloads while many clients send: nobody notices but by the new decisions."""

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest
from support.clock import PATIENCE
from support.process import Serve, configuration
from support.upstream import RecordingUpstream, answer
from support.wire import Client, request

PLACE = "/items"
CLIENTS = 50
RELOADS = 40
INVALID = request("POST", PLACE, body=b'{"stages":{"old":1}}')
VALID = request("POST", PLACE, body=b'{"stages":{"seed":1}}')


def config(port: int, mode: str, aliases: dict[str, str]) -> dict[str, Any]:
    return configuration(
        port,
        endpoints={PLACE: {"stages": [{"keys": "/stages"}]}},
        endpointMode={PLACE: mode},
        vocabulary={"canonical": ["seed"], "aliases": aliases},
    )


class Sender(threading.Thread):
    """Sends until told to stop, each body in two parts so that reloads fall in between; notes every outcome."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._stop_event = stop
        self.outcomes: Counter[tuple[int, str]] = Counter()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with Client(self._port) as client:
                while not self._stop_event.is_set():
                    for raw in (INVALID, VALID):
                        client.send(raw[:-4])
                        time.sleep(0.01)
                        self._note(client, raw[-4:])
        except Exception as error:  # whatever goes wrong fails the test
            self.failure = error

    def _note(self, client: Client, rest: bytes) -> None:
        response = client.send(rest).response()
        if response.status == 422:
            self.outcomes[422, json.loads(response.body)["reason"]] += 1
        else:
            warning = response.value("x-stage-warning") or "reason=pass;"
            self.outcomes[response.status, warning.split("=")[1].split(";")[0]] += 1


OUTCOMES = {(422, "alias"), (200, "disallowed_value"), (200, "pass")}


def fewest(senders: list[Sender]) -> int:
    """Return how often that outcome has come which came least."""
    if any(sender.failure for sender in senders):
        return 1_000  # nothing more will be learnt
    return min(sum(sender.outcomes[outcome] for sender in senders) for outcome in OUTCOMES)


@pytest.fixture
def other() -> Any:
    upstream = RecordingUpstream()
    yield upstream
    upstream.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_request_fails_or_meets_two_configurations(
    serve: Serve, upstream: RecordingUpstream, other: RecordingUpstream, workers: str
) -> None:
    """Two files differ in mode, vocabulary and upstream: every answer is one file's or the other's, none fails."""
    strict = config(upstream.port, "enforce", {"old": "seed"})
    lenient = config(other.port, "warn", {})
    gateway = serve(strict, {"STAGE_GATEWAY_WORKERS": workers})
    stop = threading.Event()
    senders = [Sender(gateway.port, stop) for _ in range(CLIENTS)]
    with upstream.scripted(answer()), other.scripted(answer()):
        for sender in senders:
            sender.start()
        reloads = 0
        while reloads < RELOADS or fewest(senders) <= 50:
            reloads += 1
            assert reloads < 50 * RELOADS, fewest(senders)
            gateway.write(lenient if reloads % 2 else strict)
            gateway.reload()
            time.sleep(0.05)
        stop.set()
        for sender in senders:
            sender.join(PATIENCE)
    assert [sender.failure for sender in senders if sender.failure] == []
    outcomes = sum((sender.outcomes for sender in senders), Counter[tuple[int, str]]())
    assert set(outcomes) == OUTCOMES
    samples = gateway.metrics()
    assert samples.get("stage_gateway_config_reloads_total", result="success") == reloads
    assert samples.get("stage_gateway_config_reloads_total", result="error") == 0
    assert len(samples.series("stage_gateway_config_info")) == 1
    assert samples.total("stage_validation_validations_total") == sum(outcomes.values())
