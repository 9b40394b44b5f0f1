"""Where overrides outlive the process: a directory for one replica, Redis for several.

Rules of the room:

- A file is written whole: to a new file, to the disk, then put in the old one's place. That may take long, so it is
  done in a thread of its own, one after the other; traffic goes on.
- A directory is locked before it is read: two processes that write one file would undo each other's changes.
- A damaged file is put aside, never lost. The file that takes its place says so, or a restart would take what it
  holds for everything that was ever held.
- In Redis every override is a field of one hash, so that replicas do not write over each other's changes. A field
  that is made with the hash tells it from one that came in the place of a lost one.
- The address of a Redis may hold a password: it is in no message.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

import orjson
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from gateway.errors import ConfigurationError, RefusedError, UnreachableError, cause_of
from gateway.server.directory_lock import DirectoryLock
from gateway.server.overrides import Override, OverrideKey, OverrideTable, Source
from gateway.settings import PREFIX, Settings

FILE_NAME = "overrides.json"
HASH = "stage-gateway:overrides"
_MADE_WITH_IT = b"hash"
_TIMEOUT_SECONDS = 1.0
_NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError)


class DamagedError(Exception):
    """What is stored cannot be understood, but for `understood`."""

    def __init__(self, message: str, understood: OverrideTable | None = None) -> None:
        self.understood = understood or {}
        super().__init__(message)


class Store(Protocol):
    """Keeps overrides."""

    shared: bool

    async def load(self) -> tuple[OverrideTable, bool]:
        """Return what is stored, and whether it goes on from what was stored before, or that is lost.

        Raises DamagedError, UnreachableError, and RefusedError when it is another process' own.
        """

    async def save(self, changes: dict[OverrideKey, Override | None]) -> None:
        """Store changes; None takes one away. Raises UnreachableError."""

    async def rehearse(self) -> None:
        """Do what `save` needs, and change nothing of what is stored. Raises UnreachableError where `save` would."""

    async def close(self) -> None:
        """Let go of what is open."""


def store_of(settings: Settings) -> Store:
    """Return the store that the setting `STATE` names: Redis, or a directory."""
    return RedisStore(settings.state) if settings.state_is_shared else DirectoryStore(settings.folder)


class DirectoryStore:
    """One JSON file in a directory of this process alone."""

    shared = False

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._lock = DirectoryLock(folder)
        self._thread = ThreadPoolExecutor(1, "overrides")
        # What follows is touched in that thread only.
        self._known: OverrideTable = {}
        self._looked = False  # whether `_known` is what the file holds, as far as it can be understood
        self._damaged = False
        self._aside: str | None = None  # the name of the damaged file that this one stands for

    async def load(self) -> tuple[OverrideTable, bool]:
        """Return what the file holds, and whether there is one.

        Raises DamagedError, UnreachableError, and RefusedError when another process keeps its overrides there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def save(self, changes: dict[OverrideKey, Override | None]) -> None:
        """Write the file anew. Raises UnreachableError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._save, dict(changes))

    async def rehearse(self) -> None:
        """Write a file without a name where the other would be written. Raises UnreachableError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._rehearse)

    async def close(self) -> None:
        """Let go of the directory."""
        self._thread.shutdown(wait=False)
        self._lock.release()

    def _load(self) -> tuple[OverrideTable, bool]:
        self._lock.take()
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            self._known, self._aside, self._looked, self._damaged = {}, None, True, False
            return {}, False
        except OSError as error:
            self._looked = False
            raise UnreachableError(f"{self._file}: cannot be read: {cause_of(error)}") from error
        self._looked = True
        try:
            self._known, self._aside = _read(data)
        except _NOT_UNDERSTOOD as error:
            self._known, self._damaged = {}, True
            raise DamagedError(f"{self._file}: is damaged ({type(error).__name__}); restore or remove it") from error
        self._damaged = False
        if self._aside is not None:
            message = f"{self._file}: was damaged, and is kept as {self._aside}; restore it, or remove {FILE_NAME}"
            raise DamagedError(message, dict(self._known))
        return dict(self._known), True

    def _save(self, changes: dict[OverrideKey, Override | None]) -> None:
        self._prepare()
        if not self._looked:
            with suppress(DamagedError):
                self._load()
        held = {key: override for key, override in {**self._known, **changes}.items() if override is not None}
        try:
            if self._damaged:
                self._aside = f"{FILE_NAME}.damaged-{self._file.stat().st_mtime_ns}"  # the same at every try
                # A copy: the damaged file stays in its place until the new one is there.
                self._file.with_name(self._aside).write_bytes(self._file.read_bytes())
            self._write(_written(held, self._aside))
        except OSError as error:
            raise UnreachableError(f"{self._file}: cannot be written: {cause_of(error)}") from error
        self._known, self._damaged = held, False

    def _rehearse(self) -> None:
        folder = next(parent for parent in self._file.parents if parent.exists())  # the rest would be made
        try:
            self._lock.look()
            with TemporaryFile(dir=folder) as file:
                file.write(_written(self._known, self._aside))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UnreachableError(f"{self._file}: cannot be written: {cause_of(error)}") from error
        except RefusedError as error:
            raise UnreachableError(str(error)) from error

    def _prepare(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.take()
        except OSError as error:
            raise UnreachableError(f"{self._file}: cannot be written: {cause_of(error)}") from error
        except RefusedError as error:  # it was not there yet when this process began
            raise UnreachableError(str(error)) from error

    def _write(self, data: bytes) -> None:
        new = self._file.with_suffix(".new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class RedisStore:
    """A hash in Redis that several replicas share."""

    shared = True

    def __init__(self, address: str) -> None:
        self._made: bytes | None = None
        try:
            self._redis: Any = redis.asyncio.Redis.from_url(  # its types differ from release to release
                address,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),  # it is asked again anyway
            )
        except (ValueError, TypeError):  # what they say may be a part of the password
            problem = "is no Redis address; expected redis://user:password@host:port/number, with %40 for @ and so on"
            raise ConfigurationError(f"{PREFIX}STATE", [problem]) from None

    async def load(self) -> tuple[OverrideTable, bool]:
        """Return what the hash holds, and whether it is the one from before. Raises DamagedError, UnreachableError."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                fields = await self._redis.hgetall(HASH)
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis: cannot be read: {_cause(error)}") from error
        made = fields.pop(_MADE_WITH_IT, None)
        try:
            held = {_key(name): Override.of(orjson.loads(value)) for name, value in fields.items()}
        except _NOT_UNDERSTOOD as error:
            message = f"Redis: hash {HASH} is damaged ({type(error).__name__}); repair or delete it"
            raise DamagedError(message) from error
        goes_on = made is not None and self._made in {None, made}
        self._made = made or self._made
        return held, goes_on

    async def save(self, changes: dict[OverrideKey, Override | None]) -> None:
        """Set and delete fields of the hash, all or none. Raises UnreachableError."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hsetnx(HASH, _MADE_WITH_IT, os.urandom(8).hex())
                for key, override in changes.items():
                    if override is None:
                        pipeline.hdel(HASH, _name(key))
                    else:
                        pipeline.hset(HASH, _name(key), orjson.dumps(override.as_document()))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis: cannot be written: {_cause(error)}") from error

    async def rehearse(self) -> None:
        """Let Redis queue what `save` does, and end the connection instead. Raises UnreachableError.

        Rights, memory, and whether it takes writes at all, are looked at when a command is queued, and nothing of an
        open transaction outlives its connection (Redis documentation, "Transactions").
        """
        name = "person /"
        commands = (
            ("HGETALL", HASH),  # that the key is of another kind is told when a command runs
            ("MULTI",),
            ("EXEC",),
            ("MULTI",),
            ("HSETNX", HASH, _MADE_WITH_IT, ""),
            ("HSET", HASH, name, ""),
            ("HDEL", HASH, name),
        )
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                pool = self._redis.connection_pool
                connection = await pool.get_connection()
                try:
                    for command in commands:
                        await connection.send_command(*command)
                        await connection.read_response()
                finally:
                    await connection.disconnect(nowait=True)
                    await pool.release(connection)
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis: cannot be written: {_cause(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _read(data: bytes) -> tuple[OverrideTable, str | None]:
    document = orjson.loads(data)
    held = {(entry["endpoint"], Source(entry["source"])): Override.of(entry) for entry in document["overrides"]}
    return held, document.get("damaged")


def _written(held: OverrideTable, aside: str | None) -> bytes:
    entries = [
        {"endpoint": pattern, "source": source.value, **override.as_document()}
        for (pattern, source), override in held.items()
    ]
    document = {"overrides": entries} if aside is None else {"overrides": entries, "damaged": aside}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _cause(error: BaseException) -> str:
    """Return why a Redis cannot be used: the client says it in its own words, and keeps what it had heard itself."""
    heard: BaseException | None = error
    while heard is not None:
        match heard:
            case TimeoutError() | redis.exceptions.TimeoutError():
                return "no answer in time"
            case ResponseError() | AuthenticationError():
                return f"it says: {heard}"  # the server's words, not the client's
            case OSError() if heard.errno:
                return cause_of(heard)
        heard = heard.__cause__ or heard.__context__
    return "it takes no connection"


def _name(key: OverrideKey) -> bytes:
    return f"{key[1].value} {key[0]}".encode()


def _key(name: bytes) -> OverrideKey:
    source, _, pattern = name.decode().partition(" ")
    return pattern, Source(source)
