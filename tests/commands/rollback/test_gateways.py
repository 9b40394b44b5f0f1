"""`rollback` where a gateway cannot be reached, changed, or made to remember."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import within
from support.process import Gateway, Serve, configuration
from support.redis import running
from support.rollback import (
    AUTO_DEMOTED,
    BACK,
    MODES,
    ONE,
    PATIENT,
    STRATEGIES,
    Rollback,
    address,
    demote,
    frozen,
    modes,
    nowhere,
    reads,
)
from support.upstream import RecordingUpstream


class TestGateways:
    def test_one_is_frozen_and_one_is_gone(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """Neither holds up the others: these are back and told first, each of those is named with the cure, exit 3."""
        gone = nowhere()
        rollback = replace(both, admins=(address(gateways[0]), gone, address(gateways[1])))
        with frozen(gateways[0]):
            with within(PATIENT):
                lines = rollback.together()
            assert (modes(gateways[1]), reads(both.migration)) == (BACK, "legacy")
            made = rollback()
        assert made.code == 3
        frozen_last = (address(gateways[1]), "readers are shown legacy values", "no answer within 2 s", "NOT back")
        other, back, frozen_one, summary_at = (
            next(number for number, line in enumerate(lines) if part in line) for part in frozen_last
        )
        assert max(other, back) < frozen_one < summary_at  # which of the two is first is chance
        assert f"{address(gateways[0])}/status: cannot be asked: no answer within 2 s; name the admin" in made.err
        assert f"{gone}/status: cannot be asked: Connection refused; name the admin" in made.err
        summary = next(line for line in made.out.splitlines() if line.startswith("NOT back: "))
        assert address(gateways[0]) in summary
        assert gone in summary
        assert address(gateways[1]) not in summary

    @pytest.mark.parametrize("content", ["wrong", None, "", "é"])
    def test_token(
        self, both: Rollback, gateways: tuple[Gateway, Gateway], tmp_path: Path, content: str | None
    ) -> None:
        """With a wrong token or none the reads are back, the gateways are not, and it says what to give; exit 3."""
        file = tmp_path / "another token"
        if content is not None:
            file.write_text(content)
        made = replace(both, token=file)()
        assert (made.code, reads(both.migration), modes(gateways[0])) == (3, "legacy", MODES)
        assert "token" in made.err
        assert made.err.count("modes   FAILED") == 2

    def test_address_that_is_none(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """An address that is none is told, and holds up nothing."""
        made = replace(both, admins=("nonsense", address(gateways[0])))()
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "is no address, expected one such as" in made.err

    def test_something_else_there(self, both: Rollback, gateways: tuple[Gateway, Gateway]) -> None:
        """What is no admin port, as the gateway's own port, is told."""
        made = replace(both, admins=(f"http://127.0.0.1:{gateways[0].port}", address(gateways[0])))()
        assert (made.code, modes(gateways[0])) == (3, BACK)
        assert "--admin" in made.err

    def test_endpoint_of_one_gateway(
        self, both: Rollback, serve: Serve, recorder: RecordingUpstream, token: Path, gateways: tuple[Gateway, Gateway]
    ) -> None:
        """An endpoint that only one gateway has is held there, and the way forward names that one alone."""
        own = {"/api/deals": {"stages": [{"value": "/stage"}]}}
        config = configuration(recorder.port, endpoints=own, endpointMode={"/api/deals": "enforce"})
        other = serve(config, {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)})
        code, document = replace(both, admins=(address(gateways[0]), address(other))).document()
        assert (code, modes(gateways[0]), modes(other)) == (0, BACK, {"/api/deals": "warn"})
        assert f"stage-gateway mode --clear /api/deals --admin {address(other)}" in document["forward"]

    def test_not_stored(self, both: Rollback, recorder: RecordingUpstream, token: Path, tmp_path: Path) -> None:
        """What is in force but not stored is told, with 3, also when it is asked again, until it is stored."""
        config = configuration(recorder.port, endpointMode=MODES, limits={"drainSeconds": 0.1})
        with running(tmp_path) as redis:
            state = {"STAGE_GATEWAY_STATE": redis.address, "HOME": str(tmp_path)}
            with Gateway(tmp_path, config, {**state, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}) as gateway:
                rollback = replace(both, admins=(address(gateway),))
                redis.stop()
                for _ in range(2):
                    made = rollback("--modes-only")
                    assert (made.code, modes(gateway)) == (3, BACK)
                    assert "not stored: Redis: cannot be" in made.err
                    assert "a restart now would forget it" in made.err
                redis.start()
                assert rollback("--modes-only").code == 0

    def test_redis_that_hangs(self, both: Rollback, recorder: RecordingUpstream, token: Path, tmp_path: Path) -> None:
        """A store that hangs holds up what is stored, and nothing that is in force."""
        config = configuration(recorder.port, endpointMode=MODES, limits={"drainSeconds": 0.1})
        with running(tmp_path) as redis:
            state = {"STAGE_GATEWAY_STATE": redis.address, "HOME": str(tmp_path)}
            with (
                Gateway(tmp_path, config, {**state, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}) as gateway,
                redis.hanging(),
            ):
                made = replace(both, admins=(address(gateway),))("--modes-only")
                assert (made.code, modes(gateway)) == (3, BACK)
                assert f"held at warn: {STRATEGIES}, {ONE}; not stored: Redis: cannot be" in made.err

    def test_damaged_state(self, both: Rollback, recorder: RecordingUpstream, token: Path, tmp_path: Path) -> None:
        """What acts as warn only because the state is damaged is held for good: mending that makes nothing stricter."""
        config = configuration(recorder.port, endpointMode=MODES, limits={"drainSeconds": 0.1})
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "overrides.json").write_text("{")
        with Gateway(tmp_path, config, {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}) as gateway:
            assert gateway.status()["endpoints"][ONE]["override"]["sources"] == ["damaged_state"]
            assert replace(both, admins=(address(gateway),))("--modes-only").code == 0
            assert gateway.status()["endpoints"][ONE]["override"]["sources"] == ["person", "damaged_state"]
            assert replace(both, admins=(address(gateway),))("--modes-only").code == 0

    def test_what_an_alert_holds(self, both: Rollback, recorder: RecordingUpstream, token: Path, serve: Serve) -> None:
        """What an alert has demoted stays as it is: it has no end."""
        config = configuration(recorder.port, endpoints=AUTO_DEMOTED, endpointMode={STRATEGIES: "enforce"})
        gateway = serve(config, {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)})
        demote(gateway, STRATEGIES)
        made = replace(both, admins=(address(gateway),))("--modes-only")
        assert made.code == 0
        assert f"held before at warn by alertmanager: {STRATEGIES}" in made.out
        assert gateway.status()["endpoints"][STRATEGIES]["override"]["sources"] == ["alert"]
