"""`stage-gateway rollout`: where the plan stands, one step forward when its gate is ready, one step back at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.asking import AdminOption, addresses
from gateway.commands.environment import ConfigOption, PlanOption, settings_with
from gateway.commands.groups import group
from gateway.commands.output import JsonOption, print_json, say, show
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.commands.rollout_way import Ended, Way

OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write the step's file there, and reload nothing.")
]
ConfigMapOption = Annotated[
    str | None,
    typer.Option("--configmap", metavar="NAME", help="Make --output a patch that puts the file into this ConfigMap."),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long gateways get to take a file in.")
]


def rollout_commands() -> typer.Typer:
    """Return the commands that lead through a plan."""
    about = "Lead a rollout through its plan: forward when the figures allow, back at once."
    return group(about, {"status": status, "next": next_, "back": back, "run": run})


def status(
    config: ConfigOption = None, plan: PlanOption = None, admin: AdminOption = None, as_json: JsonOption = False
) -> int:
    """Show the whole plan: which step each gateway has in force, what came before it, and what the next one asks for.

    Exit 3 when a gateway cannot be reached.

    Example: stage-gateway rollout status --admin http://127.0.0.1:8081
    """
    from gateway.commands.rollout_status import Overview

    way = _way(settings_with(config=config, plan=plan), admin)
    gateways, errors = way.fleet.look()
    overview = Overview.of(way, gateways)
    if as_json:
        print_json({**overview.document(), "unreachable": {one: str(error) for one, error in errors.items()}})
    else:
        show(*overview.parts())
    for error in errors.values():
        say(str(error), err=True)
    return max((error.exit_code for error in errors.values()), default=0)


def next_(
    write: Annotated[bool, typer.Option("--write", help="Put the file in the place of the one in force.")] = False,
    output: OutputOption = None,
    config_map: ConfigMapOption = None,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Take the step though its gate is not ready. It stays told.")
    ] = None,
    config: ConfigOption = None,
    plan: PlanOption = None,
    admin: AdminOption = None,
    timeout: TimeoutOption = 30,
    as_json: JsonOption = False,
) -> int:
    """Make the file of the next step and show what it changes; with --write put it in force on every gateway.

    Exit 1 unless the gate says READY, with its figures, and 3 when a gateway cannot be reached or does not take the
    file in. Interrupted, the same command goes on.

    \b
    Example: stage-gateway rollout next
             stage-gateway rollout next --write --admin http://10.0.0.1:8081 --admin http://10.0.0.2:8081
    """  # noqa: D301 - the mark for lines that are not to be wrapped
    from gateway.commands.rollout_forward import advance

    _one_of(write, output, config_map)
    if force is not None and (not force.strip() or not force.isprintable()):
        raise typer.BadParameter("say in one line why the step is taken all the same", param_hint="--force")
    settings = settings_with(config=config, plan=plan)
    way = _way(settings, admin, writes=write, output=output, config_map=config_map, timeout=timeout)
    return _tell(lambda: advance(way, None if force is None else force.strip()), as_json=as_json)


def back(
    output: OutputOption = None,
    config_map: ConfigMapOption = None,
    config: ConfigOption = None,
    plan: PlanOption = None,
    admin: AdminOption = None,
    timeout: TimeoutOption = 30,
    as_json: JsonOption = False,
) -> int:
    """Go to the step before, without asking a figure: endpoints are held at warn at once, then the file is written.

    What was held is let go of when every gateway has the file in force; until then it stays held, and the exit is 3.
    Given again, it goes on where it was interrupted.

    Example: stage-gateway rollout back --admin http://10.0.0.1:8081 --admin http://10.0.0.2:8081
    """
    from gateway.commands.rollout_back import retreat

    _one_of(False, output, config_map)
    settings = settings_with(config=config, plan=plan)
    way = _way(settings, admin, writes=output is None, output=output, config_map=config_map, timeout=timeout)
    return _tell(lambda: retreat(way), as_json=as_json)


def run(
    write: Annotated[bool, typer.Option("--write", help="Put files in the place of the one in force.")] = False,
    output: OutputOption = None,
    config_map: ConfigMapOption = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, take one step at most, and end.")] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="How often to look: 90s, 5m.")] = "60s",
    config: ConfigOption = None,
    plan: PlanOption = None,
    admin: AdminOption = None,
    timeout: TimeoutOption = 30,
) -> int:
    """Take steps while the gate says READY, to the end of the plan; go back when a named alert fires.

    Exit 0 at the end of the plan, 1 where a person has to look: a gate that says NOT_READY, or an alert after which it
    went back. With --once also 0 while there is not enough data yet.

    Example: stage-gateway rollout run --write --interval 5m --admin http://127.0.0.1:8081
    """
    from gateway.commands.rollout_run import Runner
    from gateway.telemetry.logs import set_up

    _one_of(write, output, config_map)
    if not write and output is None:
        raise typer.BadParameter("expected --write, or --output and a file", param_hint="--write")
    if output is not None and not once:
        raise typer.BadParameter("expected --once: nobody puts the file in force meanwhile", param_hint="--output")
    settings = settings_with(config=config, plan=plan)
    set_up(settings.log_level, settings.log_format)
    way = _way(settings, admin, writes=write, output=output, config_map=config_map, timeout=timeout)
    return Runner(way, _seconds(interval)).run(once=once)


def _one_of(write: bool, output: Path | None, config_map: str | None) -> None:
    if write and output is not None:
        raise typer.BadParameter("either --write or --output", param_hint="--output")
    if config_map is not None and output is None:
        raise typer.BadParameter("is about a file that is written by --output", param_hint="--configmap")


def _seconds(interval: str) -> float:
    from gateway.commands.gateways import seconds_of

    seconds = seconds_of(interval, "--interval")
    return 60.0 if seconds is None else seconds


def _way(settings: Settings, admin: list[str] | None, **given: Any) -> "Way":
    from gateway.commands.fleet import Fleet
    from gateway.commands.measuring import measure
    from gateway.commands.rollout_way import Way
    from gateway.promotion.loading import load_plan
    from gateway.server.token import read_token

    plan = load_plan(settings.plan)
    fleet = Fleet(tuple(addresses(admin, settings)), read_token(settings))
    named = list(fleet.addresses) if admin else None  # which a figure's source may do without
    tell = partial(say, err=True)
    return Way(plan, fleet, settings.config, partial(measure, settings, named, plan), tell, **given)


def _tell(work: Callable[[], "Ended"], *, as_json: bool) -> int:
    """Do it, and tell what it came to."""
    from gateway.commands.readiness import as_document, show_readiness

    ended = work()
    if as_json:
        readiness = None if ended.measured is None else as_document(*ended.measured)
        print_json({"result": ended.result, "lines": ended.lines, **ended.more, "readiness": readiness})
        return ended.code
    if ended.measured is not None:
        show_readiness(*ended.measured)
    for line in ended.lines:
        say(line, err=ended.code != 0)
    return ended.code
