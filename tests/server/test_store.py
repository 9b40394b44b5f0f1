"""Where overrides are kept: a file, or a hash in a real Redis."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import pytest
import trustme
from support.clock import PATIENCE, eventually, within
from support.process import Gateway, configuration
from support.redis import RedisServer, running
from support.upstream import RecordingUpstream

from gateway.errors import ConfigurationError, UnreachableError
from gateway.rollout.policy import Mode
from gateway.server import directory_lock
from gateway.server.overrides import Override, OverrideTable, Source
from gateway.server.store import FILE_NAME, HASH, DamagedError, DirectoryStore, RedisStore, store_of
from gateway.settings import Settings

A, B = ("/api/a", Source.PERSON), ("/api/b c", Source.ALERT)
FIRST = Override(Mode.OFF, "why — é", "who", 1000.5, 2000.25)
SECOND = Override(Mode.WARN, "alert", "alertmanager", 1001)
DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"overrides": 7}',
    b'{"overrides": [{}]}',
    b'{"overrides": [{"endpoint": "/api/a", "source": "nobody", "mode": "off", "reason": "", "by": "", "since": 1}]}',
    b"\xff\xfe\x00",
]


def names(folder: Path) -> list[str]:
    """Return what is in a directory, but for the lock on it."""
    return sorted(file.name for file in folder.iterdir() if file.name != directory_lock.FILE_NAME)


class TestDirectory:
    async def test_nothing_there(self, tmp_path: Path) -> None:
        """A directory without the file, or none at all, holds nothing, and looking makes neither."""
        assert await DirectoryStore(tmp_path / "none" / "yet").load() == ({}, False)
        assert names(tmp_path) == []

    async def test_what_is_saved_is_there(self, tmp_path: Path) -> None:
        """What was saved is read by the next process; changes add to it and take away."""
        folder = tmp_path / "made" / "on the way"
        store = DirectoryStore(folder)
        await store.save({A: FIRST, B: SECOND})
        assert await DirectoryStore(folder).load() == ({A: FIRST, B: SECOND}, True)
        await store.save({A: None, ("/never", Source.PERSON): None})
        assert await DirectoryStore(folder).load() == ({B: SECOND}, True)
        assert names(folder) == [FILE_NAME]

    async def test_saving_before_reading(self, tmp_path: Path) -> None:
        """Who saves before he could read does not write over what was there."""
        await DirectoryStore(tmp_path).save({A: FIRST})
        await DirectoryStore(tmp_path).save({B: SECOND})
        assert await DirectoryStore(tmp_path).load() == ({A: FIRST, B: SECOND}, True)

    async def test_writing_is_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that breaks off leaves the old file as it was, and the next one goes through."""
        store = DirectoryStore(tmp_path)
        await store.save({A: FIRST})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _fail)
            with pytest.raises(UnreachableError, match="cannot be written: No space left on device"):
                await store.save({B: SECOND})
        assert await DirectoryStore(tmp_path).load() == ({A: FIRST}, True)
        await store.save({B: SECOND})
        assert await DirectoryStore(tmp_path).load() == ({A: FIRST, B: SECOND}, True)

    @pytest.mark.parametrize("content", DAMAGED)
    async def test_damaged_file(self, content: bytes, tmp_path: Path) -> None:
        """A file that cannot be understood is an error that names it."""
        (tmp_path / FILE_NAME).write_bytes(content)
        with pytest.raises(DamagedError, match=f"{FILE_NAME}: is damaged") as error:
            await DirectoryStore(tmp_path).load()
        assert error.value.understood == {}

    async def test_damaged_file_is_put_aside(self, tmp_path: Path) -> None:
        """What is saved over a damaged file leaves a copy of it, and the damage is known until a person ends it."""
        file = tmp_path / FILE_NAME
        file.write_bytes(b"precious")
        store = DirectoryStore(tmp_path)
        await store.save({A: FIRST})
        await store.save({B: SECOND})
        [_, aside] = names(tmp_path)
        assert (tmp_path / aside).read_bytes() == b"precious"
        for one in (store, DirectoryStore(tmp_path)):
            with pytest.raises(DamagedError, match=aside) as error:
                await one.load()
            assert error.value.understood == {A: FIRST, B: SECOND}
        file.unlink()
        assert await store.load() == ({}, False)
        await store.save({A: FIRST})
        assert await store.load() == ({A: FIRST}, True)

    async def test_damaged_file_that_cannot_be_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the file in its place cannot be written, the damaged one stays, and tries do not pile up copies."""
        (tmp_path / FILE_NAME).write_bytes(b"precious")
        store = DirectoryStore(tmp_path)
        monkeypatch.setattr(os, "fsync", _fail)
        for _ in range(3):
            with pytest.raises(UnreachableError):
                await store.save({A: FIRST})
            with pytest.raises(DamagedError):
                await store.load()
        assert (tmp_path / FILE_NAME).read_bytes() == b"precious"
        assert len([name for name in names(tmp_path) if "damaged" in name]) == 1

    async def test_slow_disk_stops_nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the disk takes its time everything else goes on."""
        begun, done = threading.Event(), threading.Event()
        waited: list[bool] = []

        def slow(_: int) -> None:
            begun.set()
            waited.append(done.wait(PATIENCE))

        monkeypatch.setattr(os, "fsync", slow)
        saving = asyncio.create_task(DirectoryStore(tmp_path).save({A: FIRST}))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        done.set()  # a loop that waits for the disk itself does not come to here
        await saving
        assert waited
        assert all(waited)
        assert await DirectoryStore(tmp_path).load() == ({A: FIRST}, True)

    async def test_save_that_is_broken_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever stops to wait for a save does not let the next one come before it."""
        store = DirectoryStore(tmp_path)
        begun = threading.Event()

        def slow(_: int) -> None:
            begun.set()
            time.sleep(0.1)

        monkeypatch.setattr(os, "fsync", slow)
        broken_off = asyncio.create_task(store.save({A: SECOND, B: SECOND}))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        broken_off.cancel()
        await store.save({A: FIRST})
        assert await DirectoryStore(tmp_path).load() == ({A: FIRST, B: SECOND}, True)

    async def test_directory_that_cannot_be_used(self) -> None:
        """Where nothing can be written, nothing is there to read, and saving says why it cannot be done."""
        store = DirectoryStore(Path("/proc/stage-gateway"))
        assert await store.load() == ({}, False)
        with pytest.raises(UnreachableError, match=r"/proc/stage-gateway/overrides\.json: cannot be written"):
            await store.save({A: FIRST})

    async def test_file_in_place_of_the_directory(self, tmp_path: Path) -> None:
        """A file where the directory should be can be neither read nor written."""
        (tmp_path / "state").write_text("a file")
        store = DirectoryStore(tmp_path / "state")
        with pytest.raises(UnreachableError, match="cannot be read"):
            await store.load()
        with pytest.raises(UnreachableError, match="cannot be"):
            await store.save({A: FIRST})


class TestRehearsalOfADirectory:
    async def test_nothing_is_changed(self, tmp_path: Path) -> None:
        """Rehearsing leaves every file as it is, before anything was stored and after."""
        for store in (DirectoryStore(tmp_path), DirectoryStore(tmp_path / "none" / "yet")):
            await store.rehearse()
        assert content(tmp_path) == {}
        store = DirectoryStore(tmp_path)
        await store.save({A: FIRST})
        before = content(tmp_path)
        await store.rehearse()
        assert content(tmp_path) == before

    async def test_damaged_file_stays(self, tmp_path: Path) -> None:
        """A damaged file is not put aside by a rehearsal, and stands in no save's way."""
        (tmp_path / FILE_NAME).write_bytes(b"{")
        store = DirectoryStore(tmp_path)
        with pytest.raises(DamagedError):
            await store.load()
        before = content(tmp_path)
        await store.rehearse()
        assert content(tmp_path) == before

    async def test_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the disk takes no more, the rehearsal says so, and leaves nothing there."""
        monkeypatch.setattr(os, "fsync", _fail)
        with pytest.raises(UnreachableError, match="cannot be written: No space left"):
            await DirectoryStore(tmp_path).rehearse()
        assert content(tmp_path) == {}

    @pytest.mark.parametrize("place", ["/proc/stage-gateway", "{}/file"])
    async def test_directory_that_cannot_be_used(self, place: str, tmp_path: Path) -> None:
        """Where nothing can be written, the rehearsal says what a save would say."""
        (tmp_path / "file").write_text("a file")
        with pytest.raises(UnreachableError, match=r"overrides\.json: cannot be written"):
            await DirectoryStore(Path(place.format(tmp_path))).rehearse()

    async def test_directory_of_another_gateway(self, tmp_path: Path) -> None:
        """A directory that another process has locked meanwhile is refused, and its lock's file stays as it is."""
        with locked_elsewhere(tmp_path):
            before = content(tmp_path)
            with pytest.raises(UnreachableError, match="is in use by another gateway"):
                await DirectoryStore(tmp_path).rehearse()
            assert content(tmp_path) == before


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextmanager
def locked_elsewhere(folder: Path) -> Iterator[None]:
    """Let another process have a directory, as a gateway that was started there has."""
    code = f"from gateway.server.directory_lock import *; DirectoryLock(Path({str(folder)!r})).take(); print(); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def _fail(_: int) -> None:
    raise OSError(28, "disk full")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis"), password="s3cret") as started:
        yield started


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    with server.client() as client:
        client.flushall()
    made = RedisStore(server.address)
    yield made
    await made.close()


class TestRedis:
    async def test_nothing_there(self, store: RedisStore) -> None:
        """A Redis where nothing was ever stored is told from one where all was cleared."""
        assert await store.load() == ({}, False)
        await store.save({A: FIRST})
        await store.save({A: None})
        assert await store.load() == ({}, True)

    async def test_what_is_saved_is_there(self, store: RedisStore, server: RedisServer) -> None:
        """What one replica saves another one reads, and changes do not write over what they do not name."""
        other = RedisStore(server.address)
        try:
            await store.save({A: FIRST})
            await other.save({B: SECOND})
            assert await store.load() == ({A: FIRST, B: SECOND}, True)
            await store.save({A: None})
            assert await other.load() == ({B: SECOND}, True)
        finally:
            await other.close()

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"7", b"\xff"])
    @pytest.mark.parametrize("name", [b"person /api/a", b"nobody /api/a", b"\xff"])
    async def test_damaged_hash(self, name: bytes, content: bytes, store: RedisStore, server: RedisServer) -> None:
        """A field that cannot be understood is an error that names the hash."""
        await store.save({B: SECOND})
        with server.client() as client:
            client.hset(HASH, name, content)
        with pytest.raises(DamagedError, match=f"hash {HASH} is damaged"):
            await store.load()

    async def test_redis_that_lost_everything(self, store: RedisStore, server: RedisServer) -> None:
        """A hash that is gone, or was made anew by another replica, does not go on from the one before."""
        await store.save({A: FIRST})
        assert await store.load() == ({A: FIRST}, True)
        with server.client() as client:
            client.flushall()
        assert await store.load() == ({}, False)
        other = RedisStore(server.address)
        await other.save({B: SECOND})
        await other.close()
        assert await store.load() == ({B: SECOND}, False)
        assert await store.load() == ({B: SECOND}, True)

    async def test_clearing_mends_a_damaged_field(self, store: RedisStore, server: RedisServer) -> None:
        """Clearing the endpoint of a damaged field takes the field away."""
        await store.save({B: SECOND})
        with server.client() as client:
            client.hset(HASH, "person /api/a", b"{")
        await store.save({A: None})
        assert await store.load() == ({B: SECOND}, True)

    async def test_key_of_another_kind(self, store: RedisStore, server: RedisServer) -> None:
        """A key that is no hash can be neither read nor written."""
        with server.client() as client:
            client.set(HASH, "text")
        with pytest.raises(UnreachableError, match=r"cannot be read: .*WRONGTYPE"):
            await store.load()
        with pytest.raises(UnreachableError, match=r"cannot be written: .*WRONGTYPE"):
            await store.save({A: FIRST})

    async def test_redis_that_hangs(self, store: RedisStore, server: RedisServer) -> None:
        """A Redis that takes connections and does not answer costs a second or so, connected before or not."""
        await store.save({A: FIRST})
        with server.hanging():
            for work in (store.load, lambda: store.save({A: None}), store.load):
                with within(1.5), pytest.raises(UnreachableError, match="Redis: cannot be"):
                    await work()
        assert (await store.load())[0] in ({A: FIRST}, {})  # what was sent while it hung may have arrived

    @pytest.mark.parametrize("password", ["", ":wr0ng@"])
    async def test_wrong_password(self, password: str, server: RedisServer) -> None:
        """A Redis that does not let us in cannot be read, and the message holds no password."""
        store = RedisStore(f"redis://{password}127.0.0.1:{server.port}")
        try:
            with pytest.raises(UnreachableError, match="cannot be read") as error:
                await store.load()
            assert "wr0ng" not in str(error.value)
        finally:
            await store.close()

    async def test_nobody_there(self, tmp_path: Path) -> None:
        """A Redis that is not there cannot be reached, at once."""
        store = RedisStore(RedisServer(tmp_path).address)
        with within(0.5):
            with pytest.raises(UnreachableError, match="cannot be read"):
                await store.load()
            with pytest.raises(UnreachableError, match="cannot be written"):
                await store.save({A: FIRST})
        await store.close()


class TestRehearsalWithRedis:
    async def test_nothing_is_changed(self, store: RedisStore, server: RedisServer) -> None:
        """Rehearsing writes no key, before anything was stored and after, and the store goes on."""
        for before in ({}, {A: FIRST}):
            if before:
                await store.save(dict(before))
            with server.client() as client:
                kept = {key: client.hgetall(key) for key in client.scan_iter()}
                await store.rehearse()
                await store.rehearse()
                assert {key: client.hgetall(key) for key in client.scan_iter()} == kept
            assert (await store.load())[0] == before

    @pytest.mark.parametrize("lacking", ["-hset", "-hsetnx", "-hdel", "-multi", "-exec", "-hgetall"])
    async def test_right_that_is_lacking(self, lacking: str, store: RedisStore, server: RedisServer) -> None:
        """A user who may not do one of the things that a save does is told at the rehearsal, as at the save."""
        await store.save({A: FIRST})
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">pw", "~*", "+@all", lacking)
        some = RedisStore(f"redis://some:pw@127.0.0.1:{server.port}")
        with pytest.raises(UnreachableError, match=r"Redis: cannot be written: .*(permission|authorized)"):
            await some.rehearse()
        await some.close()
        assert (await store.load())[0] == {A: FIRST}

    async def test_redis_that_takes_no_writes(self, store: RedisStore, server: RedisServer) -> None:
        """A replica, and a Redis without memory, are told at the rehearsal."""
        with server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            try:
                with pytest.raises(UnreachableError, match="read only replica"):
                    await store.rehearse()
            finally:
                client.execute_command("REPLICAOF", "NO", "ONE")
            client.config_set("maxmemory", "1")
            try:
                with pytest.raises(UnreachableError, match="maxmemory"):
                    await store.rehearse()
            finally:
                client.config_set("maxmemory", "0")

    async def test_key_of_another_kind(self, store: RedisStore, server: RedisServer) -> None:
        """A key that is no hash is told at the rehearsal."""
        with server.client() as client:
            client.set(HASH, "text")
        with pytest.raises(UnreachableError, match=r"cannot be written: .*WRONGTYPE"):
            await store.rehearse()

    async def test_redis_that_hangs_or_is_not_there(
        self, store: RedisStore, server: RedisServer, tmp_path: Path
    ) -> None:
        """A Redis that does not answer costs a second or so, one that is not there nothing."""
        with server.hanging(), within(1.5), pytest.raises(UnreachableError, match="no answer in time"):
            await store.rehearse()
        await store.rehearse()
        nowhere = RedisStore(RedisServer(tmp_path).address)
        with within(0.5), pytest.raises(UnreachableError, match="Connection refused"):
            await nowhere.rehearse()
        await nowhere.close()


AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("rediss"), "s3cret", AUTHORITY) as started:
        yield started


class TestRediss:
    async def test_private_authority(self, secure: RedisServer) -> None:
        """Over TLS what one replica saves another one reads, when the address names the Redis' own authority."""
        stores = [RedisStore(secure.trusted) for _ in range(2)]
        await stores[0].save({A: FIRST})
        assert await stores[1].load() == ({A: FIRST}, True)
        for store in stores:
            await store.close()

    @pytest.mark.parametrize(
        ("asked", "complaint"),
        [
            ("{address}", "certificate is not trusted"),
            ("{address}?ssl_ca_certs={other}", "certificate is not trusted"),
            ("{trusted}", "not valid for 'localhost'"),
            ("{address}?ssl_ca_certs=/nowhere/ca.pem", "cannot be read"),
            ("{plain}", "cannot be read"),
        ],
        ids=["no authority", "another authority", "another name", "no such file", "without TLS"],
    )
    async def test_connection_that_is_not_to_be_trusted(
        self, asked: str, complaint: str, secure: RedisServer, tmp_path: Path
    ) -> None:
        """A Redis that does not prove who it is cannot be read nor written, at once, and the password stays unsaid."""
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        trusted = secure.trusted.replace("127.0.0.1", "localhost")
        plain = secure.address.replace("rediss:", "redis:")
        address = asked.format(address=secure.address, other=tmp_path / "other.pem", trusted=trusted, plain=plain)
        store = RedisStore(address)
        for work in (store.load, lambda: store.save({A: FIRST})):
            told = complaint if work == store.load else "cannot be"
            with within(1.5), pytest.raises(UnreachableError, match=told) as error:
                await work()
            assert "s3cret" not in str(error.value)
        await store.close()

    def test_replicas_follow_each_other(self, secure: RedisServer, upstream: RecordingUpstream, tmp_path: Path) -> None:
        """Gateways whose `STATE` is a rediss:// address share their overrides, also with one that starts later."""
        path = "/api/portfolio/strategies"
        config = configuration(upstream.port, endpointMode={path: "enforce"}, limits={"drainSeconds": 0.1})

        def mode(gateway: Gateway) -> object:
            return gateway.status()["endpoints"][path]["mode"]

        with ExitStack() as stack:

            def start(name: str, state: str) -> Gateway:
                (tmp_path / name).mkdir()
                (tmp_path / name / "token").write_text("the token")
                token = str(tmp_path / name / "token")
                environment = {"STAGE_GATEWAY_STATE": state, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": token}
                return stack.enter_context(Gateway(tmp_path / name, config, environment))

            one, other = start("one", secure.trusted), start("other", secure.trusted)
            body = orjson.dumps({"endpoint": path, "mode": "warn", "reason": "r"})
            status, answer = one.call("/-/mode", method="POST", token="the token", body=body)
            assert (status, orjson.loads(answer)["stored"]) == (200, True)
            eventually(lambda: mode(other) == "warn", timeout=1)
            late = start("late", secure.trusted)
            assert (mode(late), late.status()["overrides"]["error"]) == ("warn", None)
            stranger = start("stranger", secure.address)  # does not know the authority
            assert mode(stranger) == "warn"
            assert "certificate is not trusted" in stranger.status()["overrides"]["error"]
            assert stranger.metrics().get("stage_gateway_override", endpoint=path, source="damaged_state") == 1


@pytest.mark.parametrize("address", ["redis://:s3/cret@host", "redis://:s3cret@host:port", "redis://:s3cret@h?db=x"])
def test_address_that_is_none(address: str) -> None:
    """An address that cannot be read is a configuration error without any part of the address."""
    with pytest.raises(ConfigurationError, match="STAGE_GATEWAY_STATE: is no Redis address") as error:
        RedisStore(address)
    assert "s3" not in str(error.value)


@pytest.mark.parametrize(
    ("state", "kind"),
    [("/var/lib/x", DirectoryStore), ("redis://h", RedisStore), ("rediss://h", RedisStore), ("Redis://h", RedisStore)],
)
def test_store_of_a_setting(state: str, kind: type) -> None:
    """`STATE` names a directory or a Redis."""
    assert isinstance(store_of(Settings(state=state)), kind)


async def test_file_is_for_people(tmp_path: Path) -> None:
    """The file is JSON with one entry for each override."""
    held: OverrideTable = {A: FIRST}
    await DirectoryStore(tmp_path).save(dict(held))
    assert orjson.loads((tmp_path / FILE_NAME).read_bytes()) == {
        "overrides": [{"endpoint": "/api/a", "source": "person", **FIRST.as_document()}]
    }
