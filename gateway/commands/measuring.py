"""Measuring, for `readiness` and the commands of a rollout."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.commands.asking import own_address
from gateway.commands.verified import verification
from gateway.errors import UnreachableError
from gateway.promotion.gates import Readiness, judge
from gateway.promotion.loading import load_plan
from gateway.promotion.plan import Plan
from gateway.promotion.position import Position, position_of
from gateway.settings import Settings


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
    from gateway.promotion import gateways
    from gateway.server.token import read_token

    if since is not None and settings.prometheus_url is None:
        cure = "gateways count since their configuration came into force; set STAGE_GATEWAY_PROMETHEUS_URL"
        raise typer.BadParameter(f"needs Prometheus: {cure}", param_hint="--since")

    addresses = list(dict.fromkeys(admin or [own_address(settings)]))
    found = asyncio.run(gateways.ask(addresses, read_token(settings)))
    if not found.answers:
        raise UnreachableError("\n".join(found.silent))
    position = position_of(gateways.in_force(found), plan, endpoint)
    figures = gateways.measured(found, position.endpoints)
    if position.gates.verified:
        figures = replace(figures, verification=verification(settings, report or Path(position.report)))
    return position, judge(position.gates, figures)
