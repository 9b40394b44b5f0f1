"""Locks: each attempt waits as long as `lock_timeout` lets it, and who stands in the way is told in the end."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row

from gateway.errors import RefusedError
from gateway.migration.refusals import Meaning, line, meaning_of
from gateway.migration.statements import statement

ATTEMPTS = 10
_LOOK_EVERY = 0.05  # seconds
_Result = TypeVar("_Result")


class BusyError(RefusedError):
    """A lock did not become free. Nothing was changed by the step that wanted it."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """What a session waits for, and the session that holds it; None is what cannot be known."""

    relation: str | None
    pid: int | None
    application: str | None
    role: str | None
    since: datetime | None
    state: str | None

    def __str__(self) -> str:
        """Return who it is, and how to end it, for people."""
        table = f"{self.relation} is held by " if self.relation else "held by "
        if self.pid is None:
            return f"{table}a prepared transaction (see pg_prepared_xacts); end it"
        began = f"its query began {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else None
        since = began or "since when this role may not see"
        state = f", now {self.state}" if self.state and self.state != "active" else ""
        who = f"process {self.pid} ({self.application!r}, role {self.role}, {since}{state})"
        return f"{table}{who}; wait for it, or end it with SELECT pg_terminate_backend({self.pid})"


class Watch:
    """Looks, over a connection of its own, at what another connection waits for. Use it as a context."""

    def __init__(self, watched: psycopg.Connection[Any]) -> None:
        self.seen: Blocked | None = None
        self._pid = watched.info.backend_pid
        self._address = make_conninfo(
            watched.info.dsn, password=watched.info.password or None, application_name="stage-gateway watch"
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        query = statement("blockers")
        try:
            with psycopg.connect(self._address, autocommit=True, row_factory=class_row(Blocked)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                while not self._over.wait(_LOOK_EVERY):
                    self.note(connection.execute(query, {"pid": self._pid}).fetchone())
        except psycopg.Error:  # such as too many connections: then nobody is named
            return

    def note(self, found: Blocked | None) -> None:
        """Keep what was found last; who holds a lock and which one are not read at one instant, so one may lack."""
        if found is None:
            return
        if self.seen is None or found.relation is not None or found.pid != self.seen.pid:
            self.seen = found


def persistently(
    connection: psycopg.Connection[Any], work: Callable[[], _Result], attempts: int | None = None
) -> _Result:
    """Do a piece of work, which is a transaction of its own, again until no lock stands in its way.

    `attempts` None is the usual number of them.

    Raises BusyError, with who holds the lock, when it does not become free; what else the driver raises passes.
    """
    attempts = attempts or ATTEMPTS
    with ExitStack() as stack:
        watch: Watch | None = None
        for attempt in range(1, attempts + 1):
            try:
                return work()
            except psycopg.Error as error:
                if meaning_of(error, closed=connection.closed) is not Meaning.BUSY:
                    raise
                if attempt == attempts:
                    told = f"; {watch.seen}" if watch and watch.seen else ""
                    again = "then give the same command again"
                    raise BusyError(f"{line(error)}, {attempts} times{told}; {again}") from error
            watch = watch or stack.enter_context(Watch(connection))
            time.sleep(random.uniform(0.05, 0.15) * 2 ** min(attempt - 1, 5))  # noqa: S311 - jitter, no secret
    raise AssertionError("there is at least one attempt")
