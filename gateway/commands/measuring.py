"""Measuring, for `readiness` and the commands of a rollout."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.commands.asking import own_address
from gateway.commands.verified import verification
from gateway.errors import ConfigurationError, GatewayError, UnreachableError
from gateway.promotion.gates import Measured, Readiness, judge
from gateway.promotion.loading import load_plan
from gateway.promotion.plan import Plan
from gateway.promotion.position import Position, position_of
from gateway.rules.load import Rules, load
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.promotion.gateways import Gateways


def moment(given: str) -> datetime:
    """Return the time that a person gave; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(given.strip())
    except ValueError:
        expected = "a time such as 2026-01-31T12:00:00Z"
        raise typer.BadParameter(f"got {given!r}, expected {expected}", param_hint="--since") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def plan_of(settings: Settings, file: Path | None = None) -> Plan | None:
    """Return the plan of a file, else that of the settings; None when it is the default one and is not there.

    Raises ConfigurationError with every fault.
    """
    if file is None and "plan" not in settings.model_fields_set and not settings.plan.exists():
        return None
    return load_plan(file or settings.plan)


def measure(
    settings: Settings,
    admin: Sequence[str] | None,
    plan: Plan | None,
    *,
    endpoint: str | None = None,
    report: Path | None = None,
    since: datetime | None = None,
) -> tuple[Position, Readiness]:
    """Return where the plan stands, and whether the next step may be taken, by the figures of running gateways.

    `measure(settings, admin, plan_of(settings))` is all that a command needs; `readiness.answer is Answer.READY` is the
    one answer that lets a step be taken. Figures come from the gateways at `admin` (None: the one of the settings);
    where the settings name a Prometheus, from that, and gateways are asked only when `admin` names them.
    `endpoint` is judged by itself; `report` is the verifier's (None: the plan's); `since` narrows the time that
    Prometheus is asked for.

    Raises UnreachableError when nobody could be asked, ConfigurationError for an endpoint that there is not.
    """
    if since is not None and settings.prometheus_url is None:
        cure = "gateways count since their configuration came into force; set STAGE_GATEWAY_PROMETHEUS_URL"
        raise typer.BadParameter(f"needs Prometheus: {cure}", param_hint="--since")
    position, figures = asyncio.run(_measured(settings, admin, plan, endpoint, since))
    if position.gates.verified:
        figures = replace(figures, verification=verification(settings, report or Path(position.report)))
    return position, judge(position.gates, figures)


async def _measured(
    settings: Settings, admin: Sequence[str] | None, plan: Plan | None, endpoint: str | None, since: datetime | None
) -> tuple[Position, Measured]:
    from gateway.promotion import gateways
    from gateway.server.token import read_token

    asked = None
    if admin or settings.prometheus_url is None:
        addresses = list(dict.fromkeys(admin or [own_address(settings)]))
        asked = await gateways.ask(addresses, read_token(settings))
        if not asked.answers and settings.prometheus_url is None:
            raise UnreachableError("\n".join(asked.silent))
    if asked is None or settings.prometheus_url is not None:
        return await _by_prometheus(settings, asked, plan, endpoint, since)
    position = position_of(gateways.in_force(asked), plan, endpoint)
    return position, gateways.measured(asked, position.endpoints)


async def _by_prometheus(
    settings: Settings,
    asked: "Gateways | None",
    plan: Plan | None,
    endpoint: str | None,
    since: datetime | None,
) -> tuple[Position, Measured]:
    """Return where the plan stands and the figures of Prometheus; gateways that were asked too must not contradict.

    Raises UnreachableError where neither says anything.
    """
    from gateway.promotion import figures, gateways, replicas
    from gateway.promotion.prometheus import Prometheus, connection

    async with connection() as session:
        prometheus = Prometheus(settings.prometheus_url or "", session)
        try:
            await prometheus.begin()
            found = await replicas.find(prometheus)
        except GatewayError as error:
            if asked is None or not asked.answers:
                raise UnreachableError("\n".join([*(asked.silent if asked is not None else ()), str(error)])) from error
            position = position_of(gateways.in_force(asked), plan, endpoint)
            own = gateways.measured(asked, position.endpoints)
            return position, replace(own, doubts=(*own.doubts, str(error)))
        known = _candidates(settings, plan)
        in_force = figures.in_force(found, known)
        if asked is not None and asked.answers:
            in_force = gateways.in_force(asked)
        position = position_of(in_force, plan, endpoint)
        rules = next((one for one in known if one.fingerprint == in_force.config), None)
        what = figures.Asked(position.endpoints, position.gates.alerts, since, rules)
        measured = await figures.measured(prometheus, found, what)
        if endpoint is not None and measured.firing is not None:
            about = tuple(alert for alert in measured.firing if alert.endpoint in {endpoint, "all"})
            measured = replace(measured, firing=about)
    return position, measured if asked is None else figures.beside(measured, found, asked, position.endpoints)


def _candidates(settings: Settings, plan: Plan | None) -> list[Rules]:
    """Return the configurations that may be in force, of which all is known: a plan's, and that of the settings."""
    known = [step.rules for step in plan.steps] if plan is not None else []
    try:
        return [*known, load(settings.config, dry_run=settings.dry_run)]
    except ConfigurationError:  # where commands run there may be none
        return known
