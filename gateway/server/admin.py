"""The admin port: health, metrics, status, and the calls that change something."""

import hmac
import ipaddress
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import __version__
from gateway.server.carrier import Carrier
from gateway.server.control import CallError, Control
from gateway.server.reload import Reloader
from gateway.server.steering import Steering
from gateway.telemetry.metrics import Metrics

_TOP = 20
_MAX_BODY_BYTES = 1024 * 1024


class Admin:
    """The handlers of the admin port. `token` None refuses every change; `draining` is what `/readyz` says."""

    def __init__(
        self,
        carrier: Carrier,
        steering: Steering,
        reloader: Reloader,
        control: Control,
        metrics: Metrics,
        token: str | None,
    ) -> None:
        self.draining = False
        self._carrier = carrier
        self._steering = steering
        self._reloader = reloader
        self._control = control
        self._metrics = metrics
        self._token = token

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/status", self.status)
        app.router.add_post("/-/reload", self.reload)
        app.router.add_post("/-/mode", self.mode)
        app.router.add_post("/-/alerts", self.alerts)
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the process is alive."""
        return web.Response(text="alive\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Say whether new requests should be sent here."""
        if self.draining:
            return web.Response(status=503, text="draining\n")
        if self._carrier.describe()["serving"] == 0:
            return web.Response(status=503, text="no worker serves\n")
        return web.Response(text="ready\n")

    async def metrics(self, _: web.Request) -> web.Response:
        """Return all metrics in Prometheus' text format."""
        await self._carrier.settle()
        return web.Response(body=self._metrics.expose(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(self, request: web.Request) -> web.Response:
        """Return what is in force; the values that came in only to who may see them."""
        document = await self._status()
        if _is_loopback(request.remote) or self._is_authorised(request):
            document["unknownValues"] = [
                {"value": value, "count": count} for value, count in self._metrics.unknown_values.most_common(_TOP)
            ]
        return _json(document)

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration file again; 200 when it is in force, 422 with its errors when it is not."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        outcome = self._reloader.reload()
        return _json(await self._status(), 422 if outcome.errors else 200)

    async def mode(self, request: web.Request) -> web.Response:
        """Hold an endpoint at a less strict mode, or let go of it."""
        return await self._follow(request, self._control.change_mode)

    async def alerts(self, request: web.Request) -> web.Response:
        """Take Alertmanager's alerts, some of which demote an endpoint."""
        return await self._follow(request, self._control.follow_alerts)

    async def _follow(
        self, request: web.Request, call: Callable[[bytes], Coroutine[Any, Any, dict[str, Any]]]
    ) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            answer = await call(await request.read())
            await self._carrier.settle()
            return _json(answer)
        except CallError as error:
            return _problem(error.status, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _problem(413, f"the body is larger than {_MAX_BODY_BYTES} bytes")

    async def _status(self) -> dict[str, Any]:
        await self._carrier.settle()
        rules = self._steering.rules
        last = self._reloader.last
        return {
            "version": __version__,
            "config": {"source": rules.source, "fingerprint": rules.fingerprint},
            "vocabulary": {
                "fingerprint": rules.policy.vocabulary.fingerprint,
                "canonical": list(rules.policy.vocabulary.canonical),
                "acceptAliases": rules.policy.vocabulary.accept_aliases,
            },
            "dryRun": rules.policy.dry_run,
            "enforceWriteOnly": rules.policy.enforce_write_only,
            "enforcementKey": rules.policy.enforcement_key,
            "endpoints": {
                pattern: {
                    "mode": self._steering.modes[pattern],
                    "configuredMode": endpoint.mode,
                    "percent": endpoint.percent_at(self._steering.modes[pattern]),
                    "configuredPercent": endpoint.percent,
                    "override": self._control.holds(endpoint),
                    "totals": self._metrics.totals(pattern),
                }
                for pattern, endpoint in rules.endpoints.endpoints.items()
            },
            "lastReload": {
                "at": last.at.isoformat(timespec="milliseconds"),
                "result": "error" if last.errors else "success",
                "errors": list(last.errors),
            },
            "overrides": {"error": self._control.error},
            "workers": self._carrier.describe(),
            "inFlight": self._carrier.in_flight,
            "draining": self.draining,
        }

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return the answer to a changing call that may not be made, None when it may."""
        if self._token is None:
            return _problem(403, "no admin token is set up; see the log of the start")
        if not self._is_authorised(request):
            answer = _problem(401, "Authorization: Bearer with the admin token is needed")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return None

    def _is_authorised(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token.encode("ascii"))


def _json(document: dict[str, Any], status: int = 200, content_type: str = "application/json") -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type=content_type)


def _problem(status: int, detail: str) -> web.Response:
    title = HTTPStatus(status).phrase
    return _json({"title": title, "status": status, "detail": detail}, status, "application/problem+json")


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
