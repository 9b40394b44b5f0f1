"""The admin port: health, metrics, status, and the calls that change something."""

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import uuid4

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import __version__
from gateway.server.active_configuration import ActiveConfiguration
from gateway.server.entrance import answer_json, problem, read_body
from gateway.server.override_service import CallError, OverrideService
from gateway.server.reload import Reloader
from gateway.server.request_server import RequestServer
from gateway.telemetry.logs import utc
from gateway.telemetry.metrics import Metrics

_TOP = 20
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Admin:
    """Answers the calls of the admin port. `token` None refuses every change; `draining` is what `/readyz` says.

    `name` is the one under which the admin port is asked on this host, beside `localhost`.
    """

    def __init__(
        self,
        request_server: RequestServer,
        active: ActiveConfiguration,
        reloader: Reloader,
        overrides: OverrideService,
        metrics: Metrics,
        token: str | None,
        name: str = "localhost",
    ) -> None:
        self.draining = False
        self._instance = uuid4().hex  # so that who asks two addresses sees that one gateway answers at both
        self._request_server = request_server
        self._active = active
        self._reloader = reloader
        self._overrides = overrides
        self._metrics = metrics
        self._token = token
        self._names = {"localhost", name.lower()}
        self._handlers: dict[tuple[str, str], _Handler] = {
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("GET", "/metrics"): self.metrics,
            ("GET", "/status"): self.status,
            ("POST", "/-/reload"): self.reload,
            ("POST", "/-/mode"): self.mode,
            ("POST", "/-/alerts"): self.alerts,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer any call; one that there is not, too."""
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._handlers.get((method, request.path))
        if handler is not None:
            return await handler(request)
        allowed = [one for one, path in self._handlers if path == request.path]
        if not allowed:
            return problem(
                404, f"there is no such call here, expected one of {', '.join(p for _, p in self._handlers)}"
            )
        refusal = problem(405, f"this call is a {allowed[0]}")
        refusal.headers["Allow"] = "GET, HEAD" if allowed == ["GET"] else allowed[0]
        return refusal

    async def healthz(self, _: web.BaseRequest) -> web.Response:
        """Say that the process is alive."""
        return web.Response(text="alive\n")

    async def readyz(self, _: web.BaseRequest) -> web.Response:
        """Say whether new requests should be sent here."""
        if self.draining:
            return web.Response(status=503, text="draining\n")
        if self._request_server.describe()["serving"] == 0:
            return web.Response(status=503, text="no worker serves\n")
        return web.Response(text="ready\n")

    async def metrics(self, _: web.BaseRequest) -> web.Response:
        """Return all metrics in Prometheus' text format."""
        await self._request_server.settle()
        return web.Response(body=self._metrics.expose(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(self, request: web.BaseRequest) -> web.Response:
        """Return what is in force; the whole configuration, and the values that came in, only to who may see them."""
        document = await self._status()
        if self._is_of_this_host(request) or self._is_authorised(request):
            document["config"]["document"] = dict(self._active.rules.document)
            document["unknownValues"] = [unknown.as_document() for unknown in self._metrics.unknown_values.top(_TOP)]
        return answer_json(document)

    async def reload(self, request: web.BaseRequest) -> web.Response:
        """Read the configuration file again; 200 when it is in force, 422 with its errors when it is not."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        outcome = self._reloader.reload()
        return answer_json(await self._status(), 422 if outcome.errors else 200)

    async def mode(self, request: web.BaseRequest) -> web.Response:
        """Hold an endpoint at a less strict mode, or let go of it."""
        return await self._follow(request, self._overrides.change_mode)

    async def alerts(self, request: web.BaseRequest) -> web.Response:
        """Take Alertmanager's alerts, some of which demote an endpoint."""
        return await self._follow(request, self._overrides.follow_alerts)

    async def _follow(
        self, request: web.BaseRequest, call: Callable[[bytes], Coroutine[Any, Any, dict[str, Any]]]
    ) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            answer = await call(await read_body(request))
            await self._request_server.settle()
            return answer_json(answer)
        except CallError as error:
            return problem(error.status, str(error))
        except web.HTTPRequestEntityTooLarge:
            return problem(413, "the body is larger than 1 MiB")
        except TimeoutError:
            return problem(408, "the body came too slowly")

    async def _status(self) -> dict[str, Any]:
        await self._request_server.settle()
        rules = self._active.rules
        last = self._reloader.last
        return {
            "version": __version__,
            "instance": self._instance,
            "config": {
                "source": rules.source,
                "fingerprint": rules.fingerprint,
                "since": utc(self._active.since.began),
                "rollout": None if rules.rollout is None else dict(rules.rollout),
            },
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
                    "mode": self._active.modes[pattern],
                    "configuredMode": endpoint.mode,
                    "operation": endpoint.operation,
                    "percent": endpoint.percent_at(self._active.modes[pattern]),
                    "configuredPercent": endpoint.percent,
                    "override": self._overrides.holds(endpoint),
                    "totals": self._metrics.totals(pattern),
                    "sinceConfig": self._active.since.counts(pattern),
                    "beforeConfig": self._active.since.before(pattern),
                }
                for pattern, endpoint in rules.endpoints.endpoints.items()
            },
            "lastReload": {
                "at": utc(last.at),
                "result": "error" if last.errors else "success",
                "errors": list(last.errors),
            },
            "overrides": {"error": self._overrides.error},
            "workers": self._request_server.describe(),
            "inFlight": self._request_server.in_flight,
            "draining": self.draining,
        }

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Return the answer to a changing call that may not be made, None when it may."""
        if self._token is None:
            return problem(403, "no admin token is set up; see the log of the start")
        if not self._is_authorised(request):
            answer = problem(401, "Authorization: Bearer with the admin token is needed")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return None

    def _is_of_this_host(self, request: web.BaseRequest) -> bool:
        """Whether a call comes from loopback, and not from a page in a browser there.

        Such a page can ask any address under its own name, which it lets lead there (DNS rebinding); `Host` is then
        that name.
        """
        remote = _address(request.remote)
        host = _HOST.fullmatch(request.headers.get("Host", ""))
        if remote is None or not remote.is_loopback or host is None:
            return False
        return host[1].lower() in self._names or _address(host[1].strip("[]")) is not None

    def _is_authorised(self, request: web.BaseRequest) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token.encode("ascii"))


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if text is None else ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
