"""`stage-gateway check` and `schema`: whether a configuration file is good, and what one may hold."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.against import AgainstOption, compare
from gateway.commands.environment import ConfigOption, settings_with
from gateway.commands.measuring import plan_of
from gateway.commands.output import JsonOption, print_json, say
from gateway.errors import ConfigurationError, GatewayError
from gateway.promotion import model as plan_model
from gateway.promotion.plan import Plan
from gateway.rules import model
from gateway.rules.load import Rules, load, warnings
from gateway.settings import Settings, unread_variables


def check(
    config: ConfigOption = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Plan of the rollout; default STAGE_GATEWAY_PLAN or config/rollout.json, where it is there.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the file with all its defaults.")] = False,
    against: AgainstOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check the configuration file, and the plan of the rollout: every error at once, and settings without effect.

    With --against, tell also what it would change on running gateways, and whether it may. Exit 1 when it may not:
    it enforces more than the figures allow, protects writes less, drops an endpoint that has traffic, chooses other
    requests, changes the vocabulary of a migration under way, or the gateways differ. Exit 3 when one cannot be
    reached.

    \b
    Example: stage-gateway check --config config/phases/1-baseline.json --print
             stage-gateway check --config config/phases/a-portfolio.json --against http://127.0.0.1:8081
    """  # noqa: D301 - the mark for lines that are not to be wrapped
    if show and against:
        raise typer.BadParameter("either prints the file or compares it", param_hint="--against")
    settings = settings_with(config=config)
    found, rules = _checked(settings, plan)
    vain = [*warnings(rules, dry_run=settings.dry_run), *unread_variables(os.environ)]
    vocabulary = rules.policy.vocabulary.fingerprint
    if as_json:
        report = {
            "source": rules.source,
            "config": rules.fingerprint,
            "warnings": vain,
            "vocabulary": vocabulary,
            "plan": None if found is None else {"source": found.source, "steps": [step.name for step in found.steps]},
        }
        if against:
            return compare(settings, rules, found, against, report)
        print_json({**report, "document": dict(rules.document)} if show else report)
        return 0
    for warning in vain:
        say(f"warning: {warning}", err=True)
    if show:
        print_json(dict(rules.document))
    else:
        say(f"{rules.source}: good (configuration {rules.fingerprint}, vocabulary {vocabulary})")
        if found is not None:
            say(f"{found.source}: good ({len(found.steps)} steps)")
    return compare(settings, rules, found, against, None) if against else 0


def _checked(settings: Settings, plan: Path | None) -> tuple[Plan | None, Rules]:
    """Return the plan, None where there is none, and the rules. Raises ConfigurationError with the faults of both."""
    faults = []
    found, rules = None, None
    try:
        rules = load(settings.config, dry_run=settings.dry_run)
    except ConfigurationError as error:
        faults.append(error)
    try:
        found = plan_of(settings, plan)
    except ConfigurationError as error:
        faults.append(error)
    if faults or rules is None:
        raise faults[0] if len(faults) == 1 else GatewayError("\n".join(map(str, faults)))
    return found, rules


def schema(plan: Annotated[bool, typer.Option("--plan", help="That of the plan of a rollout.")] = False) -> None:
    """Print the JSON Schema of the configuration file, or of the plan.

    \b
    Example: stage-gateway schema > config/gateway.schema.json
             stage-gateway schema --plan > config/rollout.schema.json
    """  # noqa: D301 - the mark for lines that are not to be wrapped
    print_json(plan_model.schema() if plan else model.schema())
