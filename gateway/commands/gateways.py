"""`stage-gateway status` and `mode`: what running gateways have in force, and holding their endpoints."""

import re
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.commands.asking import AdminOption, asked, who, why
from gateway.commands.output import JsonOption, print_json, say, show

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})


def status(admin: AdminOption = None, as_json: JsonOption = False) -> int:
    """Show what running gateways have in force. Exit 3 when one cannot be reached.

    Example: stage-gateway status --admin http://127.0.0.1:8081
    """
    from gateway.server.client import fetch_status  # what speaks HTTP takes long to import

    documents, code = asked(admin, fetch_status)
    if as_json:
        print_json(documents)
    else:
        for address, document in documents.items():
            _show_status(address, document)
    return code


def mode(
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Pattern of the endpoint; none shows what is held.")
    ] = None,
    mode: Annotated[str | None, typer.Argument(metavar="MODE", help="'warn' or 'off'.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="REASON", help="Why; needed to hold an endpoint.")] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="For how long: 90s, 30m, 4h, 2d.")
    ] = None,
    clear: Annotated[str | None, typer.Option(metavar="ENDPOINT", help="Pattern of the endpoint to let go of.")] = None,
    admin: AdminOption = None,
    as_json: JsonOption = False,
) -> int:
    """Hold an endpoint at a less strict mode while the gateways run, or show what is held.

    The mode in force is the less strict of this and the file's, so a reload never makes it stricter: only --clear
    leads back. Exit 3, naming them, when a gateway cannot be reached, 1 when one keeps it but could not store it.

    \b
    Example: stage-gateway mode /api/portfolio/strategies warn --reason "old names" --for 4h
             stage-gateway mode --clear /api/portfolio/strategies
    """  # noqa: D301 - the mark for lines that are not to be wrapped
    from gateway.server.client import fetch_status, send_mode

    if endpoint is None and clear is None:
        documents, code = asked(admin, fetch_status)
        held = {address: _held(document) for address, document in documents.items()}
        if as_json:
            print_json(held)
        elif held:  # of gateways that gave no answer nobody knows
            _show_held(held)
        return code
    change = _change(endpoint, mode, reason, duration, clear)
    documents, code = asked(admin, lambda address, token: send_mode(address, token, change))
    if as_json:
        print_json(documents)
    for address, document in documents.items():
        if not as_json:
            show(f"{address}  {document['endpoint']} is {_in_mode(document['mode'])}")
        if not document["stored"]:
            say(f"{address}: in force, but not stored yet; a restart now would forget it", err=True)
            code = code or 1
    return code


def _change(
    endpoint: str | None, mode: str | None, reason: str | None, duration: str | None, clear: str | None
) -> dict[str, Any]:
    by = who()
    if clear is not None:
        if endpoint is not None:
            raise typer.BadParameter("either holds an endpoint or lets go of one", param_hint="--clear")
        return {"endpoint": clear, "mode": None, "by": by}
    if mode not in {"warn", "off"}:
        cure = "'warn' or 'off'; an endpoint is only made stricter in the configuration file"
        raise typer.BadParameter(f"got {mode!r}, expected {cure}", param_hint="MODE")
    return {
        "endpoint": endpoint,
        "mode": mode,
        "reason": why(reason or ""),
        "by": by,
        "seconds": seconds_of(duration, "--for"),
    }


def _in_mode(mode: str | None) -> str:
    return "no endpoint now" if mode is None else f"in {mode}"


def seconds_of(duration: str | None, option: str) -> float | None:
    """Return a duration that an option was given in seconds, None for none. Raises typer.BadParameter."""
    if duration is None:
        return None
    match = _DURATION.fullmatch(duration.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"got {duration!r}, expected a time such as 90s, 30m, 4h or 2d", param_hint=option)
    return float(match[1]) * _SECONDS[match[2]]


def _held(document: dict[str, Any]) -> dict[str, Any]:
    return {pattern: found["override"] for pattern, found in document["endpoints"].items() if found["override"]}


def _show_held(held: dict[str, dict[str, Any]]) -> None:
    table = Table("endpoint", "gateway", "mode", "held by", "reason", "by", "since", "ends")
    for address, endpoints in held.items():
        for pattern, override in endpoints.items():
            until = _when(override["until"]) if override["until"] is not None else "when it is cleared"
            since = _when(override["since"]) if override["since"] else "the start"
            sources = ", ".join(override["sources"])
            table.add_row(pattern, address, override["mode"], sources, override["reason"], override["by"], since, until)
    show(table if table.row_count else "nothing is held")


def _when(told: str) -> str:
    """Return a time as people read it."""
    return f"{datetime.fromisoformat(told):%Y-%m-%d %H:%M:%S} UTC"


def _show_status(address: str, document: dict[str, Any]) -> None:
    config, last = document["config"], document["lastReload"]
    lines = [
        f"{address}  version {document['version']}  configuration {config['fingerprint']} ({config['source']})",
        f"vocabulary {document['vocabulary']['fingerprint']}  dry run {'on' if document['dryRun'] else 'off'}",
        f"in flight {document['inFlight']}{'  DRAINING' if document['draining'] else ''}",
    ]
    table = Table("endpoint", "mode", "percent", "override", "pass", "warn", "would reject", "reject")
    for pattern, endpoint in document["endpoints"].items():
        totals, override = endpoint["totals"], endpoint["override"]
        counts = (str(totals[result]) for result in ("pass", "warn", "would_reject", "reject"))
        held = ", ".join(override["sources"]) if override else "–"
        table.add_row(pattern, endpoint["mode"], f"{endpoint['percent']:g}", held, *counts)
    errors = [f"last reload failed ({last['at']}): {error}" for error in last["errors"]]
    if document["overrides"]["error"] is not None:
        errors.append(f"overrides: {document['overrides']['error']}")
    show(*lines, table, *errors)
