"""`stage-gateway check` and `schema`: whether a configuration file is good, and what one may hold."""

import os
from typing import Annotated

import typer

from gateway.commands.environment import ConfigOption, settings_with
from gateway.commands.output import JsonOption, print_json, say
from gateway.rules import model
from gateway.rules.load import load, warnings
from gateway.settings import unread_variables


def check(
    config: ConfigOption = None,
    show: Annotated[bool, typer.Option("--print", help="Print the file with all its defaults.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration file: every error at once, and settings that cannot take effect.

    Example: stage-gateway check --config config/phases/1-baseline.json --print
    """
    settings = settings_with(config=config)
    rules = load(settings.config, dry_run=settings.dry_run)
    vain = [*warnings(rules, dry_run=settings.dry_run), *unread_variables(os.environ)]
    vocabulary = rules.policy.vocabulary.fingerprint
    if as_json:
        report = {
            "source": rules.source,
            "config": rules.fingerprint,
            "warnings": vain,
            "vocabulary": vocabulary,
        }
        print_json({**report, "document": dict(rules.document)} if show else report)
        return
    for warning in vain:
        say(f"warning: {warning}", err=True)
    if show:
        print_json(dict(rules.document))
    else:
        say(f"{rules.source}: good (configuration {rules.fingerprint}, vocabulary {vocabulary})")


def schema() -> None:
    """Print the JSON Schema of the configuration file.

    Example: stage-gateway schema > config/gateway.schema.json
    """
    print_json(model.schema())
