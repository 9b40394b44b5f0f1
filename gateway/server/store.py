"""Where overrides outlive the process: a directory for one replica, Redis for several.

Rules of the room:

- A file is written whole: to a new file, to the disk, then put in the old one's place.
- A damaged file is put aside, never written over.
- In Redis every override is a field of one hash, so that replicas do not write over each other's changes.
"""

import os
import time
from pathlib import Path
from typing import Any, Protocol

import orjson
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.errors import UnreachableError
from gateway.server.overrides import Held, Override, Place, Source
from gateway.settings import Settings

FILE_NAME = "overrides.json"
HASH = "stage-gateway:overrides"
_TIMEOUT_SECONDS = 1.0


class DamagedError(Exception):
    """What is stored cannot be understood."""


class Store(Protocol):
    """Keeps overrides."""

    shared: bool

    async def load(self) -> Held:
        """Return what is stored. Raises DamagedError, UnreachableError."""

    async def save(self, changes: dict[Place, Override | None]) -> None:
        """Store changes; None takes one away. Raises UnreachableError."""

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
        self._known: Held | None = None

    async def load(self) -> Held:
        """Return what the file holds, nothing when there is none. Raises DamagedError, UnreachableError."""
        try:
            held = _read(self._file.read_bytes())
        except FileNotFoundError:
            held = {}
        except OSError as error:
            raise UnreachableError(f"{self._file}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{self._file}: is damaged ({type(error).__name__}); restore or remove it") from error
        self._known = held
        return held

    async def save(self, changes: dict[Place, Override | None]) -> None:
        """Write the file anew. Raises UnreachableError."""
        held = dict(self._known or {})
        for place, override in changes.items():
            if override is None:
                held.pop(place, None)
            else:
                held[place] = override
        try:
            if self._known is None and self._file.exists():
                self._file.rename(self._file.with_name(f"{FILE_NAME}.damaged-{time.time_ns()}"))
            self._write(_written(held))
        except OSError as error:
            raise UnreachableError(f"{self._file}: cannot be written: {error.strerror}") from error
        self._known = held

    def _write(self, data: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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

    async def close(self) -> None:
        """Nothing is open."""


class RedisStore:
    """A hash in Redis that several replicas share."""

    shared = True

    def __init__(self, address: str) -> None:
        self._redis: Any = redis.asyncio.Redis.from_url(  # its types differ from release to release
            address,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the keeper comes back by itself
        )

    async def load(self) -> Held:
        """Return what the hash holds. Raises DamagedError, UnreachableError."""
        try:
            fields = await self._redis.hgetall(HASH)
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis: cannot be read: {error}") from error
        try:
            return {_place(name): Override.of(orjson.loads(value)) for name, value in fields.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"Redis: hash {HASH} is damaged ({type(error).__name__}); repair or delete it"
            raise DamagedError(message) from error

    async def save(self, changes: dict[Place, Override | None]) -> None:
        """Set and delete fields of the hash, all or none. Raises UnreachableError."""
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for place, override in changes.items():
                    if override is None:
                        pipeline.hdel(HASH, _name(place))
                    else:
                        pipeline.hset(HASH, _name(place), orjson.dumps(override.as_document()))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis: cannot be written: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _read(data: bytes) -> Held:
    stored = orjson.loads(data)["overrides"]
    return {(entry["endpoint"], Source(entry["source"])): Override.of(entry) for entry in stored}


def _written(held: Held) -> bytes:
    entries = [
        {"endpoint": pattern, "source": source.value, **override.as_document()}
        for (pattern, source), override in held.items()
    ]
    return orjson.dumps({"overrides": entries}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _name(place: Place) -> bytes:
    return f"{place[1].value} {place[0]}".encode()


def _place(name: bytes) -> Place:
    source, _, pattern = name.decode().partition(" ")
    return pattern, Source(source)
