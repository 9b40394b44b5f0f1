"""`stage-gateway migrate plan`: what a run would change."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.commands.output import JsonOption, print_json, show
from gateway.commands.session import ConfigOption, Session, SpecOption
from gateway.migration.database import want_own_schema
from gateway.migration.ledger import latest_run, want_as_before
from gateway.migration.objections import Objector
from gateway.migration.objects import want_free
from gateway.migration.planning import ColumnPlan, plan_column
from gateway.migration.remediation import Remediation
from gateway.migration.starting import refusal_to_go_on
from gateway.migration.wording import counted

MOST_LINES = 50  # of a table for people; machines get all

RemediationOption = Annotated[
    Path, typer.Option("--remediation", metavar="FILE", help="File for what cannot be mapped, one JSON object a line.")
]
REMEDIATION = Path("migration-remediation.ndjson")


def plan(
    spec: SpecOption = None,
    config: ConfigOption = None,
    remediation: RemediationOption = REMEDIATION,
    trial: Annotated[
        bool,
        typer.Option(
            help="Write some rows of each column and take that back, to tell the time; without, it is a guess."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> int:
    """Tell what a run would change, what it could not, and how long it would take. Nothing is changed.

    Exit 1 when a value cannot be mapped, the table would refuse one, or another run is to be finished first.

    Example: stage-gateway migrate plan --spec config/migration.json
    """
    session = Session.of(spec, config)
    with session.connected("migrate plan", writes=False) as connection, Remediation(remediation) as file:
        want_own_schema(connection, session.spec)
        targets = session.targets(connection)
        want_free(connection, targets)
        want_as_before(connection, targets)
        unfinished = refusal_to_go_on(latest_run(connection), targets, session.vocabulary)
        objector = Objector(connection, session.vocabulary)
        plans = [
            plan_column(connection, target, session.vocabulary, session.spec, file, objector, trial=trial)
            for target in targets
        ]
    if as_json:
        print_json({**_document(session, plans, file), "unfinished": unfinished})
    else:
        _print_plan(session, plans, file)
        if unfinished:
            show(unfinished)
    refused = any(objection.refuses for plan in plans for objection in plan.objections)
    return 1 if file.count or refused or unfinished else 0


def _document(session: Session, plans: Sequence[ColumnPlan], file: Remediation) -> dict[str, Any]:
    return {
        "vocabulary": session.vocabulary.fingerprint,
        "invalid": file.count,
        "remediation": str(file.path) if file.count else None,
        "columns": [
            {
                "table": f"{plan.target.schema}.{plan.target.table}",
                "column": plan.target.column,
                "rows": plan.rows,
                "batches": plan.batches,
                "estimatedSeconds": round(plan.seconds, 1),
                "unmeasured": plan.unmeasured,
                "invalid": plan.faults,
                "updateTriggers": plan.target.update_triggers,
                "objections": [
                    {
                        "constraint": objection.constraint,
                        "refuses": objection.refuses,
                        "rows": objection.rows,
                        "first": [{"key": key, "value": value} for key, value in objection.first],
                        "message": str(objection),
                    }
                    for objection in plan.objections
                ],
                "changes": [
                    {"fundId": change.fund, "value": change.name, "canonical": change.canonical, "rows": change.rows}
                    for change in plan.changes
                ],
            }
            for plan in plans
        ],
    }


def _time(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"about {seconds:,.0f} s"


def _print_plan(session: Session, plans: Sequence[ColumnPlan], file: Remediation) -> None:
    table = Table("table", "column", "fund", "value", "becomes", "rows")
    changes = [(plan.target, change) for plan in plans for change in plan.changes]
    changes.sort(key=lambda pair: pair[1].canonical is not None)  # what somebody must look at comes first
    for target, change in changes[:MOST_LINES]:
        shown = (change.fund or "–", repr(change.name), change.canonical or "cannot be mapped", f"{change.rows:,}")
        table.add_row(target.table_name, target.column, *shown)
    if changes:
        show(table)
    if len(changes) > MOST_LINES:
        show(f"and {len(changes) - MOST_LINES} more, see --json")
    for plan in plans:
        rows, batches = counted(plan.rows, "row"), counted(plan.batches, "batch", "batches")
        faults = counted(plan.faults, "value")
        show(f"{plan.target.name}: {rows} to look at in {batches}, {_time(plan.seconds)}; {faults} cannot be mapped")
        if plan.unmeasured:
            show(f"{plan.target.name}: its time is a guess, not measured: {plan.unmeasured}")
    measured = any(plan.rows for plan in plans) and not any(plan.unmeasured for plan in plans)
    told = ", as told by rows that were written and taken back" if measured else ""
    show(f"in all {_time(sum(plan.seconds for plan in plans))}{told}")
    show(*(str(objection) for plan in plans for objection in plan.objections))
    for table_name, triggers in {plan.target.table_name: plan.target.update_triggers for plan in plans}.items():
        if triggers:
            show(
                f"{table_name}: triggers {', '.join(triggers)} fire for the migration's writes too, unless they test "
                "current_setting('stage_gateway.migration', true)"
            )
    show(f"vocabulary {session.vocabulary.fingerprint}")
    if file.count:
        show(*file.told(), "correct them, or run with --on-invalid record")
