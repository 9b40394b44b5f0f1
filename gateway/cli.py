"""The command line: arguments and exit codes. Each command is one call into a room below.

Exit codes: 0 yes/done, 1 no, 2 wrong usage or configuration, 3 something needed cannot be reached, 70 a fault of
ours, 130 interrupted.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from gateway import __version__
from gateway.commands.database import add_database_commands
from gateway.commands.gateways import mode, status
from gateway.commands.output import JsonOption, print_json, show
from gateway.errors import GatewayError
from gateway.rules.load import load, warnings
from gateway.rules.model import schema
from gateway.settings import Settings, read_settings, unread_variables
from gateway.telemetry.logs import set_up

if TYPE_CHECKING:
    from gateway.proxy.explain import Explanation

# Commands that carry HTTP import it when they run: it takes longer than all the rest of a short command.

NAME = "stage-gateway"
FAULT_OF_OURS = 70
INTERRUPTED = 130

app = typer.Typer(
    name=NAME,
    help=(
        "A reverse-proxy validation gateway for investment stages.\n\n"
        "Exit codes: 0 yes or done, 1 no, 2 wrong usage or configuration, 3 something cannot be reached, "
        "70 a fault of the gateway, 130 interrupted."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_Result = TypeVar("_Result")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration file; default STAGE_GATEWAY_CONFIG or config/gateway.json."
    ),
]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, prog_name=NAME, standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message().removesuffix(".")
        asked_nothing = message.startswith("Usage:")  # the help, when there was no command
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else NAME
        print(message if asked_nothing else f"error: {message}; see {command} --help", file=sys.stderr)
        return GatewayError.exit_code
    except GatewayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort, SystemExit):  # typer and rich exit by 1, a "no", when nobody reads
        return INTERRUPTED
    except Exception:  # a fault of ours must not look like a "no"
        Console(stderr=True).print_exception()
        return FAULT_OF_OURS
    return code if isinstance(code, int) else 0


def _settings(config: Path | None, **given: Any) -> Settings:
    settings = read_settings()
    named = {"config": config, **given}
    return settings.model_copy(update={name: value for name, value in named.items() if value is not None})


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    import uvloop

    _open_standard_streams()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _open_standard_streams() -> None:
    """Open the null device in place of what we were started without: no socket of ours may have such a number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # standard error
        os.set_inheritable(descriptor, True)  # workers are started by us
    os.close(descriptor)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"stage-gateway {__version__}")
        raise typer.Exit


app.command()(status)
app.command()(mode)
add_database_commands(app)


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the gateway. SIGHUP reloads the file, SIGTERM drains and ends.

    Where it listens comes from the environment: STAGE_GATEWAY_HOST and STAGE_GATEWAY_PORT (0.0.0.0, 8080), for the
    admin port STAGE_GATEWAY_ADMIN_HOST and STAGE_GATEWAY_ADMIN_PORT (127.0.0.1, 8081).

    Example: stage-gateway serve --config config/gateway.json
    """
    from gateway.server.app import App

    settings = _settings(config)
    set_up(settings.log_level, settings.log_format)

    async def work() -> None:
        await App(settings, load(settings.config, dry_run=settings.dry_run)).run()

    _run(work())


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Make the requests, show the answers, and end.")] = False,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Port of the gateway; 0 takes any free one.")] = None,
    admin_port: Annotated[int | None, typer.Option(metavar="PORT", help="Admin port; 0 takes any free one.")] = None,
    upstreams: Annotated[
        bool, typer.Option("--upstreams", help="Run the upstreams alone, where the configuration has them.")
    ] = False,
) -> int:
    """Run the gateway before two small built-in upstreams, and print requests to try.

    Example: stage-gateway demo --once --port 0 --admin-port 0
    """
    from gateway.demo.run import run_demo, run_upstreams

    settings = _settings(None, port=port, admin_port=admin_port)
    if upstreams:
        _run(run_upstreams(load(settings.config), typer.echo))
        return 0
    set_up("warning" if settings.log_level.lower() == "info" else settings.log_level, settings.log_format)
    return 0 if _run(run_demo(settings, typer.echo, once=once)) else 1


@app.command()
def check(
    config: ConfigOption = None,
    show: Annotated[bool, typer.Option("--print", help="Print the file with all its defaults.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration file: every error at once, and settings that cannot take effect.

    Example: stage-gateway check --config config/phases/1-baseline.json --print
    """
    settings = _settings(config)
    rules = load(settings.config, dry_run=settings.dry_run)
    vain = [*warnings(rules, dry_run=settings.dry_run), *unread_variables(os.environ)]
    if as_json:
        report = {"source": rules.source, "config": rules.fingerprint, "warnings": vain}
        report["vocabulary"] = rules.policy.vocabulary.fingerprint
        print_json({**report, "document": dict(rules.document)} if show else report)
        return
    for warning in vain:
        typer.echo(f"warning: {warning}", err=True)
    if show:
        print_json(dict(rules.document))
        return
    vocabulary = rules.policy.vocabulary.fingerprint
    typer.echo(f"{rules.source}: good (configuration {rules.fingerprint}, vocabulary {vocabulary})")


@app.command(name="schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration file.

    Example: stage-gateway schema > config/gateway.schema.json
    """
    print_json(schema())


@app.command(name="explain")
def explain_request(
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
    from gateway.proxy.explain import explain

    settings = _settings(config)
    rules = load(settings.config, dry_run=settings.dry_run)
    told = explain(rules, method, path, _fields(header or []), _body(body))
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
        standing, verdict = told.decision.standing, told.decision.verdict
        document |= {
            "endpoint": told.decision.endpoint,
            "mode": standing.mode,
            "effectiveMode": standing.effective,
            "reason": verdict.reason,
            "count": verdict.count,
            "bucket": standing.bucket,
            "fundId": told.decision.fund,
            "responseHeaders": dict(told.response_fields),
        }
    return {**document, "problem": told.problem}
