"""`stage-gateway reads …`: which values readers of the views are shown."""

from functools import partial
from typing import Annotated

import typer

from gateway.commands.output import JsonOption, print_json, show
from gateway.commands.session import ConfigOption, Session, SpecOption
from gateway.migration import ledger
from gateway.migration.reads import ReadMode, grant_reads, reads_status, set_reads, shown_all_the_same


def legacy(spec: SpecOption = None, config: ConfigOption = None) -> None:
    """Show readers the values as they were before the migration.

    Example: stage-gateway reads legacy
    """
    _set(spec, config, "legacy")


def canonical(spec: SpecOption = None, config: ConfigOption = None) -> None:
    """Show readers the tables as they are.

    Example: stage-gateway reads canonical
    """
    _set(spec, config, "canonical")


def _set(spec: SpecOption, config: ConfigOption, mode: ReadMode) -> None:
    session = Session.of(spec, config)
    with session.connected(f"reads {mode}") as connection:
        ledger.want_installed(connection)
        changed = set_reads(connection, mode)
        lines = shown_all_the_same(connection, partial(ledger.present, connection)) if mode == "legacy" else []
    show(f"readers are shown {mode} values{'' if changed else ', as before'}", *lines)


def status(spec: SpecOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell which values readers are shown, and since when.

    Example: stage-gateway reads status
    """
    session = Session.of(spec, config)
    with session.connected("reads status", writes=False) as connection:
        ledger.want_installed(connection)
        mode = reads_status(connection)
    since = mode["changed_at"].isoformat(timespec="seconds")
    if as_json:
        print_json({"mode": mode["mode"], "changedAt": since, "changedBy": mode["changed_by"]})
    else:
        show(f"{mode['mode']}, since {since}, set by {mode['changed_by']}")


def grant(
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE", help="Role that is to read through the views; it must be able to read the tables."
        ),
    ],
    spec: SpecOption = None,
    config: ConfigOption = None,
) -> None:
    """Give a role what it needs to read through the views.

    Example: stage-gateway reads grant app_reader
    """
    session = Session.of(spec, config)
    with session.connected("reads grant") as connection:
        ledger.want_installed(connection)
        views = grant_reads(connection, ledger.present(connection), role, session.spec.schema_)
    show(f"{role} may read {', '.join(views)}")
