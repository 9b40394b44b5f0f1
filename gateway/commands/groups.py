"""The one way in which commands come to a command line: as a table of functions, by the names that people give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import typer


@dataclass(frozen=True, slots=True)
class TakesAnything:
    """A command that takes whatever words follow it, `--help` too."""

    function: Callable[..., object]


Command: TypeAlias = Callable[..., object] | TakesAnything | typer.Typer


def group(about: str, commands: Mapping[str, Command], common: Callable[..., object] | None = None) -> typer.Typer:
    """Return a group of commands, and of groups; asked for none of them, it shows its help, which begins with `about`.

    `common` takes the options that stand before a command.
    """
    made = typer.Typer(
        help=about,
        callback=common,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, command in commands.items():
        match command:
            case typer.Typer():
                made.add_typer(command, name=name)
            case TakesAnything():
                anything = {"allow_extra_args": True, "ignore_unknown_options": True}
                made.command(name, context_settings=anything, add_help_option=False)(command.function)
            case _:
                made.command(name)(command)
    return made
