"""Keeps overrides in step with where they are stored, while the process runs."""

import asyncio
import logging

from gateway.errors import UnreachableError
from gateway.server.overrides import Overrides
from gateway.server.store import DamagedError, Store

PERIOD_SECONDS = 0.4  # replicas follow each other within a second
_log = logging.getLogger("gateway.overrides")


class OverrideSync:
    """Reads the store at the start and, when it is shared, again and again; stores what has changed here.

    `error` says what is wrong with the store right now, None when nothing is.
    """

    def __init__(self, overrides: Overrides, store: Store) -> None:
        self._overrides = overrides
        self._store = store
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._read = False
        self._tries = 0  # to store
        self._failed = False  # the last of them
        self.error: str | None = None

    async def begin(self) -> None:
        """Take over what is stored, before the first request, and go on from there."""
        await self._load()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Store what is not stored yet, if that can be done, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        await self._store.close()

    async def flush(self) -> bool:
        """Store what has changed; returns whether all of it is stored.

        Who waited while another tried to store the same, and failed, is given that answer: many changes at once are
        told in the time of two tries, however long a store lets each wait.
        """
        tries = self._tries
        async with self._one_at_a_time:
            pending = self._overrides.pending
            changes = dict(pending)
            if not changes:
                return True
            if self._tries > tries and self._failed:
                return False
            self._tries += 1
            self._failed = True
            try:
                await self._store.save(changes)
            except UnreachableError as error:
                self._note(str(error))
                return False
            self._failed = False
            for key, override in changes.items():
                if key in pending and pending[key] is override:
                    del pending[key]
            self._note(self._overrides.damage)
            return True

    async def rehearse(self) -> str | None:
        """Return why a change could not be stored now, None when it could. Changes nothing."""
        async with self._one_at_a_time:
            try:
                await self._store.rehearse()
            except UnreachableError as error:
                return str(error)
        return None

    async def _load(self) -> None:
        async with self._one_at_a_time:
            try:
                held, goes_on = await self._store.load()
            except (UnreachableError, DamagedError) as error:
                self._note(str(error))
                if not self._read:
                    understood = error.understood if isinstance(error, DamagedError) else {}
                    self._overrides.cannot_read(str(error), understood)
                return
            self._read = True
            self._note(None)
            self._overrides.take_over(held, whole=goes_on)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                self._overrides.expire()
                await self.flush()
                if self._store.shared or not self._read:
                    await self._load()
            except Exception as error:  # a fault of ours must not leave this replica behind for good
                if self.error is None:
                    _log.exception("the overrides' store fails")
                self.error = f"{type(error).__name__}; see the log"

    def _note(self, error: str | None) -> None:
        if error is not None and error != self.error:
            _log.error("%s", error)
        elif error is None and self.error is not None:
            _log.info("the overrides' store is well again")
        self.error = error
