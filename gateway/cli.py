"""The command line: its commands, and exit codes. Each command is a function of `gateway.commands`.

Exit codes: 0 yes/done, 1 no, 2 wrong usage or configuration, 3 something needed cannot be reached, 70 a fault of
ours, 130 interrupted.
"""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from gateway import __version__
from gateway.commands.check import check, schema
from gateway.commands.database import database_commands
from gateway.commands.encoding import make_legible
from gateway.commands.explain import explain
from gateway.commands.gateways import mode, status
from gateway.commands.groups import Command, group
from gateway.commands.readiness import readiness
from gateway.commands.replay import replay
from gateway.commands.rollback import rollback
from gateway.commands.rollout import rollout_commands
from gateway.commands.serving import demo, serve
from gateway.commands.vocabulary import vocabulary
from gateway.errors import GatewayError

NAME = "stage-gateway"
FAULT_OF_OURS = 70
INTERRUPTED = 130
_ABOUT = (
    "A reverse-proxy validation gateway for investment stages.\n\n"
    "Exit codes: 0 yes or done, 1 no, 2 wrong usage or configuration, 3 something cannot be reached, "
    "70 a fault of the gateway, 130 interrupted."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    make_legible()
    try:
        code = command_line()(arguments, prog_name=NAME, standalone_mode=False)
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


def command_line() -> typer.Typer:
    """Return all commands by their names."""
    commands: Mapping[str, Command] = {
        "serve": serve,
        "demo": demo,
        "check": check,
        "schema": schema,
        "explain": explain,
        "status": status,
        "mode": mode,
        "vocabulary": vocabulary,
        "readiness": readiness,
        "rollback": rollback,
        "replay": replay,
        "rollout": rollout_commands(),
        **database_commands(),
    }
    return group(_ABOUT, commands, _common)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"stage-gateway {__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
