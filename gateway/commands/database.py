"""The commands about the stages stored in PostgreSQL, which need its driver: the extra `migration` of the package."""

from collections.abc import Mapping
from importlib.util import find_spec

import typer

from gateway.commands.groups import Command, TakesAnything, group
from gateway.errors import GatewayError


def database_commands() -> Mapping[str, Command]:
    """Return `migrate`, `verify` and `reads`; where the driver is not installed, stand-ins that tell how to get it."""
    if find_spec("psycopg") is None:
        return dict.fromkeys(("migrate", "verify", "reads"), TakesAnything(_without_driver))

    from gateway.commands import migration, reads
    from gateway.commands.plan import plan
    from gateway.commands.verify import verify

    return {
        "migrate": group(
            "Make the stages that are stored in PostgreSQL canonical, and undo it.",
            {
                "plan": plan,
                "run": migration.run,
                "status": migration.status,
                "pause": migration.pause,
                "resume": migration.resume,
                "undo": migration.undo,
                "guard": migration.guard,
                "finish": migration.finish,
            },
        ),
        "verify": verify,
        "reads": group(
            "Let readers of the views see the values before the migration, and the present ones again.",
            {"legacy": reads.legacy, "canonical": reads.canonical, "status": reads.status, "grant": reads.grant},
        ),
    }


def _without_driver(context: typer.Context) -> None:
    """Is not installed: pip install 'stage-gateway[migration]'."""
    raise GatewayError(
        f"{context.info_name} needs the PostgreSQL driver, which is not installed; "
        "get it with: pip install 'stage-gateway[migration]'"
    )
