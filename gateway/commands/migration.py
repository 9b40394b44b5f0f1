"""`stage-gateway migrate …`: run the migration of stored stages, steer it and undo it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from gateway.commands import progress
from gateway.commands.output import JsonOption, print_json, show
from gateway.commands.plan import REMEDIATION, RemediationOption
from gateway.commands.session import ConfigOption, Session, SpecOption
from gateway.migration import control, finishing, ledger
from gateway.migration.catalog import Target
from gateway.migration.database import Connection
from gateway.migration.faults import recorded_faults
from gateway.migration.guard import guard_status, set_guard
from gateway.migration.lock import take_lock
from gateway.migration.metrics import MigrationMetrics, served
from gateway.migration.progress import Reporter
from gateway.migration.remediation import Remediation
from gateway.migration.running import Runner
from gateway.migration.snapshot import dump
from gateway.migration.starting import TakeSnapshot, start
from gateway.migration.undo import Undo, edited
from gateway.migration.verification.verifier import verify
from gateway.migration.wording import counted
from gateway.stages.vocabulary import Vocabulary

SAMPLE = 100
MOST_LINES = 20  # of a list for people; machines get all


def run(
    spec: SpecOption = None,
    config: ConfigOption = None,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder; the tables are dumped there first, with pg_dump.")
    ] = None,
    snapshot_ref: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of a snapshot that was made elsewhere.")
    ] = None,
    no_snapshot: Annotated[bool, typer.Option("--no-snapshot", help="Go without a snapshot.")] = False,
    on_invalid: Annotated[
        Literal["refuse", "record"],
        typer.Option(metavar="refuse|record", help="What to do about values that cannot be mapped."),
    ] = "refuse",
    remediation: RemediationOption = REMEDIATION,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Port on loopback for stage_migration_* metrics."),
    ] = None,
) -> int:
    """Make stored stages canonical, batch by batch, or go on where a run was stopped.

    May be killed at any moment. Exit 1 when a value cannot be mapped, or another run holds the lock.

    Example: stage-gateway migrate run --snapshot /var/backups/stages
    """
    session = Session.of(spec, config)
    take = _snapshot(session, snapshot, snapshot_ref, no_snapshot=no_snapshot)
    metrics = MigrationMetrics()
    with session.connected("migrate run") as connection, served(metrics, metrics_port), progress.reporter() as reporter:
        runner = start(
            connection,
            session.spec,
            session.vocabulary,
            snapshot=take,
            on_invalid=on_invalid,
            remediation=remediation,
            reporter=reporter,
            metrics=metrics,
        )
        counts = runner.run()
        invalid = counts["invalid_rows"]
        if invalid:
            _tell_recorded(connection, runner, session.vocabulary, remediation, reporter)
        left = f", {counted(invalid, 'row')} cannot be mapped, see {remediation}" if invalid else ""
        values, batches = counted(counts["updated"], "value"), counted(counts["done"], "batch", "batches")
        reporter.note(f"done: {values} made canonical in {batches}{left}")
    return 1 if invalid else 0


def _tell_recorded(
    connection: Connection, runner: Runner, vocabulary: Vocabulary, path: Path, reporter: Reporter
) -> None:
    """List what a run left out, as it stands in the end: the list from its start lacks what came in meanwhile."""
    with Remediation(path) as file:
        for target in runner.targets:
            for fault in recorded_faults(connection, target, vocabulary, runner.run_id):
                file.add(fault)
    for line in file.told():
        reporter.note(line)


def _snapshot(session: Session, folder: Path | None, name: str | None, *, no_snapshot: bool) -> TakeSnapshot | None:
    given = [folder is not None, name is not None, no_snapshot]
    if sum(given) > 1:
        raise typer.BadParameter("one of --snapshot, --snapshot-ref and --no-snapshot is enough")
    if folder is not None:
        chosen = folder

        def take(targets: Sequence[Target]) -> str:
            return dump(session.url or "", targets, chosen)

        return take
    if name is not None or no_snapshot:
        return lambda _: name or "none, as asked for"
    return None


def status(spec: SpecOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell how far the migration is.

    Example: stage-gateway migrate status --json
    """
    session = Session.of(spec, config)
    with session.connected("migrate status", writes=False) as connection:
        document = control.status(connection)
    if as_json:
        print_json(document)
    elif document["run"] is None:
        show("no migration has been started in this database")
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in _lines(document):
            table.add_row(f"{name}:", value)
        show(table)


def _lines(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    batches = ", ".join(f"{count:,} {name}" for name, count in document["batches"].items())
    yield "run", f"{document['run']}, {document['status']}"
    changed = counted(document["updated"], "value")
    yield "rows", f"{document['rowsDone']:,} of {document['rows']:,} looked at, {changed} changed"
    if document["status"].startswith("und"):  # undoing, interrupted in it, or undone
        yield "undo", f"{counted(document['restored'], 'value')} restored"
    yield "batches", batches
    yield "cannot be mapped", counted(document["invalidRows"], "row")
    yield "guard", f"{document['guard']['mode']}, {_seen(document['guard']['seen'])}"
    yield "reads", document["reads"]
    yield "vocabulary", document["vocabulary"]
    yield "snapshot", document["snapshot"]
    for name, key in (("waiting", "waitingFor"), ("last error", "lastError")):
        if document[key]:
            yield name, document[key]


def _seen(names: int) -> str:
    return f"{counted(names, 'name')} came in that {'is' if names == 1 else 'are'} not canonical"


def pause(spec: SpecOption = None, config: ConfigOption = None) -> None:
    """Let the run under way stop after its batch. Exit 1 when there is none.

    Example: stage-gateway migrate pause
    """
    _pause(spec, config, paused=True)


def resume(spec: SpecOption = None, config: ConfigOption = None) -> None:
    """Let a paused run go on. Exit 1 when there is none; a run that was killed goes on with: migrate run.

    Example: stage-gateway migrate resume
    """
    _pause(spec, config, paused=False)


def _pause(spec: Path | None, config: Path | None, *, paused: bool) -> None:
    session = Session.of(spec, config)
    with session.connected("migrate pause") as connection:
        control.set_paused(connection, paused=paused)
    show("paused, after the batch under way" if paused else "going on")


def undo(spec: SpecOption = None, config: ConfigOption = None) -> None:
    """Restore every changed value, to the letter, but for those that were edited since. They are listed.

    Exit 1 when nothing was ever migrated; after an undo another one changes nothing, and is done.

    Example: stage-gateway migrate undo
    """
    session = Session.of(spec, config)
    with session.connected("migrate undo") as connection, progress.reporter() as reporter:
        take_lock(connection)
        work = Undo(connection, session.spec, reporter)
        restored = work.run()
        left = 0
        for value in edited(connection):
            left += 1
            if left <= MOST_LINES:
                now = "its row is gone" if value.gone else f"now {value.now!r}"
                reporter.note(f"left alone: {value.table}.{value.column}, key {value.key}: was {value.before!r}, {now}")
        if left > MOST_LINES:
            reporter.note(f"and {left - MOST_LINES:,} more")
        for place, values in ledger.dropped(connection).items():
            reporter.note(f"{place}: was dropped since the migration, {counted(values, 'value')} cannot be restored")
        done = (
            "undone before, nothing was changed"
            if work.was_undone
            else f"undone: {counted(restored, 'value')} restored"
        )
        reporter.note(f"{done}, {left:,} edited since and left alone")


def guard(
    mode: Annotated[
        Literal["record", "refuse", "off"] | None, typer.Argument(help="What to do about names coming in; none: show.")
    ] = None,
    spec: SpecOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set what the database does about names coming in that are not canonical.

    record notes them and lets them in, refuse lets no new ones in, off looks away.

    Example: stage-gateway migrate guard refuse
    """
    session = Session.of(spec, config)
    with session.connected("migrate guard", writes=mode is not None) as connection:
        ledger.want_installed(connection)
        if mode is not None:
            set_guard(connection, mode)
        seen = guard_status(connection)
    if as_json:
        print_json({"mode": seen["mode"], "seen": seen["seen"]})
    else:
        show(f"guard: {seen['mode']}; {_seen(seen['seen'])}")


def finish(
    spec: SpecOption = None,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only tell what would be lost.")] = False,
) -> int:
    """Remove what the migration put into the database, after verify has passed. Nothing can be undone afterwards.

    Example: stage-gateway migrate finish --yes
    """
    session = Session.of(spec, config)
    with session.connected("migrate finish") as connection:
        ledger.want_installed(connection)
        ledger.want_in_place(connection)
        take_lock(connection)
        finishing.want_ours(connection)
        rows = finishing.undo_rows(connection)
        run = ledger.latest_run(connection)
        if run is not None and run.status != "undone":  # a start that failed left no run, and nothing to verify
            with session.connected("verify", writes=False) as other:
                report = verify(other, session.vocabulary, session.spec.column_places(), sample=SAMPLE, seed=0)
            if not report.holds:
                show(
                    f"verify finds {counted(len(report.violations), 'violation')}, nothing was removed; "
                    "see: stage-gateway verify"
                )
                return 1
        if not yes:
            show(
                f"finish would remove the views, triggers and progress, and the undo rows of {counted(rows, 'value')}, "
                "which can then no longer be undone; say --yes to do it"
            )
            return 1
        finishing.finish(connection)
    show(f"finished; {counted(rows, 'value')} can no longer be undone")
    return 0
