"""`stage-gateway serve` and `demo`: run a gateway until it is told to end."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.environment import ConfigOption, run, settings_with
from gateway.commands.output import say
from gateway.errors import ConfigurationError
from gateway.promotion.loading import load_plan
from gateway.rules.load import load
from gateway.telemetry.logs import set_up

_log = logging.getLogger("gateway.plan")

# What carries HTTP is imported when a command runs: it takes longer than all the rest of a short command.


def serve(
    config: ConfigOption = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record a sample of the inspected requests, for replay. Default: none is."),
    ] = None,
    record_per_second: Annotated[
        float, typer.Option(min=0.01, metavar="NUMBER", help="How many requests a second are recorded at most.")
    ] = 20,
    record_bytes: Annotated[
        int, typer.Option(min=256 * 1024, metavar="BYTES", help="Of FILE and FILE.1, the older one, together.")
    ] = 64 * 1024 * 1024,
) -> None:
    """Run the gateway. SIGHUP reloads the file, SIGTERM drains and ends.

    Where it listens comes from the environment: STAGE_GATEWAY_HOST and STAGE_GATEWAY_PORT (0.0.0.0, 8080), for the
    admin port STAGE_GATEWAY_ADMIN_HOST and STAGE_GATEWAY_ADMIN_PORT (127.0.0.1, 8081).

    Example: stage-gateway serve --config config/gateway.json
    """
    from gateway.server.app import App
    from gateway.server.record_file import RecordingOptions

    settings = settings_with(config=config)
    set_up(settings.log_level, settings.log_format)
    options = None if record is None else RecordingOptions(record, record_per_second, record_bytes)

    async def work() -> None:
        rules = load(settings.config, dry_run=settings.dry_run)
        await App(settings, rules, options, partial(_steps, settings.plan)).run()

    run(work())


def _steps(file: Path) -> Mapping[str, tuple[str, int]]:
    """Return phase and number of the plan's steps, by their fingerprints; none without a plan that is good."""
    if not file.exists():
        return {}
    try:
        plan = load_plan(file)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            _log.warning("%s", line)
        return {}
    return {step.fingerprint: (step.phase, step.number) for step in plan.steps}


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

    settings = settings_with(port=port, admin_port=admin_port)
    if upstreams:
        run(run_upstreams(load(settings.config), say))
        return 0
    set_up("warning" if settings.log_level.lower() == "info" else settings.log_level, settings.log_format)
    return 0 if run(run_demo(settings, say, once=once)) else 1
