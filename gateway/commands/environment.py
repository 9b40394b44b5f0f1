"""What commands of the gateway run in: the settings of the environment but for what was given, and an event loop."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.settings import Settings, read_settings

_Result = TypeVar("_Result")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration file; default STAGE_GATEWAY_CONFIG or config/gateway.json."
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan", metavar="FILE", help="Plan of the rollout; default STAGE_GATEWAY_PLAN or config/rollout.json."
    ),
]

SPEC = Path("config/migration.json")
SpecOption = Annotated[Path | None, typer.Option("--spec", metavar="FILE", help=f"Migration file; default {SPEC}.")]


def settings_with(**given: Any) -> Settings:
    """Return the settings of the environment, but for what a command was given and is not None."""
    return read_settings().model_copy(update={name: value for name, value in given.items() if value is not None})


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do work to its end on an event loop of its own."""
    import uvloop

    _open_standard_streams()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _open_standard_streams() -> None:
    """Open the null device in place of what we were started without: no socket of ours may have such a number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # standard error
        os.set_inheritable(descriptor, True)  # workers are started by us
    os.close(descriptor)
