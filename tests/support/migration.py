"""The migration's commands on a database of one's own, in this process or as one of their own."""

import io
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.cli import main
from support.tables import allocation, distribution, fill, picture, write_spec

CONFIG = {"upstreams": {"portfolio": {"url": "http://127.0.0.1:3001"}}, "endpointMode": {}}


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines that a run wrote."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


class Migration:
    """A database, a migration file and a vocabulary, and the commands on them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.spec = write_spec(folder)
        self.config = folder / "gateway.json"
        self.vocabulary()
        self.remediation = folder / "remediation.ndjson"

    def specify(self, **members: Any) -> None:
        """Write the migration file anew, with these members instead."""
        write_spec(self.folder, **members)

    def vocabulary(self, **vocabulary: Any) -> None:
        """Write the gateway's file anew, with this vocabulary."""
        document = {**CONFIG, "vocabulary": vocabulary} if vocabulary else CONFIG
        self.config.write_text(json.dumps(document), encoding="utf-8")

    def arguments(self, *arguments: str | Path) -> list[str]:
        words = [*map(str, arguments), "--spec", str(self.spec), "--config", str(self.config)]
        if words[:2] in (["migrate", "run"], ["migrate", "plan"]):
            words += ["--remediation", str(self.remediation)]
        return words

    def environment(self, url: str | None = None) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_GATEWAY_") and k != "DRY_RUN"}
        return {**inherited, "COLUMNS": "200", "STAGE_GATEWAY_DATABASE_URL": self.url if url is None else url}

    def command(self, *arguments: str | Path, url: str | None = None) -> Ended:
        """Run a command with the migration file and the gateway's, in this process."""
        return self.plainly(*self.arguments(*arguments), url=url)

    def plainly(self, *arguments: str, url: str | None = None) -> Ended:
        """Run a command just as it is, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            environment = self.environment(url)
            for name in set(os.environ) - set(environment):
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            code = main(list(arguments))
        return Ended(code, out.getvalue(), err.getvalue())

    def run(self, *options: str) -> Ended:
        """Run the migration without a snapshot."""
        return self.command("migrate", "run", "--no-snapshot", *options)

    def migrated(self) -> "Migration":
        """Run the migration, which must do well."""
        made = self.run()
        assert made.code == 0, made
        return self

    def verify(self, *options: str | Path) -> Ended:
        return self.command("verify", *options)

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start a command as a process."""
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", *self.arguments(*arguments)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def role(self, rights: str) -> Iterator[str]:
        """Yield a role that may log in and has these rights (`… TO {role}`); it goes with the context."""
        name = f"role_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE ROLE {name} LOGIN; " + rights.format(role=name))
        try:
            yield name
        finally:
            self.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")

    def as_role(self, name: str) -> str:
        """Return the address for a role."""
        return self.url.replace("postgres@", f"{name}@")

    def connect(self, **options: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect as an application does."""
        return psycopg.connect(self.url, autocommit=True, **options)

    def execute(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement as an application does; returns its rows."""
        with self.connect() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the first batch of a run through, and each later one of companies only after the end of the context."""
        self.specify(batchRows=20, lockTimeoutMs=25_000)
        self.execute("""
            CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF coalesce(current_setting('stage_gateway.migration', true), '') <> ''
                  AND EXISTS (SELECT FROM stage_migration_batches WHERE status = 'done') THEN
                PERFORM pg_advisory_xact_lock(4711);
              END IF;
              RETURN NULL; END $$;
            CREATE TRIGGER gate AFTER UPDATE ON portfoliocompanies FOR EACH STATEMENT EXECUTE FUNCTION gate()""")
        with self.connect() as connection:
            connection.execute("SELECT pg_advisory_lock(4711)")
            yield

    def fill_more(self, count: int) -> None:
        """Put JSON rows of other kinds beside those that are there."""
        random_ = random.Random(2)
        with self.connect() as connection, connection.cursor() as cursor:
            for number in range(count):
                cursor.execute(
                    "INSERT INTO fund_strategy_models VALUES (gen_random_uuid(), 1, %s)", [allocation(random_)]
                )
                cursor.execute("INSERT INTO fund_baselines VALUES (%s, 1, %s)", [f"n{number}", distribution(random_)])

    @staticmethod
    def fill_database(url: str, count: int, seed: int = 1) -> None:
        with psycopg.connect(url) as connection:
            fill(connection, random.Random(seed), count)

    def picture(self) -> Mapping[str, list[Any]]:
        """Return every row of every table as text."""
        with self.connect() as connection:
            return picture(connection)
