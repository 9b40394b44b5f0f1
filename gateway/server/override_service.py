"""The calls that steer a running gateway: a person's override, and Alertmanager's alerts.

Alertmanager's webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, version 4.
"""

import logging
import time
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from gateway.errors import GatewayError
from gateway.faults import members_of, type_problems
from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode
from gateway.server.active_configuration import ActiveConfiguration
from gateway.server.override_sync import OverrideSync
from gateway.server.overrides import Override, Overrides, Source
from gateway.telemetry.logs import cut

_TOLD = 20  # ignored alerts that are listed
_TOLD_FAULTS = 5
_log = logging.getLogger("gateway.alerts")
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class CallError(GatewayError):
    """A changing call that cannot be followed; `status` is the answer's."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class ModeCall(BaseModel):
    """A person's change: `mode` null lets go of the endpoint, `seconds` is how long it is held.

    With `rehearse` everything is checked that the change needs, and nothing is changed. `ifFree` holds an endpoint only
    where nothing holds it; `ifReason` lets go only of what a person holds for this reason, of no alert's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: _Words
    mode: Literal["off", "warn"] | None
    reason: _Words | None = None
    by: _Words = "unknown"
    seconds: Annotated[float, Field(gt=0, le=366 * 86400)] | None = None
    rehearse: StrictBool = False  # anything but `true` must not pass for a change that was meant
    if_free: StrictBool = Field(default=False, alias="ifFree")
    if_reason: _Words | None = Field(default=None, alias="ifReason")


class _Alert(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    began: AwareDatetime | None = Field(default=None, alias="startsAt")


class Webhook(BaseModel):
    """What Alertmanager posts, as far as it is read."""

    model_config = ConfigDict(frozen=True)

    version: Literal["4"]
    alerts: Annotated[list[_Alert], Field(max_length=10_000)]


class OverrideService:
    """Follows changing calls: at once here, then in the store."""

    def __init__(self, active: ActiveConfiguration, sync: OverrideSync) -> None:
        self._active = active
        self._overrides = active.overrides
        self._sync = sync

    @property
    def error(self) -> str | None:
        """What is wrong with the overrides' store, None when nothing is."""
        return self._sync.error

    def holds(self, endpoint: Endpoint) -> dict[str, Any] | None:
        """Return what holds an endpoint, the least strict first asked, None when nothing does."""
        held = self._overrides.of(endpoint)
        if not held:
            return None
        mode = self._overrides.mode(endpoint)
        deciding = next(override for override in held.values() if override.mode is mode)
        return {**deciding.told(), "sources": [source.value for source in held]}

    async def change_mode(self, body: bytes) -> dict[str, Any]:
        """Follow a person's call, and return what the endpoint is under then. Raises CallError."""
        try:
            call = ModeCall.model_validate_json(body)
        except ValidationError as error:
            raise CallError(422, _faults(error)) from None
        endpoints = self._active.rules.endpoints.endpoints
        endpoint = endpoints.get(call.endpoint)
        # What holds an endpoint that is gone for now can be let go of, or it would hold it when it comes back.
        if endpoint is None and (call.mode is not None or not self._overrides.knows(call.endpoint)):
            raise CallError(
                404, f"there is no endpoint {call.endpoint!r}; the configuration has {', '.join(endpoints)}"
            )
        if call.mode is not None and call.reason is None:
            raise CallError(422, "$.reason: missing, say why the endpoint is held")
        if call.rehearse:
            problem = await self._sync.rehearse()
            return {**self._in_force(call.endpoint), "rehearsed": True, "storeError": problem}
        self._change(call, endpoint)
        stored = await self._sync.flush()
        return {**self._in_force(call.endpoint), "stored": stored}

    def _change(self, call: ModeCall, endpoint: Endpoint | None) -> None:
        if call.mode is None and call.if_reason is not None:
            self._overrides.let_go(call.endpoint, call.if_reason, call.by)
        elif call.mode is None:
            self._overrides.clear(call.endpoint, call.by)
        elif not (call.if_free and endpoint is not None and self._overrides.of(endpoint)):
            now = time.time()
            until = None if call.seconds is None else now + call.seconds
            override = Override(Mode(call.mode), str(call.reason), call.by, now, until)
            self._overrides.set(call.endpoint, Source.PERSON, override)

    def _in_force(self, pattern: str) -> dict[str, Any]:
        """Return what an endpoint is under now; it may be gone, and others may come while the store is written."""
        endpoint = self._active.rules.endpoints.endpoints.get(pattern)
        if endpoint is None:
            return {"endpoint": pattern, "mode": None, "override": None}
        return {"endpoint": pattern, "mode": self._active.modes[pattern], "override": self.holds(endpoint)}

    async def follow_alerts(self, body: bytes) -> dict[str, Any]:
        """Demote the endpoints that firing alerts ask for; returns those, and why others were not. Raises CallError."""
        try:
            webhook = Webhook.model_validate_json(body)
        except ValidationError as error:
            raise CallError(400, f"expected Alertmanager's webhook, version 4: {_faults(error)}") from None
        endpoints = self._active.rules.endpoints.endpoints
        demoted: list[str] = []
        ignored: list[str] = []
        for alert in webhook.alerts:
            name, pattern = alert.labels.get("alertname", "alert"), alert.labels.get("endpoint", "")
            objection = _objection(alert, endpoints.get(pattern), self._overrides)
            if objection is not None:
                ignored.append(f"{cut(name)} {cut(pattern)!r}: {objection}")
                continue
            reason = cut(f"{name}: {alert.annotations.get('summary', '')}")
            self._overrides.set(pattern, Source.ALERT, Override(Mode.WARN, reason, "alertmanager", time.time()))
            demoted.append(pattern)
        if ignored:
            _log.info("alerts ignored", extra={"alerts": ignored[:_TOLD], "count": len(ignored)})
        stored = await self._sync.flush()
        return {"demoted": demoted, "ignored": ignored[:_TOLD], "stored": stored}


def _objection(alert: _Alert, endpoint: Endpoint | None, overrides: Overrides) -> str | None:
    """Return why an alert changes nothing, None when it demotes its endpoint."""
    if alert.status != "firing":
        return "resolved; only a person lets go of an endpoint"
    if alert.labels.get("action") != "demote":
        return "does not ask for a demotion"
    if endpoint is None:
        return "no such endpoint"
    if not endpoint.auto_demote:
        return "autoDemote is not set"
    if Source.ALERT in overrides.of(endpoint):
        return "is demoted already"
    if alert.began is not None and overrides.was_cleared_since(endpoint.pattern, alert.began.timestamp()):
        return "began before a person cleared the endpoint"
    return None


def _faults(error: ValidationError) -> str:
    """Return what is wrong, place by place; the values that were sent are not echoed."""
    known = members_of(ModeCall, Webhook, _Alert)
    return "; ".join(islice(type_problems(error, known, echo=False), _TOLD_FAULTS))
