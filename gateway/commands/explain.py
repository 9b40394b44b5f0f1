"""`stage-gateway explain`: what would happen to a request, and why."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gateway.commands.environment import ConfigOption, settings_with
from gateway.commands.output import JsonOption, print_json, show
from gateway.rules.load import load

if TYPE_CHECKING:
    from gateway.proxy.explain import Explanation


def explain(
    method: Annotated[str, typer.Option(metavar="METHOD", help="Method of the request.")],
    path: Annotated[str, typer.Option(metavar="TARGET", help="Path and query, as sent.")],
    header: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="'Name: value'; may be repeated.")] = None,
    body: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the body, - for standard input; JSON wants its --header Content-Type."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tell what would happen to a request, and why. Exit 1 when it would be refused.

    \b
    Example: stage-gateway explain --method GET --path "/api/funds/7/companies?stage=Series%20A"
             stage-gateway explain --method PUT --path /api/portfolio/strategies/1 \\
                 --header "Content-Type: application/json" --body strategy.json
    """  # noqa: D301 - the mark for a line that is not to be wrapped
    from gateway.proxy import explain as request  # what carries HTTP takes long to import

    settings = settings_with(config=config)
    rules = load(settings.config, dry_run=settings.dry_run)
    told = request.explain(rules, method, path, _fields(header or []), _body(body))
    if as_json:
        print_json(_as_document(told))
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for topic, text in told.steps:
            table.add_row(f"{topic}:", text)
        show(table)
    return 1 if told.refused else 0


def _fields(lines: list[str]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise typer.BadParameter(f"{line!r} is no header, expected 'Name: value'", param_hint="--header")
        fields.append(
            (name.strip().encode("utf-8", "surrogateescape"), value.strip().encode("utf-8", "surrogateescape"))
        )
    return fields


def _body(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--body") from error


def _as_document(told: "Explanation") -> dict[str, Any]:
    document: dict[str, Any] = {
        "outcome": told.outcome,
        "status": told.status,
        "steps": [{"topic": topic, "text": text} for topic, text in told.steps],
    }
    if told.decision is not None:
        enforcement, verdict = told.decision.enforcement, told.decision.verdict
        document |= {
            "endpoint": told.decision.endpoint,
            "mode": enforcement.mode,
            "effectiveMode": enforcement.effective,
            "reason": verdict.reason,
            "count": verdict.count,
            "bucket": enforcement.bucket,
            "fundId": told.decision.fund,
            "responseHeaders": dict(told.response_fields),
        }
    return {**document, "problem": told.problem}
