"""What every command about the database is given: the migration file, the vocabulary and an address."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.environment import SPEC
from gateway.commands.environment import SpecOption as SpecOption
from gateway.migration.catalog import Target, find_targets
from gateway.migration.database import Connection, connected
from gateway.migration.spec import Spec, load_spec
from gateway.rules.load import load
from gateway.settings import read_settings
from gateway.stages.vocabulary import Vocabulary

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The gateway's file, for the vocabulary; default STAGE_GATEWAY_CONFIG or config/gateway.json.",
    ),
]


@dataclass(frozen=True, slots=True)
class Session:
    """The migration file, the vocabulary, and the database's address, which may be missing."""

    spec: Spec
    vocabulary: Vocabulary
    url: str | None

    @classmethod
    def of(cls, spec: Path | None, config: Path | None) -> "Session":
        """Read both files and the environment. Raises ConfigurationError."""
        settings = read_settings()
        rules = load(config or settings.config, dry_run=settings.dry_run)
        return cls(load_spec(spec or SPEC), rules.policy.vocabulary, settings.database_url)

    @contextmanager
    def connected(self, purpose: str, *, writes: bool = True, brisk: bool = False) -> Iterator[Connection]:
        """Yield a connection; see `gateway.migration.database.connected`."""
        with connected(self.url, self.spec, purpose, writes=writes, brisk=brisk) as connection:
            yield connection

    def targets(self, connection: Connection) -> list[Target]:
        """Return the columns of the migration file as the database has them."""
        return find_targets(connection, self.spec, max(map(len, self.vocabulary.canonical)))
