"""`rollback --rehearse`: what it will need is tried, and nothing is changed."""

from dataclasses import replace
from pathlib import Path

from support.migration import Migration
from support.process import Gateway, Serve, configuration
from support.redis import running
from support.rollback import MODES, ONE, STRATEGIES, Rollback, address, content, modes, nowhere, reads
from support.upstream import RecordingUpstream


class TestRehearsal:
    def test_nothing_is_changed(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """A rehearsal names what it would hold and switch, exits 0, and leaves no trace, not even a number taken."""
        before = picture(both.migration, gateways)
        made = both("--rehearse")
        assert (made.code, made.err) == (0, "")
        assert picture(both.migration, gateways) == before
        for gateway in gateways:
            assert f"{address(gateway)}: would hold at warn: {STRATEGIES}, {ONE}; token and store are good" in made.out
        assert "would show legacy values, now canonical; rights are good" in made.out
        assert made.out.endswith("nothing was changed; all is ready\n")
        code, document = both.document("--rehearse")
        assert (code, document["rehearsed"], document["ready"], document["forward"]) == (0, True, True, [])

    def test_with_redis(self, both: Rollback, recorder: RecordingUpstream, token: Path, tmp_path: Path) -> None:
        """A store in Redis is tried without a key that comes or changes; when it is away that is told, with 3."""
        config = configuration(recorder.port, endpointMode=MODES, limits={"drainSeconds": 0.1})
        with running(tmp_path) as redis:
            state = {"STAGE_GATEWAY_STATE": redis.address, "HOME": str(tmp_path)}
            with Gateway(tmp_path, config, {**state, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}) as gateway:
                rollback = replace(both, admins=(address(gateway),))
                assert rollback("--rehearse").code == 0
                with redis.client() as client:
                    assert client.dbsize() == 0
                redis.stop()
                made = rollback("--rehearse")
                assert (made.code, modes(gateway)) == (3, MODES)
                assert "could be held, but not stored: Redis: cannot be written" in made.err

    def test_nothing_to_hold(self, both: Rollback, recorder: RecordingUpstream, token: Path, serve: Serve) -> None:
        """Where nothing would be held, the token is tried all the same."""
        gateway = serve(configuration(recorder.port), {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)})
        rollback = replace(both, admins=(address(gateway),))
        assert "there would be nothing to hold" in rollback("--rehearse").out
        wrong = both.migration.folder / "wrong"
        wrong.write_text("wrong")
        assert replace(rollback, token=wrong)().code == 0  # nothing is to be changed
        made = replace(rollback, token=wrong)("--rehearse")
        assert made.code == 3
        assert "Bearer with the admin token is needed; name the gateway's own" in made.err

    def test_what_is_missing(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """Each thing that will be missing is named at once, with 3, and nothing is changed."""
        before = picture(both.migration, gateways)
        both.migration.config.write_text("{")
        wrong = both.migration.folder / "wrong"
        wrong.write_text("wrong")
        gone = nowhere()
        name = both.migration.execute("SELECT current_database()")[0][0]
        both.migration.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        made = replace(both, token=wrong, admins=(gone, address(gateways[0])))("--rehearse")
        assert made.code == 3
        assert made.err.count("FAILED") == 4
        for told in (gone, "admin token", "the server is read-only", str(both.migration.config)):
            assert told in made.err
        assert made.out.startswith("nothing was changed; not ready: ")
        assert [modes(gateway) for gateway in gateways] == [MODES, MODES]
        assert picture(both.migration, gateways)[0] == before[0]

    def test_rights_of_the_verifier(self, both: Rollback) -> None:
        """A role that may switch the reads but not read what the verifier reads is told each table and its right."""
        with both.migration.role("GRANT SELECT, UPDATE ON stage_read_mode TO {role}") as role:
            rollback = replace(both, url=both.migration.as_role(role))
            made = rollback("--rehearse")
            assert made.code == 3
            for table in ("targets", "runs", "batches", "seen", "counts"):
                assert f"GRANT SELECT ON public.stage_migration_{table} TO {role}" in made.err
            assert rollback().code == 0
            assert reads(both.migration) == "legacy"

    def test_rights_on_what_was_migrated(self, both: Rollback) -> None:
        """The migrated tables and the undo rows are asked for too, and row-level security that hides rows of them."""
        rights = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; REVOKE SELECT ON fund_baselines FROM {role}; "
        with both.migration.role(rights + "GRANT UPDATE ON stage_read_mode TO {role}") as role:
            made = replace(both, url=both.migration.as_role(role))("--rehearse")
            assert made.code == 3
            assert f"GRANT SELECT ON public.fund_baselines TO {role}" in made.err
            assert "table public.stage_migration_undo_1: row-level security hides rows from this role" in made.err


def picture(migration: Migration, gateways: tuple[Gateway, Gateway]) -> list[object]:
    """Return all that a rehearsal could have changed: rows, catalog, transactions, states, overrides."""
    catalog = "SELECT relname, relacl::text, relfilenode, xmin::text FROM pg_class ORDER BY relname"
    sessions = "SELECT count(*) FROM pg_db_role_setting"
    taken = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"  # the id that the next transaction is given
    database = [migration.picture(), *(migration.execute(query) for query in (catalog, sessions, taken))]
    states = [(content(gateway.state), gateway.status()["endpoints"]) for gateway in gateways]
    return [*database, states]
