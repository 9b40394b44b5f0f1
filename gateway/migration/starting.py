"""What comes before the first batch: everything that can say no, and then everything that a run stands on.

Nothing is written before all checks are passed. The order: lock, columns, objects of others, the run that is to go on,
values that cannot be mapped, what the tables will not take, snapshot; then, in one transaction, the migration's own
tables, functions and views; and only then the triggers, which need them, and the counts at the start.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.errors import RefusedError
from gateway.migration import ledger
from gateway.migration.catalog import Target, find_targets
from gateway.migration.database import Connection, want_own_schema
from gateway.migration.faults import faults_of
from gateway.migration.guard import install_functions, install_triggers
from gateway.migration.lock import take_lock
from gateway.migration.mapping import Spellings, spellings
from gateway.migration.metrics import MigrationMetrics
from gateway.migration.objections import Objector
from gateway.migration.objects import want_free
from gateway.migration.progress import Reporter
from gateway.migration.reads import install_views
from gateway.migration.remediation import Remediation
from gateway.migration.running import OnInvalid, Runner
from gateway.migration.shapes import fragments, parameters
from gateway.migration.spec import Spec
from gateway.migration.statements import statement
from gateway.migration.wording import counted
from gateway.stages.vocabulary import Vocabulary

TakeSnapshot = Callable[[Sequence[Target]], str]


def start(
    connection: Connection,
    spec: Spec,
    vocabulary: Vocabulary,
    *,
    snapshot: TakeSnapshot | None,
    on_invalid: OnInvalid,
    remediation: Path,
    reporter: Reporter,
    metrics: MigrationMetrics,
) -> Runner:
    """Return a runner that only needs to run; a run that was killed or failed goes on.

    `snapshot` makes or names the snapshot; a run that goes on has one. Raises RefusedError, GatewayError and
    WrongDatabaseError, nothing written.
    """
    take_lock(connection)
    want_own_schema(connection, spec)
    targets = find_targets(connection, spec, max(map(len, vocabulary.canonical)))
    want_free(connection, targets)
    ledger.want_as_before(connection, targets)
    before = _to_go_on_with(connection, targets, vocabulary)
    if before is None and snapshot is None:
        raise RefusedError(
            "a run wants a snapshot first: --snapshot DIR, --snapshot-ref TEXT, or, said aloud, --no-snapshot"
        )
    maps = _maps_without_faults(connection, targets, vocabulary, on_invalid, remediation)
    _want_no_objection(connection, targets, vocabulary, maps, reporter)
    made = snapshot(targets) if before is None and snapshot is not None else ""
    numbered = connection.atomically(lambda: _installed(connection, targets, vocabulary))
    install_triggers(connection, numbered, vocabulary)
    ledger.take_baselines(connection, numbered, vocabulary)
    last = ledger.latest_run(connection)
    if last is not None and last.status == "undone":
        ledger.forget_undone(connection, last.run_id)
    if before is None:
        run_id = ledger.start_run(connection, numbered, vocabulary, made, on_invalid)
    else:
        run_id = before.run_id
        connection.execute(statement("resume_run"), {"run": run_id, "on_invalid": on_invalid})
        reporter.note(f"going on with run {run_id}: left to do: {counted(before.open_batches, 'batch', 'batches')}")
    known = {target.target_id: maps[target.place] for target in numbered if target.place in maps}
    return Runner(connection, spec, vocabulary, numbered, run_id, on_invalid, reporter, metrics, known)


def _installed(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> list[Target]:
    """Make all that triggers need, or nothing of it; returns the targets with their numbers."""
    want_free(connection, targets)  # again: a snapshot takes its time
    numbered = ledger.install(connection, targets, vocabulary)
    install_functions(connection, numbered, vocabulary)
    install_views(connection, numbered)
    return numbered


def _to_go_on_with(connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary) -> ledger.Run | None:
    run = ledger.latest_run(connection)
    if refusal := refusal_to_go_on(run, targets, vocabulary):
        raise RefusedError(refusal)
    return run if run is not None and run.unfinished else None


def refusal_to_go_on(run: ledger.Run | None, targets: Sequence[Target], vocabulary: Vocabulary) -> str | None:
    """Return why the last run, where it is not finished, does not go on with these; None when it does, or is over."""
    if run is None or not run.unfinished:
        return None
    if run.fingerprint != vocabulary.fingerprint:
        return (
            f"run {run.run_id} was begun under vocabulary {run.fingerprint} and is not finished, this one is "
            f"{vocabulary.fingerprint}; give it the vocabulary it had, or undo it"
        )
    if run.targets != [target.identity for target in targets]:
        return (
            f"run {run.run_id} was begun for other columns and is not finished; "
            "give it the migration file it had, or undo it"
        )
    return None


def _maps_without_faults(
    connection: Connection, targets: Sequence[Target], vocabulary: Vocabulary, on_invalid: OnInvalid, path: Path
) -> dict[tuple[str, str, str], Spellings]:
    """Return the map of every column that has work, by the column's place, after listing what cannot be mapped."""
    maps: dict[tuple[str, str, str], Spellings] = {}
    with Remediation(path) as file:
        for target in targets:
            if has_work(connection, target, vocabulary):
                maps[target.place] = spellings(connection, target, vocabulary)
                for fault in faults_of(connection, target, vocabulary, maps[target.place]):
                    file.add(fault)
    if file.count and on_invalid == "refuse":
        raise RefusedError(
            "\n".join([*file.told(), "nothing was written; correct them, or run with --on-invalid record"])
        )
    return maps


def _want_no_objection(
    connection: Connection,
    targets: Sequence[Target],
    vocabulary: Vocabulary,
    maps: Mapping[tuple[str, str, str], Spellings],
    reporter: Reporter,
) -> None:
    """Raise RefusedError with all that the tables will not take."""
    objector = Objector(connection, vocabulary)
    refused: list[str] = []
    for target in (target for target in targets if target.place in maps):
        for objection in objector.about(target, maps[target.place].known):
            if objection.refuses:
                refused.append(str(objection))
            else:
                reporter.note(str(objection))
    if refused:
        raise RefusedError("\n".join([*refused, "nothing was written; run again once the tables take these values"]))


def has_work(connection: Connection, target: Target, vocabulary: Vocabulary) -> bool:
    """Return whether any row of a column is not canonical."""
    cursor = connection.unhurried(statement("any_work", **fragments(target)), parameters(target, vocabulary, {}))
    return any(row["there"] for row in cursor.fetchall())
