"""What is in force: the configuration, under the overrides."""

from collections.abc import Mapping
from typing import TypeAlias

from gateway.rollout.policy import Mode, less_strict
from gateway.rules.load import Rules
from gateway.server.overrides import Overrides, Source
from gateway.server.request_server import RequestServer
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.since import Since

Steps: TypeAlias = Mapping[str, tuple[str, int]]


class ActiveConfiguration:
    """Puts rules in force whole, with the modes that the overrides leave of them.

    `steps` are those of a rollout's plan, by the fingerprint of each: its phase and its number.
    """

    def __init__(self, request_server: RequestServer, rules: Rules, metrics: Metrics) -> None:
        self._request_server = request_server
        self._metrics = metrics
        self.rules = rules
        self.modes: Mapping[str, Mode] = {}
        self.steps: Steps = {}
        self.since = Since(metrics, rules.endpoints.endpoints)  # what was counted under this configuration
        self.overrides = Overrides(lambda: self.put_in_force(self.rules))
        self.put_in_force(rules)

    def follow(self, steps: Steps) -> None:
        """Tell from now on by these steps which one is in force."""
        self.steps = steps
        self.put_in_force(self.rules)

    def put_in_force(self, rules: Rules) -> None:
        """Let every request from now on see these rules. Raises what keeps them from it; then nothing has changed."""
        endpoints = rules.endpoints.endpoints
        modes = {p: less_strict(endpoint.mode, self.overrides.mode(endpoint)) for p, endpoint in endpoints.items()}
        held = {p: self.overrides.of(endpoint) for p, endpoint in endpoints.items()}
        self._request_server.apply(rules, modes)
        if rules.fingerprint != self.rules.fingerprint:
            self.since = Since(self._metrics, endpoints)
        self.rules, self.modes = rules, modes
        holders: Mapping[str, Mapping[str, bool]] = {p: {s: s in held[p] for s in Source} for p in endpoints}
        self._metrics.describe(rules, modes, holders, self.steps.get(rules.fingerprint))
        self._metrics.in_force_since.set(self.since.began.timestamp())
