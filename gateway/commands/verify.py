"""`stage-gateway verify`: checks what a migration left in the database."""

import json
import random
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway.commands.output import JsonOption, print_json, show
from gateway.commands.session import ConfigOption, Session, SpecOption
from gateway.errors import GatewayError
from gateway.migration import ledger
from gateway.migration.verification import verifier
from gateway.migration.verification.report import Report
from gateway.migration.wording import counted


def verify(
    spec: SpecOption = None,
    config: ConfigOption = None,
    sample: Annotated[
        int, typer.Option(min=0, metavar="ROWS", help="Changed values of each column to work out a second time.")
    ] = 100,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Decides which; default: any.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File for the report as JSON.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Check the migrated database, and list everything that does not hold. Exit 1 when anything does not.

    Example: stage-gateway verify --output report.json
    """
    session = Session.of(spec, config)
    chosen = random.randrange(2**31) if seed is None else seed  # noqa: S311 - a sample, no secret
    with session.connected("verify", writes=False) as connection:
        ledger.want_installed(connection)
        ledger.want_in_place(connection)
        now = ledger.clock(connection).astimezone(UTC)  # before the snapshot: what a run does later is not in it
        report = verifier.verify(
            connection, session.vocabulary, session.spec.column_places(), sample=sample, seed=chosen
        )
    if output is not None:
        document = {"time": now.isoformat(), **report.document()}
        try:
            output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise GatewayError(f"{output}: cannot be written: {error.strerror}; name another file") from error
    if as_json:
        print_json(report.document())
    else:
        _print(report)
        if output is not None:
            show("", "For the CHANGELOG:", *report.changelog(f"{now:%Y-%m-%d}"))
    return 0 if report.holds else 1


def _print(report: Report) -> None:
    table = Table("check", "violations")
    for name, count in report.checks.items():
        table.add_row(name, str(count) if count else "none")
    show(table)
    stages = Table("column", "stage", "values before", "values now")
    for (column, stage), (before, after) in report.stages_of_columns().items():
        stages.add_row(column, stage or "none that is known", f"{before:,}", f"{after:,}")
    if report.stages:
        show(stages)
    for violation in report.violations:
        show(f"violation: {violation}")
    for line in report.information:
        show(f"for information: {line}")
    show("all checks hold" if report.holds else counted(len(report.violations), "violation"))
