"""What is in force: the configuration, under the overrides."""

from dataclasses import replace

from gateway.proxy.handler import Handler
from gateway.proxy.service import Service
from gateway.rollout.policy import less_strict
from gateway.server.overrides import Overrides, Source
from gateway.telemetry.metrics import Metrics


class Steering:
    """Puts a service in force whole, with the modes that the overrides leave of it."""

    def __init__(self, handler: Handler, metrics: Metrics) -> None:
        self._handler = handler
        self._metrics = metrics
        self.overrides = Overrides(lambda: self.put_in_force(self.service))

    @property
    def service(self) -> Service:
        """What is in force now."""
        return self._handler.service

    def put_in_force(self, service: Service) -> None:
        """Let every request from now on see this service."""
        endpoints = service.rules.endpoints.endpoints
        modes = {p: less_strict(endpoint.mode, self.overrides.mode(endpoint)) for p, endpoint in endpoints.items()}
        held = {p: self.overrides.of(endpoint) for p, endpoint in endpoints.items()}
        self._handler.service = replace(service, modes=modes)
        self._metrics.describe_modes(modes, {p: {s: s in held[p] for s in Source} for p in endpoints})
