"""`rollback` where the database, or what is needed for it, is not as it should be."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clock import within
from support.migration import Migration
from support.postgres import Server
from support.process import Gateway
from support.prometheus import free_port
from support.rollback import BACK, PATIENT, Rollback, address, modes, nowhere, reads


class TestDatabase:
    def test_database_and_a_gateway_are_gone(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """With both gone the other gateway is back, each is named, and the exit is 3."""
        url = f"postgresql://u:S3cret@127.0.0.1:{free_port()}/db"
        made = replace(both, url=url, admins=(nowhere(), address(gateways[0])))()
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "database db at 127.0.0.1: cannot be reached (STAGE_GATEWAY_DATABASE_URL)" in made.err
        assert "S3cret" not in made.out + made.err
        assert made.err.count("FAILED") == 3

    def test_database_that_does_not_answer(self, both: Rollback, server: Server, gateways: Any) -> None:
        """A server that takes connections and does not answer is given up after a few seconds."""
        process = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(process, signal.SIGSTOP)
        try:
            with within(2 * PATIENT):
                made = both()
        finally:
            os.kill(process, signal.SIGCONT)
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "cannot be reached" in made.err

    def test_no_database_is_named(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """Without a database nobody can say that reads are back: exit 3, unless it is said that there is none."""
        rollback = replace(both, url="")
        made = rollback()
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "set STAGE_GATEWAY_DATABASE_URL, or say with --modes-only that there is none" in made.err
        made = rollback("--modes-only")
        assert (made.code, made.err) == (0, "")
        assert "modes are back after" in made.out

    def test_never_migrated(self, untouched: Migration, gateways: tuple[Gateway, Gateway], token: Path) -> None:
        """Where no migration was ever started there is nothing to switch, and that is fine."""
        made = Rollback(untouched, token, (address(gateways[0]),))()
        assert (made.code, made.err, modes(gateways[0])) == (0, "", BACK)
        assert "no migration was ever started in schema public, reads are as ever" in made.out
        assert "nothing was migrated" in made.out
        assert "reads canonical" not in made.out

    def test_without_the_driver(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """Without the PostgreSQL driver the modes are back, the exit is 3, and it says what to install."""
        code = "import sys; sys.modules['psycopg'] = None; from gateway.cli import main; sys.exit(main())"
        made = both.plainly(*both.arguments(), program=(sys.executable, "-c", code))
        assert (made.code, modes(gateways[0]), reads(both.migration)) == (3, BACK, "canonical")
        assert "get it with: pip install 'stage-gateway[migration]'" in made.err

    def test_row_is_locked(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """When somebody holds the read mode, it is given up soon, and who it is and how to end it is told."""
        with both.migration.connect(application_name="somebody") as other:
            other.execute("BEGIN; SELECT FROM stage_read_mode FOR UPDATE")
            with within(PATIENT):
                made = both()
            other.execute("ROLLBACK")
        assert (made.code, modes(gateways[0]), reads(both.migration)) == (3, BACK, "canonical")
        assert "stage_read_mode is held by process" in made.err
        assert "('somebody', role postgres" in made.err
        assert "pg_terminate_backend" in made.err

    def test_standby(self, both: Rollback, server: Server, gateways: tuple[Gateway, Gateway]) -> None:
        """A standby is told as such with the variable to change, and what verifies reads it all the same."""
        with server.standby() as standby:
            name = both.migration.url.split("@/")[1].split("?")[0]
            made = replace(both, url=standby.url(name))()
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "the server is a standby, name the primary in STAGE_GATEWAY_DATABASE_URL" in made.err
        assert "all checks hold" in made.out

    def test_configuration_file(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """A configuration file that cannot be read leaves the verifier out, and nothing else."""
        both.migration.config.write_text("{")
        made = both()
        assert (made.code, modes(gateways[0]), reads(both.migration)) == (0, BACK, "legacy")
        [line] = made.err.splitlines()
        assert "verify  FAILED" in line
        assert str(both.migration.config) in line

    def test_migration_file(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """Without the migration file the modes are back, the reads are not, and the file is named."""
        both.migration.spec.unlink()
        made = both()
        assert (made.code, modes(gateways[0]), reads(both.migration)) == (3, BACK, "canonical")
        assert f"{both.migration.spec}: no such file; name another with --spec" in made.err

    def test_file_of_another_migration(self, both: Rollback) -> None:
        """A migration file that names another schema does not pass for one without a migration."""
        both.migration.execute("CREATE SCHEMA elsewhere")
        both.migration.specify(
            schema="elsewhere",
            tables=[{"table": "public.deals", "key": "id", "columns": [{"column": "stage", "shape": "value"}]}],
        )
        made = both("--modes-only")
        assert made.code == 0
        made = both()
        assert (made.code, reads(both.migration)) == (3, "canonical")
        assert "one does in public; name the file of that one with --spec" in made.err

    @pytest.mark.parametrize(
        ("rights", "told"),
        [
            ("GRANT pg_read_all_data TO {role}", "GRANT SELECT, UPDATE ON public.stage_read_mode TO role_"),
            (
                "GRANT SELECT, UPDATE ON stage_read_mode TO {role}; REVOKE USAGE ON SCHEMA public FROM PUBLIC",
                "GRANT USAGE ON SCHEMA public TO role_",
            ),
        ],
        ids=["table", "schema"],
    )
    def test_rights(self, both: Rollback, rights: str, told: str) -> None:
        """A role that may not switch the reads is told which right it needs, in a rehearsal as well."""
        with both.migration.role(rights) as role:
            try:
                for options in ((), ("--rehearse",)):
                    made = replace(both, url=both.migration.as_role(role))(*options)
                    assert (made.code, reads(both.migration)) == (3, "canonical")
                    assert told in made.err
            finally:
                both.migration.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
