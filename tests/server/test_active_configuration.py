"""What is in force: the configuration, under the overrides."""

import json
from pathlib import Path

import pytest

from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, load
from gateway.server.active_configuration import ActiveConfiguration
from gateway.server.in_process_server import InProcessServer
from gateway.server.overrides import Override, Source
from gateway.telemetry.metrics import Metrics

PATTERN = "/api/portfolio/strategies"


class Process:
    """A request server and what is active in it, without the process around it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gateway.json"
        self.metrics = Metrics()
        rules = self.rules("enforce")
        self.server = InProcessServer(rules, self.metrics)
        self.active = ActiveConfiguration(self.server, rules, self.metrics)

    def rules(self, mode: str) -> Rules:
        """Return rules in which the endpoint has this mode."""
        document = {"upstreams": {"api": {"url": "http://127.0.0.1:1"}}, "endpointMode": {PATTERN: mode}}
        self.file.write_text(json.dumps(document))
        return load(self.file)

    def mode(self) -> Mode:
        return self.server.service.modes[PATTERN]

    def gauges(self) -> dict[str, float]:
        """Return the labels of the endpoint's gauges that are 1."""
        exposed = self.metrics.expose().decode().splitlines()
        names = ("stage_gateway_endpoint_mode{", "stage_gateway_override{")
        ours = [line for line in exposed if line.startswith(names) and f'endpoint="{PATTERN}"' in line]
        return {line.rpartition(" ")[0].rpartition("=")[2].strip('"}'): float(line.rpartition(" ")[2]) for line in ours}


@pytest.fixture
async def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def hold(process: Process, mode: Mode) -> None:
    process.active.overrides.set(PATTERN, Source.PERSON, Override(mode, "why", "who", 1))


def test_override_is_put_in_force(process: Process) -> None:
    """Setting and clearing an override replaces the service, metrics and all, before the call returns."""
    assert process.mode() is Mode.ENFORCE
    hold(process, Mode.OFF)
    assert process.mode() is Mode.OFF
    holders = {"person": 1, "alert": 0, "damaged_state": 0}
    assert process.gauges() == {"off": 1, "warn": 0, "enforce": 0, **holders}
    process.active.overrides.clear(PATTERN, "who")
    assert process.mode() is Mode.ENFORCE
    assert process.gauges() == {"off": 0, "warn": 0, "enforce": 1, **holders, "person": 0}


def test_new_rules_are_under_the_overrides(process: Process) -> None:
    """Rules that are put in force have the less strict mode of its own and the overrides'."""
    hold(process, Mode.WARN)
    for configured, in_force in (("enforce", Mode.WARN), ("off", Mode.OFF), ("warn", Mode.WARN)):
        rules = process.rules(configured)
        process.active.put_in_force(rules)
        assert process.mode() is in_force
        assert process.active.rules is process.server.service.rules is rules


def test_service_that_a_request_has_is_left_alone(process: Process) -> None:
    """A request that began before a change keeps what was in force then."""
    before = process.server.service
    hold(process, Mode.WARN)
    assert before.modes[PATTERN] is Mode.ENFORCE
