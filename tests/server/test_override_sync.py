"""Overrides kept in step with their store: in real processes that share a Redis, and alone in a directory."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.clock import PATIENCE, eventually, until, within
from support.process import COMMAND, Gateway, configuration
from support.redis import RedisServer, running
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request

from gateway.errors import UnreachableError
from gateway.rollout.policy import Mode
from gateway.server.override_sync import OverrideSync
from gateway.server.overrides import Override, OverrideKey, Overrides, OverrideTable, Source
from gateway.server.store import FILE_NAME, HASH

STRATEGIES = "/api/portfolio/strategies"
SIMULATE = "/api/monte-carlo/simulate"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')
READABLE = "the stored overrides can be read again"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path, password="s3cret") as started:
        yield started


class Replicas:
    """Gateways before one upstream, strategies and simulate in `enforce`."""

    def __init__(self, folder: Path, port: int, stack: ExitStack) -> None:
        self._folder = folder
        self._port = port
        self._stack = stack
        self._count = 0

    def start(
        self, state: str | None = None, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> Gateway:
        """Start one, with a directory of its own when it shares none."""
        self._count += 1
        folder = folder or self._folder / f"gateway-{self._count}"
        folder.mkdir(exist_ok=True)
        own = {"HOME": str(folder), **({"STAGE_GATEWAY_STATE": state} if state else {}), **(environment or {})}
        modes = {STRATEGIES: "enforce", SIMULATE: "enforce"}
        endpoints = {
            STRATEGIES: {"stages": [{"keys": "/stageAllocation"}], "autoDemote": True},
            SIMULATE: {"operation": "write", "stages": [{"each": "/stageDistribution", "field": "stage"}]},
        }
        limits = {"drainSeconds": 0.1}
        config = configuration(self._port, endpoints=endpoints, endpointMode=modes, limits=limits)
        gateway = self._stack.enter_context(Gateway(folder, config, own))
        if state is not None:
            gateway.state = folder / ".local" / "state" / "stage-gateway"
        return gateway


@pytest.fixture
def replicas(tmp_path: Path, upstream: RecordingUpstream) -> Iterator[Replicas]:
    with ExitStack() as stack:
        yield Replicas(tmp_path, upstream.port, stack)


def mode(gateway: Gateway, endpoint: str = STRATEGIES) -> str:
    found: str = gateway.status()["endpoints"][endpoint]["mode"]
    return found


def sources(gateway: Gateway, endpoint: str = STRATEGIES) -> list[str]:
    override: dict[str, Any] | None = gateway.status()["endpoints"][endpoint]["override"]
    return override["sources"] if override else []


def error(gateway: Gateway) -> str | None:
    found: str | None = gateway.status()["overrides"]["error"]
    return found


def gauge(gateway: Gateway, source: str, endpoint: str = STRATEGIES) -> float | None:
    return gateway.metrics().get("stage_gateway_override", endpoint=endpoint, source=source)


def demote(gateway: Gateway, began: datetime) -> list[str]:
    """Post a firing alert that began then; returns what it demoted."""
    labels = {"alertname": "StageInvalidRateCeiling", "action": "demote", "endpoint": STRATEGIES}
    alert = {"status": "firing", "labels": labels, "startsAt": began.isoformat()}
    body = json.dumps({"version": "4", "alerts": [alert]}).encode()
    status, answer = gateway.call("/-/alerts", method="POST", token=gateway.token(), body=body)
    assert status == 200
    demoted: list[str] = json.loads(answer)["demoted"]
    return demoted


class TestRedis:
    def test_replicas_follow_each_other(self, replicas: Replicas, server: RedisServer) -> None:
        """What is set or cleared on one replica is in force on the others within a second, and on new ones at start."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        assert one.hold(STRATEGIES, "warn")[1]["stored"] is True
        eventually(lambda: mode(other) == "warn", timeout=1)
        assert exchange(other.port, BAD).status == 200
        late = replicas.start(server.address)
        assert (mode(late), gauge(late, "person")) == ("warn", 1)
        assert late.hold(STRATEGIES, None)[1]["mode"] == "enforce"
        eventually(lambda: mode(one) == mode(other) == "enforce", timeout=1)
        assert exchange(one.port, BAD).status == 422
        assert [entry["by"] for entry in other.logs("override gone")] == ["tester"]

    def test_two_changes_at_a_time(self, replicas: Replicas, server: RedisServer) -> None:
        """Changes of different endpoints on different replicas are all kept."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        one.hold(STRATEGIES, "warn")
        other.hold(SIMULATE, "off")
        eventually(lambda: (mode(one), mode(one, SIMULATE)) == ("warn", "off"), timeout=1)
        eventually(lambda: (mode(other), mode(other, SIMULATE)) == ("warn", "off"), timeout=1)

    def test_answered_alert(self, replicas: Replicas, server: RedisServer) -> None:
        """An alert that a person has answered on one replica demotes on no other, nor on one that starts later."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        began = datetime.now(UTC)
        assert demote(one, began) == [STRATEGIES]
        eventually(lambda: sources(other) == ["alert"], timeout=1)
        one.hold(STRATEGIES, None)
        eventually(lambda: mode(other) == "enforce", timeout=1)
        late = replicas.start(server.address)
        assert [demote(each, began) for each in (other, late)] == [[], []]
        assert demote(late, datetime.now(UTC)) == [STRATEGIES]
        eventually(lambda: mode(one) == mode(other) == "warn", timeout=1)

    def test_lost_later(self, replicas: Replicas, server: RedisServer) -> None:
        """When Redis ends, the last known stays, changes are in force here, and are stored once it is back."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        one.hold(STRATEGIES, "warn")
        eventually(lambda: mode(other) == "warn")
        server.stop()
        eventually(lambda: "cannot be read" in (error(one) or ""))
        assert (mode(one), mode(other), sources(one)) == ("warn", "warn", ["person"])
        status, answer = one.hold(SIMULATE, "off")
        assert (status, answer["mode"], answer["stored"]) == (200, "off", False)
        assert mode(other, SIMULATE) == "enforce"
        server.start()  # with nothing in it
        eventually(lambda: mode(other, SIMULATE) == "off", timeout=2)
        eventually(lambda: error(one) is None and error(other) is None)
        assert (mode(one), mode(other)) == ("warn", "warn")
        assert mode(replicas.start(server.address)) == "warn"

    def test_cleared_while_it_is_away(self, replicas: Replicas, server: RedisServer) -> None:
        """Clearing while Redis hangs is in force at once where it was asked, and everywhere once Redis is back."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        one.hold(STRATEGIES, "warn")
        eventually(lambda: mode(other) == "warn")
        with server.hanging():
            with within(3):
                answer = one.hold(STRATEGIES, None)[1]
            assert (answer["mode"], answer["stored"]) == ("enforce", False)
            assert mode(other) == "warn"
        eventually(lambda: mode(other) == "enforce", timeout=4)
        assert mode(one) == "enforce"

    def test_hanging_redis_does_not_touch_traffic(self, replicas: Replicas, server: RedisServer) -> None:
        """While Redis hangs, requests are answered as fast as ever, and a change is in force before it is stored."""
        gateway = replicas.start(server.address)
        with server.hanging(), Client(gateway.port) as client:
            time.sleep(0.6)  # it is asked now
            for _ in range(60):
                with within(0.1):
                    assert client.send(BAD).response().status == 422
                time.sleep(0.02)
            # Nobody waits for Redis before the endpoint is held, only for the call's answer.
            with ThreadPoolExecutor(1) as person:
                held = person.submit(gateway.hold, STRATEGIES, "warn")
                eventually(lambda: client.send(BAD).response().status == 200, timeout=0.1)
                assert not held.done()
                assert held.result()[1]["stored"] is False
        assert [entry for entry in gateway.logs() if entry["level"] == "error"]

    def test_away_at_the_start(self, replicas: Replicas, server: RedisServer) -> None:
        """Without Redis the start is not delayed: `enforce` acts as warn, told everywhere, until Redis is there."""
        server.stop()
        with within(6):  # of which the interpreter takes most
            gateway = replicas.start(server.address)
        assert exchange(gateway.port, BAD).status == 200
        assert (mode(gateway), sources(gateway), gauge(gateway, "damaged_state")) == ("warn", ["damaged_state"], 1)
        assert "Redis: cannot be read" in (error(gateway) or "")
        gateway.hold(STRATEGIES, None)
        assert (mode(gateway), mode(gateway, SIMULATE)) == ("enforce", "warn")
        server.start()
        eventually(lambda: mode(gateway, SIMULATE) == "enforce", timeout=2)
        assert (error(gateway), gauge(gateway, "damaged_state", SIMULATE)) == (None, 0)
        assert len(gateway.logs(READABLE)) == 1
        with server.client() as client:
            # What is left is that a person has cleared it.
            eventually(lambda: sorted(client.hkeys(HASH)) == [f"alert {STRATEGIES}".encode(), b"hash"])

    def test_hanging_at_the_start(self, replicas: Replicas, server: RedisServer) -> None:
        """A Redis that hangs delays the start by about a second."""
        with server.hanging():
            with within(3):
                gateway = replicas.start(server.address)
            assert mode(gateway) == "warn"
        eventually(lambda: mode(gateway) == "enforce", timeout=3)

    def test_damaged_hash(self, replicas: Replicas, server: RedisServer) -> None:
        """A damaged hash changes nothing where it was read before, and holds `enforce` at warn where it was not."""
        old = replicas.start(server.address)
        with server.client() as client:
            client.hset(HASH, f"person {STRATEGIES}", b"{")
            new = replicas.start(server.address)
            eventually(lambda: "is damaged" in (error(old) or ""))
            assert (mode(old), mode(new), sources(new)) == ("enforce", "warn", ["damaged_state"])
            new.hold(STRATEGIES, None)  # takes the damaged field away
            eventually(lambda: mode(new, SIMULATE) == "enforce", timeout=2)
            assert (mode(new), error(new)) == ("enforce", None)

    def test_end_while_it_is_away(self, replicas: Replicas, server: RedisServer) -> None:
        """An override ends without Redis too, and what a person has set meanwhile elsewhere is kept."""
        one, other = replicas.start(server.address), replicas.start(server.address)
        one.hold(STRATEGIES, "warn", seconds=4)
        eventually(lambda: mode(other) == "warn", timeout=1)
        with server.hanging():
            eventually(lambda: mode(one) == mode(other) == "enforce", timeout=6)
            other.signal(signal.SIGSTOP)  # it comes back to Redis last
            one.hold(STRATEGIES, "off")
        try:
            with server.client() as client:
                eventually(lambda: b'"off"' in (client.hget(HASH, f"person {STRATEGIES}") or b""), timeout=4)
        finally:
            other.signal(signal.SIGCONT)
        eventually(lambda: mode(other) == "off", timeout=4)
        time.sleep(1)
        assert mode(one) == mode(other) == "off"

    def test_password_is_nowhere(self, replicas: Replicas, server: RedisServer) -> None:
        """Neither logs nor `/status` nor metrics hold the address' password, whatever Redis does."""
        gateway = replicas.start(server.address)
        server.stop()
        eventually(lambda: error(gateway) is not None)
        other = replicas.start(server.address.replace("s3cret", "s3cret-too"))
        server.start()
        eventually(lambda: error(gateway) is None)
        eventually(lambda: "invalid username-password" in (error(other) or ""))
        for one in (gateway, other):
            shown = "".join(one.lines) + json.dumps(one.status()) + one.call("/metrics")[1].decode()
            assert "s3cret" not in shown

    def test_way_out(self, replicas: Replicas, server: RedisServer) -> None:
        """A gateway ends in time though Redis hangs."""
        gateway = replicas.start(server.address)
        with server.hanging():
            gateway.hold(STRATEGIES, "warn")
            with within(4):
                gateway.signal(signal.SIGTERM)
                assert gateway.wait() == 0


class TestDirectory:
    def test_restart(self, replicas: Replicas, tmp_path: Path) -> None:
        """After a restart what was set is in force from the first request on, and what has ended is not."""
        first = replicas.start(folder=tmp_path / "one")
        first.hold(STRATEGIES, "warn")
        first.hold(SIMULATE, "off", seconds=0.5)
        first.signal(signal.SIGKILL)
        first.wait()
        time.sleep(0.5)
        again = replicas.start(folder=tmp_path / "one")
        assert exchange(again.port, BAD).status == 200
        assert (mode(again), sources(again), mode(again, SIMULATE)) == ("warn", ["person"], "enforce")

    def test_two_gateways(self, replicas: Replicas, tmp_path: Path) -> None:
        """A second gateway on one directory does not start, says why, and leaves the first one's overrides alone."""
        first = replicas.start(folder=tmp_path / "one")
        first.hold(STRATEGIES, "warn")
        stored = (first.state / FILE_NAME).read_bytes()
        environment = {
            **os.environ,
            "STAGE_GATEWAY_CONFIG": str(first.file),
            "STAGE_GATEWAY_PORT": "0",
            "STAGE_GATEWAY_ADMIN_PORT": "0",
            "STAGE_GATEWAY_STATE": str(first.state),
        }
        second = subprocess.run(
            [COMMAND, "serve"], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert second.returncode == 1
        assert f"{first.state}: is in use by another gateway (process {first.process.pid} on " in second.stderr
        assert "Traceback" not in second.stderr
        assert ((first.state / FILE_NAME).read_bytes(), mode(first), error(first)) == (stored, "warn", None)
        first.signal(signal.SIGKILL)
        first.wait()
        assert mode(replicas.start(folder=tmp_path / "one")) == "warn"

    def test_two_gateways_that_found_no_directory(self, replicas: Replicas, tmp_path: Path) -> None:
        """When the directory is not there yet, the first to store has it; the other one says that it cannot store."""
        (tmp_path / "token").write_text("the token")
        shared = {
            "STAGE_GATEWAY_STATE": str(tmp_path / "later"),
            "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(tmp_path / "token"),
        }
        one, other = (replicas.start(folder=tmp_path / name, environment=shared) for name in ("one", "other"))
        body = json.dumps({"endpoint": STRATEGIES, "mode": "warn", "reason": "r"}).encode()
        answers = [each.call("/-/mode", method="POST", token="the token", body=body) for each in (one, other)]
        assert [json.loads(answer)["stored"] for _, answer in answers] == [True, False]
        assert (error(one), mode(other)) == (None, "warn")
        assert "is in use by another gateway" in (error(other) or "")

    def test_damaged_file(self, replicas: Replicas, tmp_path: Path) -> None:
        """Damage holds `enforce` at warn through changes and restarts, but for endpoints that a person has cleared."""
        folder = tmp_path / "one"
        (folder / "state").mkdir(parents=True)
        (folder / "state" / FILE_NAME).write_text("{")
        gateway = replicas.start(folder=folder)
        assert (mode(gateway), sources(gateway), gauge(gateway, "damaged_state")) == ("warn", ["damaged_state"], 1)
        assert "is damaged" in (error(gateway) or "")
        gateway.hold(STRATEGIES, None)
        for _ in range(2):
            time.sleep(0.6)  # the file is looked at again
            assert (mode(gateway), mode(gateway, SIMULATE)) == ("enforce", "warn")
            assert "was damaged" in (error(gateway) or "")
            gateway.end()
            gateway = replicas.start(folder=folder)
        (folder / "state" / FILE_NAME).unlink()
        eventually(lambda: mode(gateway, SIMULATE) == "enforce", timeout=2)
        assert error(gateway) is None

    def test_restored_file(self, replicas: Replicas, tmp_path: Path) -> None:
        """A good file in place of the damaged one is taken over without a restart."""
        folder = tmp_path / "one"
        (folder / "state").mkdir(parents=True)
        (folder / "state" / FILE_NAME).write_text("{")
        gateway = replicas.start(folder=folder)
        entry = {"endpoint": STRATEGIES, "source": "alert", "mode": "warn", "reason": "r", "by": "b", "since": 1}
        (folder / "state" / FILE_NAME).write_text(json.dumps({"overrides": [{**entry, "until": None}]}))
        eventually(lambda: sources(gateway) == ["alert"], timeout=2)
        assert (mode(gateway, SIMULATE), error(gateway)) == ("enforce", None)

    def test_state_that_cannot_be_written(self, replicas: Replicas, tmp_path: Path) -> None:
        """Without a place to keep it a change is in force all the same, and is said not to be stored."""
        folder = tmp_path / "one"
        folder.mkdir()
        (folder / "token").write_text("the token")
        (folder / "state").mkdir()
        gateway = replicas.start(folder=folder)
        (folder / "state").rename(folder / "moved")
        (folder / "state").write_text("no directory")
        body = json.dumps({"endpoint": STRATEGIES, "mode": "warn", "reason": "r"}).encode()
        token = (folder / "moved" / "admin-token").read_text().strip()
        status, answer = gateway.call("/-/mode", method="POST", token=token, body=body)
        assert (status, json.loads(answer)["mode"], json.loads(answer)["stored"]) == (200, "warn", False)
        assert "cannot be written" in (error(gateway) or "")
        (folder / "state").unlink()
        eventually(lambda: (folder / "state" / FILE_NAME).exists())
        eventually(lambda: error(gateway) is None)


class BrokenStore:
    """A store with a fault of its own."""

    shared = True

    def __init__(self) -> None:
        self.fails = False
        self.loads = 0

    async def load(self) -> tuple[OverrideTable, bool]:
        self.loads += 1
        if self.fails:
            raise RuntimeError("a fault of ours")
        return {}, True

    async def save(self, changes: dict[OverrideKey, Override | None]) -> None:
        """Keep nothing."""

    async def rehearse(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is open."""


class StuckStore(BrokenStore):
    """A store that cannot be reached, after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.goes_on = asyncio.Event()

    async def save(self, changes: dict[OverrideKey, Override | None]) -> None:
        self.tries += 1
        await self.goes_on.wait()
        raise UnreachableError("no answer")


async def test_many_changes_wait_for_two_tries_at_most() -> None:
    """Changes that come while one waits for a store that gives no answer are told of the next try, all of them."""
    overrides, store = Overrides(lambda: None), StuckStore()
    sync = OverrideSync(overrides, store)
    asked = []
    for number in range(20):
        override = Override(Mode.WARN, "r", "who", 1)
        overrides.set(f"/{number}", Source.PERSON, override)
        asked.append(asyncio.create_task(sync.flush()))
        await until(lambda: store.tries == 1)
    store.goes_on.set()
    assert await asyncio.gather(*asked) == [False] * 20
    assert store.tries == 2
    assert len(overrides.pending) == 20
    assert await sync.flush() is False
    assert store.tries == 3


async def test_fault_does_not_end_the_sync(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """After an unexpected fault the store is asked again, and the fault is logged once and shown."""
    monkeypatch.setattr("gateway.server.override_sync.PERIOD_SECONDS", 0.01)
    store = BrokenStore()
    sync = OverrideSync(Overrides(lambda: None), store)
    await sync.begin()
    store.fails = True
    await until(lambda: store.loads > 4)
    assert sync.error == "RuntimeError; see the log"
    store.fails = False
    await until(lambda: sync.error is None)
    assert len([record for record in caplog.records if record.exc_info]) == 1
    await sync.close()
