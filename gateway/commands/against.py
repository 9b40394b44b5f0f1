"""`stage-gateway check --against`: what a file would change on running gateways, and whether it may."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.commands.asking import asked
from gateway.commands.environment import SPEC
from gateway.commands.measuring import measure
from gateway.commands.output import print_json, say, show
from gateway.errors import ConfigurationError, UnreachableError
from gateway.faults import shown
from gateway.promotion.changes import Caution, Kind, Running, cautions, changes, endpoint_changes, refusing_more
from gateway.promotion.enforcement import Enforcement
from gateway.promotion.gates import Answer, Readiness
from gateway.promotion.plan import Plan
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.settings import Settings

AgainstOption = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="URL",
        help="Admin port of a running gateway, as http://127.0.0.1:8081; may be repeated. Also tells what the file "
        "would change there, and whether it may.",
    ),
]
_HIDDEN = (
    "hides its configuration, so nothing of it was compared; name its token with STAGE_GATEWAY_ADMIN_TOKEN_FILE, or "
    "the STATE folder where it is kept, or ask on its own host"
)
_UNKNOWN = "says nothing of its configuration that this version knows; is it a gateway of this version?"


def compare(
    settings: Settings, rules: Rules, plan: Plan | None, addresses: list[str], report: dict[str, Any] | None
) -> int:
    """Print what a good file would change on running gateways; `report` is what else stands in the JSON, None for text.

    Returns 0 when it may be put in force, 1 when something is to be said against that, 3 when one cannot be reached.
    """
    from gateway.server.client import fetch_status  # what speaks HTTP takes long to import

    documents, code = asked(addresses, fetch_status)
    found: list[Caution] = []
    gateways: list[Running] = []
    for address, document in documents.items():
        if "unknownValues" not in document:
            found.append(Caution(Kind.HIDDEN, None, f"{address}: {_HIDDEN}"))
            continue
        try:
            gateways.append(Running.of(address, document))
        except (KeyError, TypeError, AttributeError, ConfigurationError) as error:
            raise UnreachableError(f"{address}: {_UNKNOWN}") from error
    notes: list[str] = []
    if gateways:
        found += cautions(gateways, rules)
        found += _migration(settings, gateways, rules, notes)
        found += _raised(settings, gateways, rules, plan)
    if report is None:
        _show(gateways, rules, found, notes)
        if not code:
            show("may not be put in force, see the warnings" if found else "may be put in force")
    else:
        print_json({**report, **_as_document(gateways, rules, found, notes), "may": not code and not found})
    return code or (1 if found else 0)


def _raised(settings: Settings, gateways: Sequence[Running], rules: Rules, plan: Plan | None) -> Iterator[Caution]:
    """Yield where more would be refused than the figures allow: those of the plan's next step, or the default ones."""
    if all(running.fingerprint == rules.fingerprint for running in gateways):
        return
    addresses = [running.address for running in gateways]
    more = list(dict.fromkeys(pattern for running in gateways for pattern in refusing_more(running.rules, rules)))
    step = None if plan is None else plan.at(rules.fingerprint)
    if step is not None:
        position, found = measure(settings, addresses, plan)
        if position.next is step:
            if found.answer is not Answer.READY:
                yield Caution(Kind.RAISES, None, f"{position.told}: {found.answer}: {_reasons(found)}")
            return
        if more and position.next is not None:
            why = f"is step {step.number}, {step.name}; next is step {position.next.number}, {position.next.name}"
            yield Caution(Kind.RAISES, None, why)
    for pattern in more:
        if not any(pattern in running.totals for running in gateways):
            why = f"enforces at {pattern}, which is no endpoint yet and has no figures; let it begin at warn"
            yield Caution(Kind.RAISES, pattern, why)
            continue
        _, found = measure(settings, addresses, None, endpoint=pattern)
        if found.answer is not Answer.READY:
            yield Caution(Kind.RAISES, pattern, f"enforces more at {pattern}: {found.answer}: {_reasons(found)}")


def _reasons(found: Readiness) -> str:
    """Return why an answer is not READY."""
    told = list(found.doubts)
    for one in found.findings:
        if one.answer not in {None, Answer.READY}:
            at = f" at {one.endpoint}" if one.endpoint is not None else ""
            why = f" ({one.why})" if one.why else ""
            told.append(f"{one.figure}{at} {one.value}, expected {one.threshold}{why}")
    return "; ".join(told)


def _migration(settings: Settings, gateways: Sequence[Running], rules: Rules, notes: list[str]) -> Iterator[Caution]:
    """Yield what a new vocabulary does to a migration under way; what was not looked at is put into `notes`."""
    then = rules.policy.vocabulary.fingerprint
    if all(running.rules.policy.vocabulary.fingerprint == then for running in gateways):
        return
    told = f"changes the vocabulary to {then}"
    if settings.database_url is None:
        notes.append(f"{told}; whether a migration is under way was not looked at: set STAGE_GATEWAY_DATABASE_URL")
        return
    if find_spec("psycopg") is None:
        cure = "get the PostgreSQL driver with: pip install 'stage-gateway[migration]'"
        yield Caution(Kind.VOCABULARY, None, f"{told}; whether a migration is under way is not known: {cure}")
        return
    from gateway.migration import ledger
    from gateway.migration.database import connected
    from gateway.migration.spec import load_spec

    try:
        with connected(settings.database_url, load_spec(SPEC), "check", writes=False) as connection:
            run = ledger.latest_run(connection)
    except ConfigurationError as error:
        yield Caution(Kind.VOCABULARY, None, f"{told}; whether a migration is under way is not known: {error}")
        return
    if run is not None and run.unfinished and run.fingerprint != then:
        under = f"run {run.run_id} of the migration ({run.status}) goes on under {run.fingerprint} alone"
        yield Caution(Kind.VOCABULARY, None, f"{told}: {under}; end it first, or undo it")


def _groups(gateways: Sequence[Running]) -> Iterable[list[Running]]:
    """Return the gateways, those together at which a file changes the same."""
    groups: dict[tuple[str, bool], list[Running]] = {}
    for running in gateways:
        groups.setdefault((running.fingerprint, running.dry_run), []).append(running)
    return groups.values()


def _as_document(
    gateways: Sequence[Running], rules: Rules, found: Sequence[Caution], notes: Sequence[str]
) -> dict[str, Any]:
    return {
        "against": [
            {
                "gateways": [running.address for running in group],
                "config": group[0].fingerprint,
                "vocabulary": group[0].rules.policy.vocabulary.fingerprint,
                "endpoints": [
                    {"endpoint": one.pattern, "now": _enforcement(one.now), "then": _enforcement(one.then)}
                    for one in endpoint_changes(group[0].rules, rules)
                ],
                "changes": [change._asdict() for change in changes(group[0], rules)],
            }
            for group in _groups(gateways)
        ],
        "cautions": [caution._asdict() for caution in found],
        "notLookedAt": list(notes),
    }


def _enforcement(found: Enforcement | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict()


def _show(gateways: Sequence[Running], rules: Rules, found: Sequence[Caution], notes: Sequence[str]) -> None:
    for group in _groups(gateways):
        where = ", ".join(running.address for running in group)
        now = group[0]
        settings = changes(now, rules)
        if not settings:
            show(f"{where}: nothing changes, configuration {now.fingerprint} is in force")
            continue
        show(f"{where}: configuration {now.fingerprint} becomes {rules.fingerprint}")
        old, new = now.rules.policy.vocabulary.fingerprint, rules.policy.vocabulary.fingerprint
        if old != new:
            show(f"vocabulary {old} becomes {new}")
        table = Table("endpoint", "now", "then")
        for one in endpoint_changes(now.rules, rules):
            table.add_row(one.pattern, _told(one.now), _told(one.then))
        rows = Table("setting", "now", "then")
        for change in settings:
            rows.add_row(change.place, *("–" if one is None else shown(one) for one in (change.now, change.then)))
        show(*(one for one in (table, rows) if one.row_count))
    for note in notes:
        say(f"note: {note}", err=True)
    for caution in found:
        say(f"warning: {caution.why}", err=True)


def _told(found: Enforcement | None) -> str:
    if found is None:
        return "no endpoint"
    return f"{found.mode} at {found.percent:g} %" if found.mode is Mode.ENFORCE else str(found.mode)
