"""The commands about the stages stored in PostgreSQL, which need its driver: the extra `migration` of the package."""

from importlib.util import find_spec

import typer

from gateway.errors import GatewayError

_NAMES = ("migrate", "verify", "reads")
_TAKES_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_database_commands(app: typer.Typer) -> None:
    """Add `migrate`, `verify` and `reads`; where the driver is not installed, stand-ins that tell how to get it."""
    if find_spec("psycopg") is None:
        for name in _NAMES:
            app.command(name, context_settings=_TAKES_ANYTHING, add_help_option=False)(_without_driver)
        return

    from gateway.commands.migration import migrate
    from gateway.commands.reads import reads
    from gateway.commands.verify import verify_database

    app.add_typer(migrate, name="migrate")
    app.command(name="verify")(verify_database)
    app.add_typer(reads, name="reads")


def _without_driver(context: typer.Context) -> None:
    """Is not installed: pip install 'stage-gateway[migration]'."""
    raise GatewayError(
        f"{context.info_name} needs the PostgreSQL driver, which is not installed; "
        "get it with: pip install 'stage-gateway[migration]'"
    )
