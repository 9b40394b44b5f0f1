"""`stage-gateway readiness`: whether the next step of a rollout may be taken, figure by figure."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.commands.asking import AdminOption
from gateway.commands.environment import PlanOption
from gateway.commands.measuring import measure, moment, plan_of
from gateway.commands.output import JsonOption, print_json, show
from gateway.promotion.gates import Answer, Readiness
from gateway.promotion.plan import Step
from gateway.promotion.position import Position
from gateway.settings import read_settings


def readiness(
    endpoint: Annotated[
        str | None, typer.Argument(metavar="[ENDPOINT]", help="Judge this one by itself.", show_default=False)
    ] = None,
    admin: AdminOption = None,
    plan: PlanOption = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Report of verify --output; default: the plan's."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Ask Prometheus only from then on, as 2026-01-31T12:00:00Z."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether the next step of the plan may be taken: READY, NOT_READY or INSUFFICIENT_DATA, and by which figures.

    Exit 0 for READY alone, 1 for the others, 3 when nobody could be asked.

    Example: stage-gateway readiness --admin http://127.0.0.1:8081
    """
    settings = read_settings()
    begin = None if since is None else moment(since)
    position, found = measure(settings, admin, plan_of(settings, plan), endpoint=endpoint, report=report, since=begin)
    if as_json:
        print_json(as_document(position, found))
    else:
        show_readiness(position, found)
    return 0 if found.answer is Answer.READY else 1


def show_readiness(position: Position, found: Readiness) -> None:
    """Print an answer with its figures for people."""
    table = Table("figure", "endpoint", "value", "threshold", "answer", "why")
    for one in found.findings:
        table.add_row(one.figure, one.endpoint or "all", one.value, one.threshold, one.answer or "–", one.why or "–")
    show(f"{found.answer}: {position.told}", table, f"figures from {found.source}")
    show(*(f"doubt: {doubt}" for doubt in found.doubts))


def as_document(position: Position, found: Readiness) -> dict[str, Any]:
    """Return an answer with everything that it rests on, for machines."""
    return {
        "answer": found.answer,
        "about": position.told,
        "plan": position.plan.source if position.plan is not None else None,
        "config": position.in_force.config or None,
        "vocabulary": position.in_force.vocabulary or None,
        "step": _step(position.step, exact=position.exact),
        "next": _step(position.next),
        "source": found.source,
        "findings": [
            {
                "figure": one.figure,
                "endpoint": one.endpoint,
                "value": one.value,
                "threshold": one.threshold,
                "answer": one.answer,
                "source": one.source,
                "why": one.why or None,
            }
            for one in found.findings
        ],
        "doubts": list(found.doubts),
    }


def _step(step: Step | None, **more: bool) -> dict[str, Any] | None:
    return None if step is None else {"number": step.number, "name": step.name, "config": step.fingerprint, **more}
